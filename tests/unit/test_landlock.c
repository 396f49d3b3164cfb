/* SPDX-License-Identifier: Apache-2.0 */
/* What each version of Landlock is asked to deny. That it does: tests/sandbox.
 */
#include <criterion/criterion.h>
#include <linux/landlock.h>

#include "worker/landlock.h"

Test(landlock, first_version_agrees_with_the_headers)
{
	struct landlock_rights r;

	cr_assert_eq(landlock_rights(1, &r), 8);
	cr_assert_eq(r.fs, LANDLOCK_ACCESS_FS_REFER - 1);
	cr_assert_eq(landlock_rights(2, &r), 8);
	cr_assert_eq(r.fs, LANDLOCK_ACCESS_FS_REFER * 2 - 1);
}

Test(landlock, later_versions)
{
	struct landlock_rights r;

	cr_assert_eq(landlock_rights(3, &r), 8);
	cr_assert(r.fs == 0x7fff && r.net == 0 && r.scoped == 0);
	cr_assert_eq(landlock_rights(4, &r), 16);
	cr_assert(r.fs == 0x7fff && r.net == 3 && r.scoped == 0);
	cr_assert_eq(landlock_rights(5, &r), 16);
	cr_assert(r.fs == 0xffff && r.net == 3 && r.scoped == 0);
	cr_assert_eq(landlock_rights(6, &r), 24);
	cr_assert(r.fs == 0xffff && r.net == 3 && r.scoped == 3);
}

Test(landlock, versions_to_come_get_what_is_known)
{
	struct landlock_rights six, r;

	landlock_rights(6, &six);
	for (int abi = 7; abi < 40; abi++) {
		cr_assert_eq(landlock_rights(abi, &r), 24);
		cr_assert(r.fs == six.fs && r.net == six.net &&
			  r.scoped == six.scoped);
	}
}
