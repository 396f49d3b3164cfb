/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: a walk over the event's map that knows what stands where. Every
 * value has a place, which its key and its parent's place decide (inside());
 * text() says what becomes of text in that place.
 */
#include "broker/redact.h"

#include "proto/ops.h"
#include "proto/pack.h"
#include "proto/unpack.h"

#define REDACTED "[redacted]"

enum place {
	PLAIN,
	HEADERS,
	COOKIES,
	SECRET,
	AUTHORIZATION,
	COOKIE,
	SET_COOKIE,
	COUNT,
};

struct walk {
	struct redacted *out;
	bool secrets;
	struct slice parent; /* the key of the map that is walked */
};

static bool is_field(struct slice name, const char *field)
{
	return header_name_eq(name, slice_str(field));
}

static enum place of_header(struct slice name)
{
	if (is_field(name, "authorization") ||
	    is_field(name, "proxy-authorization"))
		return AUTHORIZATION;
	if (is_field(name, "cookie"))
		return COOKIE;
	if (is_field(name, "set-cookie"))
		return SET_COOKIE;
	return redact_name(name) ? SECRET : PLAIN;
}

static enum place inside(enum place parent, struct slice key)
{
	if (parent == HEADERS)
		return of_header(key);
	if (parent == COOKIES || parent == SECRET)
		return SECRET;
	if (slice_is(key, "headers") || slice_is(key, "p_user_property"))
		return HEADERS;
	if (slice_is(key, "cookies"))
		return COOKIES;
	return redact_name(key) ? SECRET : PLAIN;
}

/* NAME=VALUE; NAME=VALUE ...: of all pairs, or of the first only. */
static void cookie_line(struct slice s, bool all, struct buf *out)
{
	bool first = true;

	for (size_t at = 0; at < s.n; first = false) {
		const uint8_t *end = memchr(s.p + at, ';', s.n - at), *equals;
		size_t n = end ? (size_t)(end - s.p) + 1 - at : s.n - at;

		equals = memchr(s.p + at, '=', n);
		if (!all && !first) {
			buf_add(out, s.p + at, n);
		} else {
			if (equals)
				buf_add(out, s.p + at,
					(size_t)(equals + 1 - s.p) - at);
			buf_addf(out, REDACTED "%s", end ? ";" : "");
		}
		at += n;
		while (all && at < s.n && s.p[at] == ' ')
			buf_add_byte(out, s.p[at++]);
	}
}

static void scheme(struct slice s, struct buf *out)
{
	const uint8_t *blank = s.n ? memchr(s.p, ' ', s.n) : NULL;

	if (blank)
		buf_add(out, s.p, (size_t)(blank - s.p) + 1);
	buf_addf(out, REDACTED);
}

static void text(struct walk *w, struct slice s, enum place place, bool bin)
{
	struct buf *out = &w->out->event, clean = {0};

	if (w->secrets) {
		buf_add_slice(&clean, s);
		place = COUNT;
	}
	switch (place) {
	case COUNT:
		break;
	case PLAIN:
		redact_text(s, &clean);
		break;
	case AUTHORIZATION:
		scheme(s, &clean);
		break;
	case COOKIE:
	case SET_COOKIE:
		cookie_line(s, place == COOKIE, &clean);
		break;
	default:
		buf_addf(&clean, REDACTED);
	}
	if (buf_error(&clean) < 0)
		out->error = buf_error(&clean);
	else if (bin)
		pack_bin(out, buf_slice(&clean));
	else
		pack_str(out, buf_slice(&clean));
	buf_fini(&clean);
}

/* A container's head with room for any count, which comes at the end. */
static size_t open_map(struct buf *out)
{
	buf_add(out, "\xdf\0\0\0", 5);
	return out->n;
}

static void close_map(struct buf *out, size_t at, uint32_t n)
{
	for (size_t i = 0; i < 4 && !buf_error(out); i++)
		out->p[at - 4 + i] = (uint8_t)(n >> (24 - 8 * i));
}

static void value(struct walk *w, struct cursor *c, enum place place);

