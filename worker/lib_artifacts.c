/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_artifacts: artifacts.write read exists delete rename list. Content goes
 * ahead to the broker as blobs that nobody sees; names are effects. What the
 * run itself did so far is seen by its own reads. These functions may ask more
 * than once, so they wait in place. Start at look().
 */
#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/convert.h"
#include "worker/lib.h"

enum { KEEP = 64 << 10 };

/* What stands at a name, with this run's own doings. */
struct thing {
	bool file, dir;
	uint64_t blob, size;
};

static int fail(lua_State *L, int how, const char *fmt, const char *name)
{
	if (how == LUA_TNIL)
		lua_pushnil(L);
	else
		lua_pushboolean(L, 0);
	lua_pushfstring(L, fmt, name);
	return 2;
}

/* Is there a file below this name among what the run wrote or renamed? */
static bool own_below(const struct effects *e, struct slice name)
{
	for (uint32_t i = effects_count(e); i-- > 0;) {
		const struct effect *one = effects_at(e, i);
		struct slice full = one->kind == EFFECT_RENAME
					    ? effect_value(e, one)
					    : effect_key(e, one);
		struct slice at = full;
		struct buf scratch = {0};
		uint64_t blob, size;
		enum artifact_where where;

		if (one->kind != EFFECT_WRITE && one->kind != EFFECT_RENAME)
			continue;
		if (full.n <= name.n || !slice_starts(full, name) ||
		    (name.n && full.p[name.n] != '/'))
			continue;
		where = effects_artifact(e, &at, &scratch, &blob, &size);
		buf_fini(&scratch);
		if (where != ARTIFACT_GONE)
			return true;
	}
	return false;
}

/* Ask the broker. False: it refused; what to return is on the stack. */
static bool ask(lua_State *L, struct slice name, int how, struct thing *t)
{
	const struct answer *a;
	struct cursor c;

	pack_text(lane_call_begin(lane_of(L), "artifact.stat", 1), name);
	a = lane_ask(L);
	if (lane_failed(L, a, how))
		return false;
	c = cursor_of(a->result);
	if (cursor_nil(&c))
		return true;
	if (cursor_array(&c) != 3)
		luaL_error(L, "artifact.stat: an answer without sense");
	t->dir = slice_is(cursor_text(&c), "dir");
	t->file = !t->dir;
	if (t->dir)
		return true;
	t->blob = cursor_uint(&c);
	t->size = cursor_uint(&c);
	return true;
}

static bool look(lua_State *L, struct slice name, int how, struct thing *t)
{
	struct lane *l = lane_of(L);
	struct slice at = name;
	bool ok = true;

	*t = (struct thing){0};
	buf_clear(&l->out);
	switch (effects_artifact(&l->effects, &at, &l->out, &t->blob,
				 &t->size)) {
	case ARTIFACT_HERE:
		t->file = true;
		break;
	case ARTIFACT_BROKER:
		ok = ask(L, at, how, t);
		break;
	default:
		break;
	}
	if (!t->file && !t->dir)
		t->dir = name.n == 0 || own_below(&l->effects, name);
	return ok;
}

/* The cleaned name of an argument; it stays on the stack. NULL: not usable,
 * and what to return is on the stack. */
static const char *take_name(lua_State *L, int arg, int how, struct slice *name)
{
	struct slice raw = convert_text(L, arg);

	if (!lib_clean(L, raw, name)) {
		fail(L, how, "artifacts: not a usable name%s", "");
		return NULL;
	}
	return (const char *)name->p;
}

/* --- write --- */

/* Upload; the blob's id in *blob, 0 bytes included. */
static bool put(lua_State *L, struct slice content, uint64_t *blob)
{
	struct lane *l = lane_of(L);
	const struct answer *a;
	bool first = true;
	struct cursor c;
	struct buf *b;

	do {
		size_t n = content.n < PROTO_RANGE ? content.n : PROTO_RANGE;

		b = lane_call_begin(l, "artifact.put", 2);
		if (first)
			pack_nil(b);
		else
			pack_uint(b, *blob);
		pack_bin(b, slice_of(content.p, n));
		a = lane_ask(L);
		if (lane_failed(L, a, LUA_TBOOLEAN))
			return false;
		c = cursor_of(a->result);
		*blob = cursor_uint(&c);
		content = slice_of(content.p + n, content.n - n);
		first = false;
	} while (content.n);
	return true;
}

