/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acl_canonical: what a script gave to auth_cache.insert, checked and with all
 * defaults, as the bytes that acl_new() takes. A mistake costs the key it is
 * in, never the rule and never the entry. rule() is one rule; field() one key.
 *
 * A word %m, %u or %c becomes a name only when the name can be one level of a
 * topic: a client that calls itself "#" must not write its own access list.
 */
#include <stdio.h>

#include "proto/acl.h"
#include "proto/acl_rule.h"
#include "proto/mods.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum {
	MAX_LINES = 64, /* of warnings; more are counted */
	MAX_SHOWN = 64, /* bytes of a stranger's word in a line */
};

struct maker {
	const struct acl_source *src;
	void (*warn)(void *arg, struct slice line);
	void *arg;
	unsigned nlines;
	bool publish;  /* which list */
	uint32_t rule; /* which rule of it, from 1 */
	struct buf pattern, mods, line;
};

/* One rule as it will be. */
struct made {
	unsigned max_qos;
	uint64_t max_payload;
	bool retain;
	bool pattern; /* one was given */
};

/* ---- warnings ---------------------------------------------------------- */

static void complain(struct maker *m, const char *what, struct slice word,
		     const char *why)
{
	if (!m->warn || m->nlines >= MAX_LINES)
		return;
	buf_clear(&m->line);
	if (++m->nlines == MAX_LINES)
		buf_addf(&m->line, "auth_cache: and more mistakes");
	else
		buf_addf(&m->line, "auth_cache: %s rule %u: %s%s%.*s%s%s",
			 m->publish ? "publish" : "subscribe", m->rule, what,
			 word.n ? " '" : "",
			 (int)(word.n < MAX_SHOWN ? word.n : MAX_SHOWN),
			 word.n ? (const char *)word.p : "", word.n ? "'" : "",
			 why);
	if (buf_error(&m->line) == OK)
		m->warn(m->arg, buf_slice(&m->line));
}

/* ---- values ------------------------------------------------------------ */

/* An integer (or a float that is one) of 0..max; -1: it is none. */
static int64_t integer(struct slice raw, uint64_t max)
{
	struct cursor c = cursor_of(raw);
	double d;

	if (cursor_peek(&c) == CURSOR_INT) {
		uint64_t v = cursor_uint(&c);

		return c.error || v > max ? -1 : (int64_t)v;
	}
	if (cursor_peek(&c) != CURSOR_FLOAT)
		return -1;
	d = cursor_number(&c);
	if (!(d >= 0 && d <= (double)max) || (double)(int64_t)d != d)
		return -1;
	return (int64_t)d;
}

static bool is_text(struct slice raw)
{
	struct cursor c = cursor_of(raw);
	enum cursor_type type = cursor_peek(&c);

	return type == CURSOR_STR || type == CURSOR_BIN;
}

/* A table that is empty in Lua may come as either kind. */
static bool empty(const struct cursor *c)
{
	struct cursor copy = *c;

	if (cursor_peek(&copy) == CURSOR_MAP)
		return cursor_map(&copy) == 0;
	return cursor_peek(&copy) == CURSOR_ARRAY && cursor_array(&copy) == 0;
}

/* ---- the pattern ------------------------------------------------------- */

/* The name that a word stands for, or NULL. */
static const struct slice *meaning(const struct maker *m, struct slice word)
{
	if (slice_is(word, "%m"))
		return &m->src->mountpoint;
	if (slice_is(word, "%u"))
		return &m->src->username;
	if (slice_is(word, "%c"))
		return &m->src->client_id;
	return NULL;
}

static bool one_level(struct slice name)
{
	return name.n == 0 ||
	       (!memchr(name.p, '/', name.n) && !memchr(name.p, '+', name.n) &&
		!memchr(name.p, '#', name.n) && !memchr(name.p, 0, name.n));
}

/* False: one of the names cannot be a level. */
static bool replace_words(struct maker *m, struct slice text)
{
	const uint8_t *p = text.p, *end = text.p + text.n, *slash;

	for (;; p = slash + 1) {
		const struct slice *name;
		struct slice word;

		slash = memchr(p, '/', (size_t)(end - p));
		word = slice_of(p, (size_t)((slash ? slash : end) - p));
		name = meaning(m, word);
		if (name && !one_level(*name))
			return false;
		buf_add_slice(&m->pattern, name ? *name : word);
		if (!slash)
			return true;
		buf_add_byte(&m->pattern, '/');
	}
}

/* Leaves it empty, which matches nothing, when it is wrong. */
static void pattern(struct maker *m, struct slice raw)
{
	unsigned levels = m->src->max_levels;
	struct cursor c = cursor_of(raw);
	struct slice text;

	buf_clear(&m->pattern);
	if (!is_text(raw)) {
		complain(m, "the pattern is no string", (struct slice){0}, "");
		return;
	}
	text = cursor_text(&c);
	if (levels == 0 || levels > ACL_MAX_LEVELS)
		levels = ACL_MAX_LEVELS;
	if (!acl_is_filter(text, levels)) {
		complain(m, "no valid pattern", text, " (it matches nothing)");
		return;
	}
	if (!replace_words(m, text)) {
		complain(m, "in pattern", text,
			 ": a name with '/', '+', '#' or NUL is no level of a "
			 "topic (it matches nothing)");
		buf_clear(&m->pattern);
	} else if (buf_error(&m->pattern) < 0 ||
		   !acl_is_filter(buf_slice(&m->pattern), levels)) {
		complain(m, "no valid pattern with its names:", text,
			 " (it matches nothing)");
		buf_clear(&m->pattern);
	}
}

