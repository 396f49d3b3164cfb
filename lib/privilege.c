/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw system calls instead of libcap: this is all that is needed of it.
 * Root without a uid change would still own the files of root, hence both.
 */
#include "lib/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Uid 0 is nobody special, and nothing may be raised. What a change of uid
 * takes away stays as it is. */
enum {
	SECUREBITS = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
		     SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
		     SECBIT_NO_CAP_AMBIENT_RAISE |
		     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED
};

/* Only who has the capability can, and who has none needs it less: with
 * no_new_privs nothing in the bounding set can be gained. */
static void shrink_bounds(void)
{
	prctl(PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0);
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			break;
}

static int is(unsigned uid, unsigned gid)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	if (getresuid(&r, &e, &s) != 0 || getresgid(&gr, &ge, &gs) != 0)
		return 0;
	return r == uid && e == uid && s == uid && gr == gid && ge == gid &&
	       gs == gid && getgroups(0, NULL) == 0;
}

int privilege_drop_uid(unsigned uid, unsigned gid)
{
	if (uid == 0 && gid == 0) {
		errno = EPERM;
		return geteuid() == 0 || getuid() == 0 ? ERR_DENIED : 1;
	}
	if (uid == 0 || gid == 0) {
		errno = EINVAL;
		return ERR_DENIED;
	}
	shrink_bounds();
	if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		return ERR_IO;
	return is(uid, gid) && setresuid(0, 0, 0) != 0 ? 0 : ERR_DENIED;
}

int privilege_drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2], now[2];

	shrink_bounds();
	memset(none, 0, sizeof(none));
	memset(now, 255, sizeof(now));
	/* Kernels without an ambient set have nothing in it. */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) != 0)
		return ERR_IO;
	if (syscall(SYS_capget, &header, now) != 0)
		return ERR_IO;
	return memcmp(now, none, sizeof(now)) == 0 ? 0 : ERR_DENIED;
}
