/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mods_merge: the properties of a publish after modifiers.
 */
#include "lib/map.h"
#include "proto/mods.h"
#include "proto/pack.h"
#include "proto/unpack.h"

static const char user_key[] = "p_user_property";

static uint32_t map_pairs(struct slice map, struct cursor *c)
{
	*c = cursor_of(map);
	return cursor_peek(c) == CURSOR_MAP ? cursor_map(c) : 0;
}

static struct slice find_user(struct slice map)
{
	struct slice found = {0};

	if (map_find(map, user_key, &found))
		return found;
	return (struct slice){0};
}

static uint32_t elements(struct slice array, struct cursor *c)
{
	*c = cursor_of(array);
	return cursor_peek(c) == CURSOR_ARRAY ? cursor_array(c) : 0;
}

/* The name in a map of one. */
static struct slice user_name(struct slice pair)
{
	struct cursor c = cursor_of(pair);

	if (cursor_peek(&c) != CURSOR_MAP || cursor_map(&c) != 1)
		return (struct slice){0};
	return cursor_text(&c);
}

/* The names in `list`, for looking up: a client may send very many. */
static int read_names(struct slice list, struct map *names)
{
	static char mark;
	struct cursor c;
	uint32_t n = elements(list, &c);

	while (n-- > 0 && !c.error)
		if (map_put(names, user_name(cursor_raw(&c)), &mark, NULL) < 0)
			return ERR_NOMEM;
	return OK;
}

/* Those of `list` whose name is not in `but`: their number, and if `out` they
 * themselves. */
static uint32_t users_but(struct slice list, const struct map *but,
			  struct buf *out)
{
	struct cursor c;
	uint32_t n = elements(list, &c), kept = 0;

	while (n-- > 0 && !c.error) {
		struct slice pair = cursor_raw(&c);

		if (c.error || map_get(but, user_name(pair)))
			continue;
		kept++;
		if (out)
			pack_raw(out, pair);
	}
	return kept;
}

static void merge_users(struct slice input, struct slice mods, struct buf *out)
{
	static const struct map none;
	struct map names = {0};

	if (read_names(mods, &names) < 0) {
		out->error = ERR_NOMEM;
	} else {
		pack_array(out, users_but(input, &names, NULL) +
					users_but(mods, &none, NULL));
		users_but(input, &names, out);
		users_but(mods, &none, out);
	}
	map_fini(&names);
}

static bool has_key(struct slice map, struct slice key)
{
	struct cursor c;
	uint32_t n = map_pairs(map, &c);

	for (; n > 0 && !c.error; n--) {
		if (slice_eq(cursor_text(&c), key))
			return true;
		cursor_skip(&c);
	}
	return false;
}

/* Pairs of `map` whose key is neither p_user_property nor in `but`. */
static uint32_t pairs_but(struct slice map, struct slice but, struct buf *out)
{
	struct cursor c;
	uint32_t n = map_pairs(map, &c), kept = 0;

	while (n-- > 0 && !c.error) {
		struct slice key = cursor_text(&c), value = cursor_raw(&c);

		if (c.error || slice_is(key, user_key) || has_key(but, key))
			continue;
		kept++;
		if (!out)
			continue;
		pack_text(out, key);
		pack_raw(out, value);
	}
	return kept;
}

void mods_merge_properties(struct slice input, struct slice mods,
			   struct buf *out)
{
	static const struct slice none = {0};
	struct slice users[2] = {find_user(input), find_user(mods)};
	bool user = users[0].n || users[1].n;
	uint32_t n = pairs_but(input, mods, NULL) + pairs_but(mods, none, NULL);

	pack_map(out, n + user);
	pairs_but(input, mods, out);
	pairs_but(mods, none, out);
	if (!user)
		return;
	pack_cstr(out, user_key);
	merge_users(users[0], users[1], out);
}

void mods_merge_publish(struct slice event, struct slice mods, struct buf *out)
{
	struct slice input = {0}, properties;
	struct cursor c;
	uint32_t n;

	if (!map_find(mods, "properties", &properties)) {
		pack_raw(out, mods);
		return;
	}
	if (!map_find(event, "properties", &input))
		input = (struct slice){0};
	n = map_pairs(mods, &c);
	pack_map(out, n);
	while (n-- > 0 && !c.error) {
		struct slice key = cursor_text(&c), value = cursor_raw(&c);

		pack_text(out, key);
		if (slice_is(key, "properties"))
			mods_merge_properties(input, value, out);
		else
			pack_raw(out, value);
	}
}