/* A parent of the name that is a file, or 0: how long its name is. */
static size_t file_above(lua_State *L, struct slice name)
{
	struct effects *e = &lane_of(L)->effects;

	for (size_t i = 1; i < name.n; i++) {
		struct slice at = slice_of(name.p, i);
		struct buf scratch = {0};
		uint64_t blob, size;
		enum artifact_where where;

		if (name.p[i] != '/')
			continue;
		where = effects_artifact(e, &at, &scratch, &blob, &size);
		buf_fini(&scratch);
		if (where == ARTIFACT_HERE)
			return i;
	}
	return 0;
}

static int artifacts_write(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice name, content;
	const char *text;
	struct thing t;
	uint64_t blob;

	lua_settop(L, 2);
	content = convert_text(L, 2);
	text = take_name(L, 1, LUA_TBOOLEAN, &name);
	if (!text)
		return 2;
	if (content.n > l->host->script->max_artifact)
		return fail(L, LUA_TBOOLEAN,
			    "too_large: %s: over the limit for one artifact",
			    text);
	if (!look(L, name, LUA_TBOOLEAN, &t))
		return 2;
	if (t.dir)
		return fail(L, LUA_TBOOLEAN, "open %s: is a directory", text);
	if (file_above(L, name))
		return fail(L, LUA_TBOOLEAN, "open %s: not a directory", text);
	if (!put(L, content, &blob))
		return 2;
	lane_check_effect(L, effects_write(&l->effects, name, blob, content.n));
	lua_pushboolean(L, 1);
	return 1;
}

/* --- read --- */

static int on_read(lua_State *L, const struct answer *a)
{
	struct lane *l = lane_of(L);

	if (lane_failed(L, a, LUA_TNIL))
		return 2;
	lua_pushlstring(L, (const char *)l->fetch.bytes.p, l->fetch.bytes.n);
	buf_reset(&l->fetch.bytes, KEEP);
	return 1;
}

static int artifacts_read(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice name;
	struct thing t;
	const char *text = take_name(L, 1, LUA_TNIL, &name);

	if (!text || !look(L, name, LUA_TNIL, &t))
		return 2;
	if (t.dir)
		return fail(L, LUA_TNIL, "read %s: is a directory", text);
	if (!t.file)
		return fail(L, LUA_TNIL, "open %s: no such file or directory",
			    text);
	if (t.size == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	l->fetch.method = "artifact.read";
	l->fetch.name = (struct slice){0};
	l->fetch.blob = t.blob;
	l->fetch.total = t.size;
	l->fetch.sized = true;
	l->fetch.done = on_read;
	buf_clear(&l->fetch.bytes);
	return lane_fetch(L, false);
}

/* --- names --- */

static int artifacts_exists(lua_State *L)
{
	struct slice name;
	struct thing t;

	if (!lib_clean(L, convert_text(L, 1), &name)) {
		lua_pushboolean(L, 0);
		return 1;
	}
	if (!look(L, name, LUA_TBOOLEAN, &t))
		return 2;
	lua_pushboolean(L, t.file || t.dir);
	return 1;
}

static int artifacts_delete(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice name;
	struct thing t;
	const char *text = take_name(L, 1, LUA_TBOOLEAN, &name);

	if (!text || !look(L, name, LUA_TBOOLEAN, &t))
		return 2;
	if (t.dir)
		return fail(L, LUA_TBOOLEAN, "remove %s: directory not empty",
			    text);
	if (!t.file)
		return fail(L, LUA_TBOOLEAN,
			    "remove %s: no such file or directory", text);
	lane_check_effect(L, effects_delete(&l->effects, name));
	lua_pushboolean(L, 1);
	return 1;
}

static int artifacts_rename(lua_State *L)
{
	struct lane *l = lane_of(L);
	struct slice from, to, below;
	struct thing t;
	const char *old, *new;

	lua_settop(L, 2);
	(void)convert_text(L, 2);
	old = take_name(L, 1, LUA_TBOOLEAN, &from);
	if (!old || !(new = take_name(L, 2, LUA_TBOOLEAN, &to)))
		return 2;
	if (!look(L, from, LUA_TBOOLEAN, &t))
		return 2;
	if (from.n == 0 || (!t.file && !t.dir))
		return fail(L, LUA_TBOOLEAN,
			    "artifacts: oldpath '%s', doesn't exist", old);
	if (t.dir)
		return fail(L, LUA_TBOOLEAN,
			    "artifacts: oldpath '%s' is a directory", old);
	if (!look(L, to, LUA_TBOOLEAN, &t))
		return 2;
	if (t.file || t.dir)
		return fail(L, LUA_TBOOLEAN,
			    "artifacts: newpath '%s' already in use", new);
	below = slice_of(to.p, to.n < from.n ? to.n : from.n);
	if (to.n > from.n && slice_eq(below, from) && to.p[from.n] == '/')
		return fail(L, LUA_TBOOLEAN,
			    "artifacts: newpath '%s' is below oldpath", new);
	lane_check_effect(L, effects_rename(&l->effects, from, to));
	lua_pushboolean(L, 1);
	return 1;
}

/* --- list: the broker's names as keys of a set, then what this run did --- */

static void set_name(lua_State *L, struct slice name, bool there)
{
	lua_pushlstring(L, (const char *)name.p, name.n);
	if (there)
		lua_pushboolean(L, 1);
	else
		lua_pushnil(L);
	lua_rawset(L, 1);
}

static bool starts_below(struct slice name, struct slice top)
{
	return slice_starts(name, top) &&
	       (name.n == top.n || name.p[top.n] == '/');
}

/* The names at and below `from` become such at and below `to`: a new set in
 * the place of the old. */
static void move_names(lua_State *L, struct slice from, struct slice to)
{
	struct slice name;

	lua_newtable(L);
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		name.p = (const uint8_t *)lua_tolstring(L, -2, &name.n);
		if (starts_below(name, from)) {
			lua_pushlstring(L, (const char *)to.p, to.n);
			lua_pushlstring(L, (const char *)name.p + from.n,
					name.n - from.n);
			lua_concat(L, 2);
		} else {
			lua_pushvalue(L, -2);
		}
		lua_insert(L, -2);
		lua_rawset(L, -4);
	}
	lua_replace(L, 1);
}

