/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any value as canonical bytes; and an array [mountpoint, client id, username,
 * publish, subscribe, topic] as what a script inserts: it becomes canonical,
 * is compiled, may be made from its own lists again, and
 * matches the topic exactly when a slow second matcher says so.
 */
#include <stdlib.h>

#include "proto/acl.h"
#include "proto/acl_rule.h"
#include "proto/pack.h"
#include "proto/scan.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first level of s; *rest is what follows it, or NULL. */
static struct slice level(struct slice s, const uint8_t **rest)
{
	const uint8_t *slash = s.n ? memchr(s.p, '/', s.n) : NULL;

	*rest = slash ? slash + 1 : NULL;
	return slash ? slice_of(s.p, (size_t)(slash - s.p)) : s;
}

static bool slow_match(struct slice pattern, struct slice topic)
{
	const uint8_t *pend = pattern.p + pattern.n;
	const uint8_t *tend = topic.p + topic.n, *p, *t;
	struct slice pw = level(pattern, &p), tw = level(topic, &t);

	for (;;) {
		if (slice_is(pw, "#"))
			return true;
		if (!slice_is(pw, "+") && !slice_eq(pw, tw))
			return false;
		if (!t)
			return !p ||
			       slice_is(slice_of(p, (size_t)(pend - p)), "#");
		if (!p)
			return false;
		pw = level(slice_of(p, (size_t)(pend - p)), &p);
		tw = level(slice_of(t, (size_t)(tend - t)), &t);
	}
}

static struct slice field(struct slice map, const char *key)
{
	struct slice found = {0};

	map_find(map, key, &found);
	return found;
}

static bool any_matches(struct slice rules, struct slice topic)
{
	struct cursor c = cursor_of(rules);
	bool any = false;

	for (uint32_t n = cursor_array(&c); n > 0; n--) {
		struct slice rule = cursor_raw(&c);
		struct cursor p = cursor_of(field(rule, "pattern"));
		struct slice pattern = cursor_text(&p);

		must(!p.error);
		must(!pattern.n || acl_is_filter(pattern, ACL_MAX_LEVELS));
		any = any || (pattern.n && slow_match(pattern, topic));
	}
	must(!c.error);
	return any;
}

static void on_warning(void *arg, struct slice line)
{
	unsigned *n = arg;

	must(line.n > 0);
	must(++*n <= 64);
}

static void check_match(const struct acl *a, struct slice topic)
{
	struct slice mods;
	int r;

	r = acl_publish_match(a, topic, 0, 0, false, &mods);
	must(r == (acl_is_topic(topic) ? any_matches(acl_publish(a), topic)
				       : ERR_FORMAT));
	must(r == 1 || mods.n == 0);
	r = acl_subscribe_match(a, topic, 0, &mods);
	must(r == (acl_is_filter(topic, 0)
			   ? any_matches(acl_subscribe(a), topic)
			   : ERR_FORMAT));
	must(r == 1 || mods.n == 0);
	(void)!acl_publish_match(a, topic, 2, SIZE_MAX, true, &mods);
}

/* What is canonical can be made canonical. */
static void check_again(const struct acl *a)
{
	struct acl_source src = {
		.mountpoint = acl_mountpoint(a),
		.client_id = acl_client_id(a),
		.username = acl_username(a),
		.publish = acl_publish(a),
		.subscribe = acl_subscribe(a),
	};
	struct buf out = {0};
	struct acl *again = NULL;

	/* Not the same bytes always: a name may be "%u". */
	must(acl_canonical(&src, &out, NULL, NULL) == OK);
	must(acl_new(buf_slice(&out), &again) == OK);
	acl_free(again);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(slice_of(data, size));
	struct acl_source src = {0};
	struct buf out = {0};
	struct acl *a = NULL;
	struct slice topic, mods;
	unsigned warnings = 0;

	if (!scan_whole(slice_of(data, size), 1 << 20))
		return 0;
	if (acl_new(slice_of(data, size), &a) == OK) {
		(void)!acl_publish_match(a, slice_str("a/b"), 0, 0, false,
					 &mods);
		acl_free(a);
		a = NULL;
	}
	if (cursor_array(&c) < 6)
		return 0;
	src.mountpoint = cursor_text(&c);
	src.client_id = cursor_text(&c);
	src.username = cursor_text(&c);
	src.publish = cursor_raw(&c);
	src.subscribe = cursor_raw(&c);
	topic = cursor_text(&c);
	if (c.error)
		return 0;
	if (acl_canonical(&src, &out, on_warning, &warnings) == OK) {
		must(scan_whole(buf_slice(&out), out.n));
		must(acl_new(buf_slice(&out), &a) == OK);
		check_match(a, topic);
		check_again(a);
		acl_free(a);
	} else {
		must(out.n == 0);
	}
	buf_fini(&out);
	return 0;
}
