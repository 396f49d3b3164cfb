/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl_make: an access list out of JSON, and the warnings that it gave.
 */
#ifndef PF_TESTS_ACL_MAKE_H
#define PF_TESTS_ACL_MAKE_H

#include <criterion/criterion.h>

#include "tests/unit/json_value.h"
#include "proto/acl.h"

static struct buf warnings;
static unsigned nwarnings;

static inline void on_warning(void *arg, struct slice line)
{
	cr_assert_eq(arg, &warnings);
	buf_add_slice(&warnings, line);
	buf_add_byte(&warnings, '\n');
	nwarnings++;
}

/* The lines of the last make(). */
static inline bool warned(const char *text)
{
	buf_add_byte(&warnings, 0);
	warnings.n--;
	return strstr((const char *)warnings.p, text);
}

static inline struct acl *make_for(const struct acl_source *src)
{
	struct buf canonical = {0};
	struct acl *a = NULL;

	buf_clear(&warnings);
	nwarnings = 0;
	cr_assert_eq(acl_canonical(src, &canonical, on_warning, &warnings), OK);
	cr_assert_eq(acl_new(buf_slice(&canonical), &a), OK);
	cr_assert(slice_eq(acl_bytes(a), buf_slice(&canonical)));
	buf_fini(&canonical);
	return a;
}

static inline struct acl *make(const char *publish, const char *subscribe)
{
	struct acl_source src = {
		.mountpoint = slice_str(""),
		.client_id = slice_str("client"),
		.username = slice_str("user"),
	};

	if (publish)
		src.publish = packed(publish);
	if (subscribe)
		src.subscribe = packed(subscribe);
	return make_for(&src);
}

static inline int publish(const struct acl *a, const char *topic)
{
	struct slice mods;

	return acl_publish_match(a, slice_str(topic), 0, 0, false, &mods);
}

static inline int subscribe(const struct acl *a, const char *filter)
{
	struct slice mods;

	return acl_subscribe_match(a, slice_str(filter), 0, &mods);
}

#endif
