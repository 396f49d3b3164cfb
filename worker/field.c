/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field: names by length and first letter, then one memcmp; and the walk over
 * a map that stops at what was asked for. On the hot path of every event.
 */
#include "worker/field.h"

#include "proto/unpack.h"

static const struct {
	const char *name;
	uint8_t n;
} names[FIELD_COUNT] = {
#define NAME(field, text) [field] = {text, sizeof(text) - 1}
	NAME(FIELD_NONE, ""),
	NAME(FIELD_ID, "id"),
	NAME(FIELD_SESSION_ID, "session_id"),
	NAME(FIELD_IS_FINISHED, "is_finished"),
	NAME(FIELD_REQ, "req"),
	NAME(FIELD_RESP, "resp"),
	NAME(FIELD_WS, "ws"),
	NAME(FIELD_ERR, "err"),
	NAME(FIELD_OPTS, "opts"),
	NAME(FIELD_PROTO, "proto"),
	NAME(FIELD_HOST, "host"),
	NAME(FIELD_SCHEME, "scheme"),
	NAME(FIELD_METHOD, "method"),
	NAME(FIELD_PATH, "path"),
	NAME(FIELD_QUERY, "query"),
	NAME(FIELD_URL, "url"),
	NAME(FIELD_REMOTE_ADDR, "remote_addr"),
	NAME(FIELD_HEADERS, "headers"),
	NAME(FIELD_COOKIES, "cookies"),
	NAME(FIELD_BODY, "body"),
	NAME(FIELD_CONTENT_LENGTH, "content_length"),
	NAME(FIELD_STATUS, "status"),
	NAME(FIELD_STATUS_CODE, "status_code"),
	NAME(FIELD_DIRECTION, "direction"),
	NAME(FIELD_OPCODE, "opcode"),
	NAME(FIELD_OPCODE_NAME, "opcode_name"),
	NAME(FIELD_DATA, "data"),
	NAME(FIELD_TEXT, "text"),
	NAME(FIELD_TIMESTAMP, "timestamp"),
#undef NAME
};

/* One candidate for a length and a letter at a place where names differ. */
static enum field candidate(const uint8_t *p, size_t n)
{
	switch (n) {
	case 2:
		return p[0] == 'i' ? FIELD_ID : FIELD_WS;
	case 3:
		return p[0] == 'r'   ? FIELD_REQ
		       : p[0] == 'u' ? FIELD_URL
				     : FIELD_ERR;
	case 4:
		switch (p[0]) {
		case 'r':
			return FIELD_RESP;
		case 'h':
			return FIELD_HOST;
		case 'p':
			return FIELD_PATH;
		case 'b':
			return FIELD_BODY;
		case 'o':
			return FIELD_OPTS;
		case 'd':
			return FIELD_DATA;
		default:
			return FIELD_TEXT;
		}
	case 5:
		return p[0] == 'p' ? FIELD_PROTO : FIELD_QUERY;
	case 6:
		return p[0] == 'm'   ? FIELD_METHOD
		       : p[0] == 'o' ? FIELD_OPCODE
		       : p[1] == 'c' ? FIELD_SCHEME
				     : FIELD_STATUS;
	case 7:
		return p[0] == 'h' ? FIELD_HEADERS : FIELD_COOKIES;
	case 9:
		return p[0] == 'd' ? FIELD_DIRECTION : FIELD_TIMESTAMP;
	case 10:
		return FIELD_SESSION_ID;
	case 11:
		return p[0] == 'i'   ? FIELD_IS_FINISHED
		       : p[0] == 'r' ? FIELD_REMOTE_ADDR
		       : p[0] == 's' ? FIELD_STATUS_CODE
				     : FIELD_OPCODE_NAME;
	case 14:
		return FIELD_CONTENT_LENGTH;
	default:
		return FIELD_NONE;
	}
}

enum field field_parse(struct slice name)
{
	enum field f = candidate(name.p, name.n);

	if (f != FIELD_NONE && memcmp(name.p, names[f].name, name.n) == 0)
		return f;
	return FIELD_NONE;
}

const char *field_name(enum field f)
{
	return names[f].name;
}

bool fields_open(struct fields *f, const uint8_t *base, uint32_t off,
		 uint32_t end)
{
	struct cursor c = cursor_of(slice_of(base + off, end - off));

	*f = (struct fields){.open = true, .end = end};
	if (cursor_peek(&c) != CURSOR_MAP)
		return false;
	f->left = cursor_map(&c);
	f->at = (uint32_t)(c.p - base);
	f->bad = c.error != 0;
	return !f->bad;
}

/* The next pair: notes it and leaves the walk before its value. */
static enum field step(struct fields *f, const uint8_t *base)
{
	struct cursor c = cursor_of(slice_of(base + f->at, f->end - f->at));
	enum field found = FIELD_NONE;
	enum cursor_type type;

	if (f->skip)
		cursor_skip(&c);
	type = cursor_peek(&c);
	if (type == CURSOR_STR || type == CURSOR_BIN)
		found = field_parse(cursor_text(&c));
	else
		cursor_skip(&c);
	if (c.error || c.p == c.end) {
		f->bad = true;
		return FIELD_NONE;
	}
	f->left--;
	f->at = (uint32_t)(c.p - base);
	f->skip = true;
	if (!f->off[found])
		f->off[found] = f->at;
	return found;
}

struct slice fields_find(struct fields *f, const uint8_t *base, enum field want)
{
	while (!f->off[want] && f->left && !f->bad)
		if (step(f, base) == want)
			break;
	if (!f->off[want] || f->bad)
		return (struct slice){0};
	return slice_of(base + f->off[want], f->end - f->off[want]);
}
