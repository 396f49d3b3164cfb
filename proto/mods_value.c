/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mods_value: see mods_value.h. Every kind is one function, which consumes
 * its value, checks it, and copies it if there is an output. Start at
 * mods_walk_value().
 */
#include "proto/mods_value.h"

#include <stdio.h>

#include "proto/acl_rule.h"
#include "proto/pack.h"

enum { SHOWN = 40 };

/* --- mistakes --- */

int mods_fail(struct mods_walk *w, const char *what)
{
	if (w->error)
		return w->error;
	w->error = ERR_TYPE;
	if (w->why && w->name)
		buf_addf(w->why, "modifier %s: %s", w->name, what);
	else if (w->why)
		buf_addf(w->why, "%s", what);
	return w->error;
}

static int show(char *out, size_t size, struct cursor at)
{
	struct slice text;

	switch (cursor_peek(&at)) {
	case CURSOR_BOOL:
		return snprintf(out, size, "%s",
				cursor_bool(&at) ? "true" : "false");
	case CURSOR_INT:
	case CURSOR_FLOAT:
		return snprintf(out, size, "%.14g", cursor_number(&at));
	case CURSOR_STR:
	case CURSOR_BIN:
		text = cursor_text(&at);
		return snprintf(out, size, "'%.*s%s",
				text.n < SHOWN ? (int)text.n : SHOWN,
				(const char *)text.p,
				text.n < SHOWN ? "'" : "...'");
	case CURSOR_ARRAY:
	case CURSOR_MAP:
		return snprintf(out, size, "a table");
	default:
		return snprintf(out, size, "nothing");
	}
}

/* The value at `at` "is no topic". */
static void fail(struct mods_walk *w, struct cursor at, const char *what)
{
	char line[128], value[64];

	show(value, sizeof(value), at);
	snprintf(line, sizeof(line), "%s %s", value, what);
	(void)mods_fail(w, line);
}

static bool is_filter(struct slice topic)
{
	return acl_is_filter(topic, 0);
}

/* --- one value each --- */

static void walk_bool(struct mods_walk *w)
{
	struct cursor at = w->c;
	bool v = cursor_bool(&w->c);

	if (w->c.error)
		fail(w, at, "is neither true nor false");
	else if (w->out)
		pack_bool(w->out, v);
}

static bool round_to(double v, int64_t *out)
{
	if (!(v > -9e15 && v < 9e15))
		return false;
	*out = (int64_t)(v < 0 ? v - 0.5 : v + 0.5);
	return true;
}

/* From low to high, or from 128 to 255 if `reason`. */
static void walk_int(struct mods_walk *w, int64_t low, int64_t high,
		     bool reason)
{
	struct cursor at = w->c;
	int64_t v;

	if (w->out && cursor_peek(&w->c) == CURSOR_FLOAT) {
		if (!round_to(cursor_number(&w->c), &v)) {
			fail(w, at, "is no integer");
			return;
		}
	} else {
		v = cursor_int(&w->c);
	}
	if (w->c.error)
		fail(w, at, "is no integer");
	else if ((v < low || v > high) && !(reason && v >= 128 && v <= 255))
		fail(w, at, "is out of range");
	else if (w->out)
		pack_int(w->out, v);
}

static struct slice walk_text(struct mods_walk *w)
{
	struct cursor at = w->c;
	bool str = cursor_peek(&w->c) == CURSOR_STR;
	struct slice text = cursor_text(&w->c);

	if (w->c.error)
		fail(w, at, "is no string");
	else if (str && !slice_is_utf8(text))
		fail(w, at, "is no UTF-8");
	else if (w->out)
		pack_text(w->out, text);
	return text;
}

static void walk_topic(struct mods_walk *w, bool (*ok)(struct slice),
		       const char *what)
{
	struct cursor at = w->c;
	enum cursor_type type = cursor_peek(&w->c);
	struct slice text;

	if (type != CURSOR_STR && type != CURSOR_BIN) {
		fail(w, at, what);
		return;
	}
	text = walk_text(w);
	if (!ok(text))
		fail(w, at, what);
}

static void walk_word(struct mods_walk *w, const char *const *words)
{
	struct cursor at = w->c;
	struct slice text = walk_text(w);

	while (*words && !slice_is(text, *words))
		words++;
	if (!*words)
		fail(w, at, "is none of the words that are known here");
}

/* --- containers --- */

static uint32_t walk_array(struct mods_walk *w, const char *what)
{
	struct cursor at = w->c;
	uint32_t n = cursor_array(&w->c);

	if (w->c.error)
		fail(w, at, what);
	else if (w->out)
		pack_array(w->out, n);
	return w->c.error ? 0 : n;
}

static void walk_list(struct mods_walk *w, enum mods_kind kind)
{
	uint32_t n = walk_array(w, "is no array");

	while (n-- > 0 && !w->error)
		mods_walk_value(w, kind, NULL);
}

/* {name = "value"} */
static void walk_user(struct mods_walk *w)
{
	uint32_t n = walk_array(w, "is no array");

	while (n-- > 0 && !w->error) {
		struct cursor at = w->c;

		if (cursor_peek(&w->c) != CURSOR_MAP ||
		    cursor_map(&w->c) != 1) {
			fail(w, at, "is no table of one name and its value");
			return;
		}
		if (w->out)
			pack_map(w->out, 1);
		(void)walk_text(w);
		(void)walk_text(w);
	}
}

static const char *const handlings[] = {"send_retain", "send_if_new_sub",
					"dont_send", NULL};
static const char *const formats[] = {"utf8", "undefined", NULL};