static void apply(lua_State *L, const struct effects *e)
{
	for (uint32_t i = 0; i < effects_count(e); i++) {
		const struct effect *one = effects_at(e, i);
		struct slice key = effect_key(e, one);

		if (one->kind == EFFECT_WRITE)
			set_name(L, key, true);
		else if (one->kind == EFFECT_DELETE)
			set_name(L, key, false);
		else if (one->kind == EFFECT_RENAME)
			move_names(L, key, effect_value(e, one));
	}
}

/* The set at 1 as a sorted list. */
static int sorted_names(lua_State *L)
{
	struct slice *names;
	size_t n = 0, i = 0;

	lua_pushnil(L);
	for (; lua_next(L, 1); n++)
		lua_pop(L, 1);
	names = lua_newuserdatauv(L, (n + 1) * sizeof(*names), 0);
	lua_pushnil(L);
	for (; lua_next(L, 1); i++) {
		lua_pop(L, 1);
		names[i].p = (const uint8_t *)lua_tolstring(L, -1, &names[i].n);
	}
	lib_sort(names, n);
	lua_createtable(L, (int)n, 0);
	for (i = 0; i < n; i++) {
		lua_pushlstring(L, (const char *)names[i].p, names[i].n);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

static int artifacts_list(lua_State *L)
{
	struct lane *l = lane_of(L);
	const struct answer *a;
	struct cursor c;

	lua_settop(L, 0);
	lua_newtable(L);
	(void)lane_call_begin(l, "artifact.list", 0);
	a = lane_ask(L);
	if (lane_failed(L, a, LUA_TNIL))
		return 2;
	c = cursor_of(a->result);
	for (uint32_t n = cursor_array(&c); n > 0 && !c.error; n--)
		set_name(L, cursor_text(&c), true);
	apply(L, &l->effects);
	return sorted_names(L);
}

const luaL_Reg lib_artifacts[] = {
	{"write", artifacts_write},
	{"read", artifacts_read},
	{"exists", artifacts_exists},
	{"delete", artifacts_delete},
	{"rename", artifacts_rename},
	{"list", artifacts_list},
	{NULL, NULL},
};