static void leave_out(struct walk *w, struct slice key)
{
	struct buf name = {0};

	buf_add_slice(&name, w->parent);
	buf_add(&name, ".", w->parent.n > 0);
	buf_add_slice(&name, key);
	pack_text(&w->out->left_out, buf_slice(&name));
	w->out->nleft_out++;
	buf_fini(&name);
}

/* Pairs of a map, but what `hidden` has as well; how many were written. */
static uint32_t pairs(struct walk *w, struct cursor *c, enum place place,
		      struct slice hidden)
{
	uint32_t n = cursor_map(c), kept = 0;
	struct slice parent = w->parent;

	while (n-- > 0 && !c->error) {
		struct slice raw = cursor_raw(c), unused;
		struct cursor again = cursor_of(raw);
		struct slice key = cursor_text(&again);
		char word[16] = {0};

		if (key.n < sizeof(word) && key.n)
			memcpy(word, key.p, key.n);
		if (cursor_peek(c) == CURSOR_EXT) {
			leave_out(w, key);
			cursor_skip(c);
			continue;
		}
		if (*word && map_find(hidden, word, &unused)) {
			cursor_skip(c);
			continue;
		}
		pack_raw(&w->out->event, raw);
		w->parent = key;
		value(w, c, inside(place, key));
		w->parent = parent;
		kept++;
	}
	return kept;
}

/* [name, value] inside of headers. */
static void field(struct walk *w, struct cursor *c)
{
	uint32_t n = cursor_array(c);
	enum place place = PLAIN;

	pack_array(&w->out->event, n);
	for (uint32_t i = 0; i < n && !c->error; i++) {
		enum cursor_type type = cursor_peek(c);

		if (i == 0 && (type == CURSOR_STR || type == CURSOR_BIN)) {
			struct cursor again = *c;

			place = of_header(cursor_text(&again));
			pack_raw(&w->out->event, cursor_raw(c));
		} else {
			value(w, c, place);
		}
	}
}

/* The depth is bounded by the scan that the message has passed. */
static void value(struct walk *w, struct cursor *c, enum place place)
{
	struct buf *out = &w->out->event;
	enum cursor_type type = cursor_peek(c);
	size_t at;
	uint32_t n;

	switch (type) {
	case CURSOR_MAP:
		at = open_map(out);
		n = pairs(w, c, place, slice_of(NULL, 0));
		close_map(out, at, n);
		break;
	case CURSOR_ARRAY:
		n = cursor_array(c);
		pack_array(out, n);
		while (n-- > 0 && !c->error) {
			if (place == HEADERS && cursor_peek(c) == CURSOR_ARRAY)
				field(w, c);
			else
				value(w, c, place);
		}
		break;
	case CURSOR_STR:
	case CURSOR_BIN:
		text(w, cursor_text(c), place, type == CURSOR_BIN);
		break;
	case CURSOR_EXT:
		cursor_skip(c);
		pack_nil(out);
		break;
	case CURSOR_INT:
	case CURSOR_FLOAT:
		if (place == SECRET && !w->secrets) {
			cursor_skip(c);
			pack_cstr(out, REDACTED);
			break;
		}
		/* fall through */
	default:
		pack_raw(out, cursor_raw(c));
	}
	if (c->error && !out->error)
		out->error = ERR_FORMAT;
}

void redact_event(struct slice event, struct slice extra, bool secrets,
		  struct redacted *out)
{
	struct walk w = {.out = out, .secrets = secrets};
	struct cursor c = cursor_of(event), more = cursor_of(extra);
	size_t at = open_map(&out->event);
	uint32_t n = pairs(&w, &c, PLAIN, extra);

	if (extra.n)
		n += pairs(&w, &more, PLAIN, slice_of(NULL, 0));
	close_map(&out->event, at, n);
	if ((c.error || more.error) && !out->event.error)
		out->event.error = ERR_FORMAT;
}

void redacted_fini(struct redacted *r)
{
	buf_fini(&r->event);
	buf_fini(&r->left_out);
	*r = (struct redacted){0};
}
