/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl: from canonical bytes to rules that are matched without allocation.
 * match_levels() is the heart. What scripts give is made canonical in
 * acl_canonical.c.
 */
#include "proto/acl.h"

#include <stdlib.h>

#include "proto/acl_rule.h"
#include "proto/mods.h"
#include "proto/scan.h"
#include "proto/unpack.h"

struct rule {
	struct slice pattern; /* a filter, or empty: matches nothing */
	struct slice mods;
	uint64_t max_payload, max_qos;
	bool retain; /* allowed */
};

struct rules {
	struct slice raw;
	struct rule *rule;
	size_t n;
};

struct acl {
	struct buf bytes;
	struct slice mountpoint, client_id, username;
	struct rules publish, subscribe;
	uint64_t ttl_ms;
};

/* ---- patterns and topics ----------------------------------------------- */

bool acl_is_filter(struct slice s, size_t max_levels)
{
	size_t levels = 1;

	if (s.n == 0 || s.n > ACL_MAX_TOPIC || memchr(s.p, 0, s.n))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		bool first = i == 0 || s.p[i - 1] == '/';
		bool last = i + 1 == s.n || s.p[i + 1] == '/';

		if (s.p[i] == '/')
			levels++;
		else if (s.p[i] == '#' && (!first || i + 1 < s.n))
			return false;
		else if (s.p[i] == '+' && (!first || !last))
			return false;
	}
	return max_levels == 0 || levels <= max_levels;
}

bool acl_is_topic(struct slice s)
{
	return s.n > 0 && s.n <= ACL_MAX_TOPIC && !memchr(s.p, 0, s.n) &&
	       !memchr(s.p, '#', s.n) && !memchr(s.p, '+', s.n);
}

/* Level by level; both are filters. */
static bool match_levels(struct slice pattern, struct slice topic)
{
	const uint8_t *p = pattern.p, *pe = pattern.p + pattern.n;
	const uint8_t *t = topic.p, *te = topic.p + topic.n;

	for (;; p++, t++) {
		if (p < pe && *p == '#')
			return true;
		if (p < pe && *p == '+') {
			for (p++; t < te && *t != '/';)
				t++;
		} else {
			for (; p < pe && *p != '/'; p++, t++)
				if (t == te || *t != *p)
					return false;
			if (t < te && *t != '/')
				return false;
		}
		if (p == pe)
			return t == te;
		if (t == te) /* only "/#" covers its parent */
			return pe - p == 2 && p[1] == '#';
	}
}

/* ---- canonical bytes to rules ------------------------------------------ */

static void read_pair(struct cursor *c, bool publish, struct rule *out)
{
	struct slice key = cursor_text(c);

	if (slice_is(key, "pattern"))
		out->pattern = cursor_text(c);
	else if (slice_is(key, "max_qos"))
		out->max_qos = cursor_uint(c);
	else if (slice_is(key, "modifiers"))
		out->mods = cursor_raw(c);
	else if (publish && slice_is(key, "max_payload_size"))
		out->max_payload = cursor_uint(c);
	else if (publish && slice_is(key, "allowed_retain"))
		out->retain = cursor_bool(c);
	else
		cursor_skip(c); /* of a later version */
}

static int read_rule(struct cursor *c, bool publish, struct rule *out)
{
	enum hook hook =
		publish ? HOOK_AUTH_ON_PUBLISH_M5 : HOOK_AUTH_ON_SUBSCRIBE;

	*out = (struct rule){
		.max_payload = ACL_MAX_PAYLOAD, .max_qos = 2, .retain = true};
	for (uint32_t n = cursor_map(c); n > 0 && !c->error; n--)
		read_pair(c, publish, out);
	if (c->error || out->max_qos > 2)
		return ERR_TYPE;
	if (out->pattern.n && !acl_is_filter(out->pattern, ACL_MAX_LEVELS))
		return ERR_TYPE;
	return out->mods.n ? mods_check(hook, out->mods, NULL) : OK;
}

static int read_rules(struct cursor *c, bool publish, struct rules *out)
{
	struct cursor list;
	uint32_t n;
	int r;

	out->raw = cursor_raw(c);
	list = cursor_of(out->raw);
	n = cursor_array(&list);
	if (list.error)
		return ERR_TYPE;
	if (n > ACL_MAX_RULES)
		return ERR_FORMAT;
	out->rule = calloc(n ? n : 1, sizeof(*out->rule));
	if (!out->rule)
		return ERR_NOMEM;
	for (; out->n < n; out->n++)
		if ((r = read_rule(&list, publish, &out->rule[out->n])) < 0)
			return r;
	return OK;
}