static const struct mods_key options[] = {
	{"rap", MODS_BOOL, false, NULL},
	{"no_local", MODS_BOOL, false, NULL},
	{"retain_handling", MODS_HANDLING, false, NULL},
	{"sub_id", MODS_IDS, false, NULL},
};

static const struct mods_map options_map = {options,
					    sizeof(options) / sizeof(*options)};

/* A QoS, or with MQTT 5 perhaps {qos, options} */
static void walk_wanted(struct mods_walk *w, bool m5)
{
	struct cursor at = w->c;

	if (!m5 || cursor_peek(&w->c) != CURSOR_ARRAY) {
		walk_int(w, 0, 2, true);
		return;
	}
	if (walk_array(w, "is no array") != 2) {
		fail(w, at, "is no pair of a QoS and options");
		return;
	}
	walk_int(w, 0, 2, true);
	if (!w->error)
		mods_walk_map(w, &options_map, false);
}

static void walk_subscriptions(struct mods_walk *w, bool m5)
{
	uint32_t n = walk_array(w, "is no array");

	while (n-- > 0 && !w->error) {
		struct cursor at = w->c;

		if (cursor_peek(&w->c) != CURSOR_ARRAY ||
		    walk_array(w, "") != 2) {
			fail(w, at, "is no pair of a topic and a QoS");
			return;
		}
		walk_topic(w, is_filter, "is no topic filter");
		if (!w->error)
			walk_wanted(w, m5);
	}
}

static void walk_ids(struct mods_walk *w)
{
	if (cursor_peek(&w->c) == CURSOR_ARRAY)
		walk_list(w, MODS_U32);
	else
		walk_int(w, 0, UINT32_MAX, false);
}

void mods_walk_value(struct mods_walk *w, enum mods_kind kind,
		     const struct mods_map *map)
{
	switch (kind) {
	case MODS_BOOL:
		walk_bool(w);
		return;
	case MODS_INT:
		walk_int(w, INT64_MIN, INT64_MAX, false);
		return;
	case MODS_U32:
		walk_int(w, 0, UINT32_MAX, false);
		return;
	case MODS_BYTE:
		walk_int(w, 0, 255, false);
		return;
	case MODS_QOS:
		walk_int(w, 0, 2, false);
		return;
	case MODS_TEXT:
		(void)walk_text(w);
		return;
	case MODS_TOPIC:
		walk_topic(w, acl_is_topic, "is no topic");
		return;
	case MODS_FILTER:
		walk_topic(w, is_filter, "is no topic filter");
		return;
	case MODS_FORMAT:
		walk_word(w, formats);
		return;
	case MODS_HANDLING:
		walk_word(w, handlings);
		return;
	case MODS_USER:
		walk_user(w);
		return;
	case MODS_MAP:
		mods_walk_map(w, map, false);
		return;
	case MODS_FILTERS:
		walk_list(w, MODS_FILTER);
		return;
	case MODS_SUBSCRIPTIONS:
		walk_subscriptions(w, false);
		return;
	case MODS_SUBSCRIPTIONS_M5:
		walk_subscriptions(w, true);
		return;
	case MODS_IDS:
		walk_ids(w);
		return;
	case MODS_NONE:
		(void)mods_fail(w, "none is allowed here");
	}
}

/* --- maps --- */

static void fail_unknown(struct mods_walk *w, struct cursor at)
{
	char value[64], line[96];

	show(value, sizeof(value), at);
	snprintf(line, sizeof(line), "unknown modifier %s", value);
	w->name = NULL;
	(void)mods_fail(w, line);
}

/* Which key is next; map->n: none of these, or one for the second time. */
static size_t walk_key(struct mods_walk *w, const struct mods_map *map,
		       uint32_t *seen)
{
	struct cursor at = w->c;
	bool str = cursor_peek(&w->c) == CURSOR_STR;
	struct slice name = str ? cursor_text(&w->c) : (struct slice){0};
	size_t i = 0;

	while (i < map->n && !slice_is(name, map->keys[i].name))
		i++;
	if (i == map->n || (*seen >> i & 1)) {
		fail_unknown(w, at);
		return map->n;
	}
	*seen |= 1u << i;
	if (w->out)
		pack_str(w->out, name);
	return i;
}

static void walk_pairs(struct mods_walk *w, const struct mods_map *map,
		       uint32_t n)
{
	uint32_t seen = 0;

	while (n-- > 0 && !w->error) {
		const char *outer = w->name;
		size_t i = walk_key(w, map, &seen);

		if (i == map->n)
			return;
		w->name = map->keys[i].name;
		mods_walk_value(w, map->keys[i].kind, map->keys[i].map);
		if (!w->error)
			w->name = outer;
	}
	for (size_t i = 0; i < map->n && !w->error; i++) {
		if (!map->keys[i].required || (seen >> i & 1))
			continue;
		w->name = map->keys[i].name;
		(void)mods_fail(w, "is missing");
	}
}

/* Lua's empty table comes as an array. */
static bool is_empty_array(const struct cursor *c)
{
	struct cursor copy = *c;

	return cursor_peek(&copy) == CURSOR_ARRAY && cursor_array(&copy) == 0 &&
	       !copy.error;
}

void mods_walk_map(struct mods_walk *w, const struct mods_map *map, bool filled)
{
	struct cursor at = w->c;
	uint32_t n;

	n = is_empty_array(&w->c) ? cursor_array(&w->c) : cursor_map(&w->c);
	if (w->c.error) {
		fail(w, at,
		     cursor_peek(&at) == CURSOR_ARRAY
			     ? "with numbers as keys, where names are due"
			     : "is no table of modifiers");
		return;
	}
	if (n == 0 && filled) {
		(void)mods_fail(w, "an empty table");
		return;
	}
	if (w->out)
		pack_map(w->out, n);
	walk_pairs(w, map, n);
}
