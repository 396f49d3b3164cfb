/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effects_seq: the decoder of effects. Every element of the sequence goes
 * through a scan before a cursor reads it; the shapes are a table.
 */
#include "broker/effects.h"
#include "broker/name.h"
#include "proto/proto.h"
#include "proto/scan.h"
#include "proto/unpack.h"

/* One letter per argument: k key, v value, t ttl, e event name, d data,
 * n artifact name, o its new name, b blob, s size. */
static const struct {
	const char *name, *args;
} shapes[EFFECT_COUNT] = {
	[EFFECT_KV_SET] = {"kv.set", "kvt"},
	[EFFECT_KV_DELETE] = {"kv.delete", "k"},
	[EFFECT_BUS_EMIT] = {"bus.emit", "ed"},
	[EFFECT_ARTIFACT_WRITE] = {"artifact.write", "nbs"},
	[EFFECT_ARTIFACT_DELETE] = {"artifact.delete", "n"},
	[EFFECT_ARTIFACT_RENAME] = {"artifact.rename", "no"},
};

const char *effect_name(enum effect effect)
{
	return effect < EFFECT_COUNT ? shapes[effect].name : "effect";
}

static enum effect parse(struct slice name)
{
	enum effect e = 0;

	while (e < EFFECT_COUNT && !slice_is(name, shapes[e].name))
		e++;
	return e;
}

/* One value that is no container. */
static bool plain_ok(struct cursor *c)
{
	switch (cursor_peek(c)) {
	case CURSOR_STR:
		return slice_is_utf8(cursor_text(c));
	case CURSOR_EXT:
	case CURSOR_END:
		return false;
	default:
		cursor_skip(c);
		return c->error == 0;
	}
}

/* Subscribers decode this: no str that is no text, no extension, no
 * container for a key, not deep. */
static bool data_ok(struct slice data)
{
	uint64_t left[EFFECTS_DATA_DEPTH + 1] = {1};
	bool map[EFFECTS_DATA_DEPTH + 1] = {false};
	struct cursor c = cursor_of(data);
	size_t depth = 0;

	for (;;) {
		enum cursor_type type;
		bool key;

		while (left[depth] == 0) {
			if (depth-- == 0)
				return c.error == 0 && c.p == c.end;
		}
		key = map[depth] && left[depth] % 2 == 0;
		left[depth]--;
		type = cursor_peek(&c);
		if (type != CURSOR_ARRAY && type != CURSOR_MAP) {
			if (!plain_ok(&c))
				return false;
			continue;
		}
		if (key || ++depth > EFFECTS_DATA_DEPTH)
			return false;
		map[depth] = type == CURSOR_MAP;
		left[depth] = type == CURSOR_ARRAY
				      ? cursor_array(&c)
				      : 2 * (uint64_t)cursor_map(&c);
	}
}

static bool read_arg(struct cursor *c, char kind, struct effect_view *out)
{
	switch (kind) {
	case 'k':
	case 'e':
		out->name = cursor_text(c);
		return out->name.n <= PROTO_MAX_KEY;
	case 'v':
		out->value = cursor_text(c);
		return true; /* the limit is configured */
	case 't':
		out->ttl_ms = cursor_uint(c);
		return true;
	case 'd':
		out->value = cursor_raw(c);
		return c->error == 0 && data_ok(out->value);
	case 'n':
		out->name = cursor_text(c);
		return name_ok(out->name);
	case 'o':
		out->value = cursor_text(c);
		return name_ok(out->value);
	case 'b':
		out->blob = cursor_uint(c);
		return true;
	default:
		out->size = cursor_uint(c);
		return true;
	}
}

static int decode(struct slice value, struct effect_view *out)
{
	struct cursor c = cursor_of(value);
	uint32_t n = cursor_array(&c);
	const char *args;

	*out = (struct effect_view){.effect = EFFECT_COUNT};
	if (n == 0)
		return ERR_FORMAT;
	out->effect = parse(cursor_text(&c));
	if (c.error || out->effect == EFFECT_COUNT)
		return ERR_FORMAT;
	args = shapes[out->effect].args;
	if (n != strlen(args) + 1)
		return ERR_FORMAT;
	for (; *args; args++)
		if (!read_arg(&c, *args, out) || c.error)
			return ERR_FORMAT;
	return c.p == c.end ? 1 : ERR_FORMAT;
}

int effects_next(struct slice seq, size_t *at, struct effect_view *out)
{
	struct slice rest;
	struct scan scan;
	size_t n;

	if (*at == seq.n)
		return 0;
	rest = slice_of(seq.p + *at, seq.n - *at);
	scan_init(&scan, rest.n);
	if (scan_next(&scan, rest, &n) != 1)
		return ERR_FORMAT;
	*at += n;
	return decode(slice_of(rest.p, n), out);
}

int effects_walk(struct effects_walk *w, struct effect_view *out)
{
	uint64_t max = w->max ? w->max : PROTO_MAX_EFFECTS;
	uint64_t bytes = w->max_bytes ? w->max_bytes : PROTO_MAX_EFFECT_BYTES;
	int r;

	*out = (struct effect_view){.effect = EFFECT_COUNT};
	if (w->seq.n > bytes + max * EFFECTS_PACKING)
		return ERR_FORMAT;
	r = effects_next(w->seq, &w->at, out);
	if (r > 0 && ++w->n > max)
		return ERR_FORMAT;
	return r;
}