/* ---- rules ------------------------------------------------------------- */

static void modifiers(struct maker *m, struct slice raw)
{
	enum hook hook =
		m->publish ? HOOK_AUTH_ON_PUBLISH_M5 : HOOK_AUTH_ON_SUBSCRIBE;
	struct cursor c = cursor_of(raw);
	struct buf why = {0};

	buf_clear(&m->mods);
	if (empty(&c))
		return;
	if (mods_clean(hook, raw, &m->mods, &why) < 0) {
		buf_clear(&m->mods);
		buf_add_byte(&why, 0);
		complain(m, "modifiers left out: ", (struct slice){0},
			 buf_error(&why) < 0 ? "no memory" : (char *)why.p);
	}
	buf_fini(&why);
}

static void field(struct maker *m, struct slice key, struct slice raw,
		  struct made *out)
{
	struct cursor c = cursor_of(raw);
	int64_t n;

	if (cursor_nil(&c))
		return;
	if (slice_is(key, "pattern")) {
		out->pattern = true;
		pattern(m, raw);
	} else if (slice_is(key, "modifiers")) {
		modifiers(m, raw);
	} else if (slice_is(key, "max_qos")) {
		if ((n = integer(raw, 2)) >= 0)
			out->max_qos = (unsigned)n;
		else
			complain(m, "max_qos is not 0, 1 or 2",
				 (struct slice){0}, " (left out)");
	} else if (m->publish && slice_is(key, "max_payload_size")) {
		if ((n = integer(raw, ACL_MAX_PAYLOAD)) >= 0)
			out->max_payload = (uint64_t)n;
		else
			complain(m, "max_payload_size is not 0..268435456",
				 (struct slice){0}, " (left out)");
	} else if (m->publish && slice_is(key, "allowed_retain")) {
		if (cursor_peek(&c) == CURSOR_BOOL)
			out->retain = cursor_bool(&c);
		else
			complain(m, "allowed_retain is no boolean",
				 (struct slice){0}, " (left out)");
	} else {
		complain(m, "unknown key", key, " (left out)");
	}
}

static void pack_rule(struct maker *m, const struct made *made, struct buf *out)
{
	pack_map(out, 2 + (m->publish ? 2u : 0) + (m->mods.n ? 1u : 0));
	pack_cstr(out, "pattern");
	pack_text(out, buf_slice(&m->pattern));
	pack_cstr(out, "max_qos");
	pack_uint(out, made->max_qos);
	if (m->publish) {
		pack_cstr(out, "max_payload_size");
		pack_uint(out, made->max_payload);
		pack_cstr(out, "allowed_retain");
		pack_bool(out, made->retain);
	}
	if (m->mods.n) {
		pack_cstr(out, "modifiers");
		pack_raw(out, buf_slice(&m->mods));
	}
}

static int rule(struct maker *m, struct cursor *c, struct buf *out)
{
	struct made made = {2, ACL_MAX_PAYLOAD, true, false};
	uint32_t n = 0;

	buf_clear(&m->pattern);
	buf_clear(&m->mods);
	if (empty(c))
		cursor_skip(c);
	else
		n = cursor_map(c);
	if (c->error)
		return ERR_TYPE;
	for (; n > 0; n--) {
		struct slice raw = cursor_raw(c), key = {0};
		struct cursor kc = cursor_of(raw);

		if (is_text(raw))
			key = cursor_text(&kc);
		field(m, key, cursor_raw(c), &made);
		if (c->error)
			return ERR_TYPE;
	}
	if (!made.pattern)
		complain(m, "no pattern", (struct slice){0},
			 " (it matches nothing)");
	pack_rule(m, &made, out);
	return OK;
}

static int list(struct maker *m, struct slice raw, struct buf *out)
{
	struct cursor c = cursor_of(raw);
	uint32_t n = 0;
	int r;

	if (raw.n && !cursor_nil(&c) && !empty(&c))
		n = cursor_array(&c);
	if (c.error)
		return ERR_TYPE;
	if (n > ACL_MAX_RULES)
		return ERR_RANGE;
	pack_array(out, n);
	for (m->rule = 1; m->rule <= n; m->rule++)
		if ((r = rule(m, &c, out)) < 0)
			return r;
	return OK;
}

static int entry(struct maker *m, struct buf *out)
{
	const struct acl_source *src = m->src;
	int r;

	pack_map(out, 6);
	pack_cstr(out, "mountpoint");
	pack_text(out, src->mountpoint);
	pack_cstr(out, "client_id");
	pack_text(out, src->client_id);
	pack_cstr(out, "username");
	pack_text(out, src->username);
	pack_cstr(out, "ttl_ms");
	pack_uint(out, src->ttl_ms);
	pack_cstr(out, "publish");
	m->publish = true;
	if ((r = list(m, src->publish, out)) < 0)
		return r;
	pack_cstr(out, "subscribe");
	m->publish = false;
	return list(m, src->subscribe, out);
}

int acl_canonical(const struct acl_source *src, struct buf *out,
		  void (*warn)(void *arg, struct slice line), void *arg)
{
	struct maker m = {.src = src, .warn = warn, .arg = arg};
	size_t before = out->n;
	int r;

	buf_init(&m.pattern, ACL_MAX_TOPIC);
	r = entry(&m, out);
	buf_fini(&m.pattern);
	buf_fini(&m.mods);
	buf_fini(&m.line);
	if (r == OK)
		r = buf_error(out);
	if (r < 0)
		out->n = before;
	return r;
}
