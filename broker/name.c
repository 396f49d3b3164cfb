/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name: one walk over the parts. It repairs nothing: whoever sends a name
 * that is not clean is a worker that does not do its work.
 */
#include "broker/name.h"

static bool part_ok(struct slice part)
{
	return part.n > 0 && part.n <= NAME_PART_MAX && !slice_is(part, ".") &&
	       !slice_is(part, "..");
}

bool name_ok(struct slice name)
{
	size_t from = 0;

	if (name.n == 0 || name.n > NAME_MAX_BYTES || memchr(name.p, 0, name.n))
		return false;
	for (size_t i = 0; i <= name.n; i++) {
		if (i < name.n && name.p[i] != '/')
			continue;
		if (!part_ok(slice_of(name.p + from, i - from)))
			return false;
		from = i + 1;
	}
	return true;
}