static int read_key(struct acl *a, struct cursor *c)
{
	struct slice key = cursor_text(c);

	if (slice_is(key, "publish") && !a->publish.rule)
		return read_rules(c, true, &a->publish);
	if (slice_is(key, "subscribe") && !a->subscribe.rule)
		return read_rules(c, false, &a->subscribe);
	if (slice_is(key, "mountpoint"))
		a->mountpoint = cursor_text(c);
	else if (slice_is(key, "client_id"))
		a->client_id = cursor_text(c);
	else if (slice_is(key, "username"))
		a->username = cursor_text(c);
	else if (slice_is(key, "ttl_ms"))
		a->ttl_ms = cursor_uint(c);
	else
		cursor_skip(c);
	return OK;
}

static int compile(struct acl *a)
{
	struct cursor c = cursor_of(buf_slice(&a->bytes));
	int r = OK;

	for (uint32_t n = cursor_map(&c); n > 0 && !c.error && r == OK; n--)
		r = read_key(a, &c);
	if (r < 0)
		return r;
	if (c.error || !a->publish.rule || !a->subscribe.rule)
		return ERR_TYPE;
	return OK;
}

int acl_new(struct slice canonical, struct acl **out)
{
	struct acl *a;
	int r;

	if (!scan_whole(canonical, canonical.n))
		return ERR_FORMAT;
	a = calloc(1, sizeof(*a));
	if (!a)
		return ERR_NOMEM;
	buf_add_slice(&a->bytes, canonical);
	r = buf_error(&a->bytes) < 0 ? ERR_NOMEM : compile(a);
	if (r < 0) {
		acl_free(a);
		return r;
	}
	*out = a;
	return OK;
}

void acl_free(struct acl *a)
{
	if (!a)
		return;
	free(a->publish.rule);
	free(a->subscribe.rule);
	buf_fini(&a->bytes);
	free(a);
}

/* ---- parts ------------------------------------------------------------- */

struct slice acl_bytes(const struct acl *a)
{
	return buf_slice(&a->bytes);
}

struct slice acl_mountpoint(const struct acl *a)
{
	return a->mountpoint;
}

struct slice acl_client_id(const struct acl *a)
{
	return a->client_id;
}

struct slice acl_username(const struct acl *a)
{
	return a->username;
}

struct slice acl_publish(const struct acl *a)
{
	return a->publish.raw;
}

struct slice acl_subscribe(const struct acl *a)
{
	return a->subscribe.raw;
}

uint64_t acl_ttl_ms(const struct acl *a)
{
	return a->ttl_ms;
}

size_t acl_memory(const struct acl *a)
{
	return sizeof(*a) + a->bytes.cap +
	       (a->publish.n + a->subscribe.n) * sizeof(struct rule);
}

/* ---- the match --------------------------------------------------------- */

int acl_publish_match(const struct acl *a, struct slice topic, unsigned qos,
		      size_t payload_bytes, bool retain, struct slice *mods)
{
	*mods = (struct slice){0};
	if (!acl_is_topic(topic))
		return ERR_FORMAT;
	for (size_t i = 0; i < a->publish.n; i++) {
		const struct rule *r = &a->publish.rule[i];

		if (!r->pattern.n || qos > r->max_qos ||
		    payload_bytes > r->max_payload || (retain && !r->retain) ||
		    !match_levels(r->pattern, topic))
			continue;
		*mods = r->mods;
		return 1;
	}
	return 0;
}

int acl_subscribe_match(const struct acl *a, struct slice filter, unsigned qos,
			struct slice *mods)
{
	*mods = (struct slice){0};
	if (!acl_is_filter(filter, 0))
		return ERR_FORMAT;
	for (size_t i = 0; i < a->subscribe.n; i++) {
		const struct rule *r = &a->subscribe.rule[i];

		if (!r->pattern.n || qos > r->max_qos ||
		    !match_levels(r->pattern, filter))
			continue;
		*mods = r->mods;
		return 1;
	}
	return 0;
}
