/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From text to function: load, loadstring, require and vm_compile. Only text,
 * at most PROTO_MAX_SOURCE of it, and nothing that would send Lua's error
 * messages into deep recursion (chunk_check.c). What a script gives to load
 * without a name for it is named (load), and no message quotes it.
 */
#include "worker/chunk.h"

#include "proto/proto.h"
#include "worker/libs.h"

/* Skip a byte order mark and the text of a first line that begins with #. */
static struct slice skip_prelude(struct slice text)
{
	size_t n = 0;

	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		n = 3;
	if (n < text.n && text.p[n] == '#')
		while (n < text.n && text.p[n] != '\n')
			n++;
	return slice_of(text.p + n, text.n - n);
}

int chunk_load(lua_State *L, struct slice text, const char *name)
{
	const char *shown = name;
	const char *problem;
	unsigned line = 1;

	vm_stack(L);
	text = skip_prelude(text);
	if (*shown == '@' || *shown == '=')
		shown++;
	else
		shown = "[string]";
	if (text.n > PROTO_MAX_SOURCE) {
		lua_pushfstring(L, "%s:1: source text over %d KiB", shown,
				PROTO_MAX_SOURCE >> 10);
		return ERR_RANGE;
	}
	if (text.n && text.p[0] == LUA_SIGNATURE[0]) {
		lua_pushfstring(L,
				"%s:1: bytecode, and only source text is "
				"loaded",
				shown);
		return ERR_FORMAT;
	}
	problem = chunk_check(text, &line);
	if (problem) {
		lua_pushfstring(L, "%s:%d: %s", shown, (int)line, problem);
		return ERR_RANGE;
	}
	if (luaL_loadbufferx(L, (const char *)text.p, text.n, name, "t"))
		return ERR_FORMAT;
	return 0;
}

/* load() with a function, at 1: the text, of pieces until nil or "". */
static int collect_pieces(lua_State *L)
{
	size_t total = 0, n;
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (;;) {
		luaL_checkstack(L, 4, NULL);
		lua_pushvalue(L, 1);
		lua_call(L, 0, 1);
		if (lua_isnil(L, -1))
			break;
		if (!lua_isstring(L, -1))
			luaL_error(L, "reader function must return a string");
		lua_tolstring(L, -1, &n);
		if (n == 0)
			break;
		luaL_addvalue(&b);
		total += n;
		if (total > PROTO_MAX_SOURCE)
			luaL_error(L, "source text over %d KiB",
				   PROTO_MAX_SOURCE >> 10);
	}
	lua_pop(L, 1);
	luaL_pushresult(&b);
	return 1;
}

/* On top: the message. A stop is no mistake of the text. */
static int load_failed(lua_State *L)
{
	if (vm_of(L)->stopping)
		return lua_error(L);
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

static int refuse(lua_State *L, const char *kind, const char *mode)
{
	lua_pushnil(L);
	lua_pushfstring(L, "attempt to load a %s chunk (mode is '%s')", kind,
			mode);
	return 2;
}

/*
 * Of the message on top, cut what Lua quotes of the text: a script that made
 * it of a body and gave it no name would tell it to the log. That it breaks
 * off is told: so those ask who read line by line.
 */
static void cut_quote(lua_State *L)
{
	const char *message = lua_tostring(L, -1);
	const char *near = message ? strstr(message, " near ") : NULL;

	if (!near || strcmp(near, " near <eof>") == 0)
		return;
	lua_pushlstring(L, message, (size_t)(near - message));
	lua_remove(L, -2);
}

/* On top: the text; name may be NULL. Results of load() from here on. */
static int load_text(lua_State *L, const char *name, const char *mode, int env)
{
	struct slice text;

	text.p = (const uint8_t *)lua_tolstring(L, -1, &text.n);
	if (text.n && text.p[0] == LUA_SIGNATURE[0])
		return refuse(L, "binary", "t");
	if (!strchr(mode, 't'))
		return refuse(L, "text", mode);
	if (chunk_load(L, text, name ? name : "=(load)") != 0) {
		if (!name)
			cut_quote(L);
		return load_failed(L);
	}
	if (!env) {
		env_bind(L);
		return 1;
	}
	lua_pushvalue(L, env);
	vm_env_set(L, -2);
	return 1;
}

static int base_load(lua_State *L)
{
	const char *mode = luaL_optstring(L, 3, "bt");
	int env = lua_isnone(L, 4) ? 0 : 4;
	const char *name = luaL_optstring(L, 2, NULL);

	if (lua_isstring(L, 1)) {
		lua_pushvalue(L, 1);
	} else {
		luaL_checktype(L, 1, LUA_TFUNCTION);
		vm_stack(L);
		lua_settop(L, env ? 4 : 3);
		lua_pushcfunction(L, collect_pieces);
		lua_pushvalue(L, 1);
		if (lua_pcall(L, 1, 1, 0) != LUA_OK)
			return load_failed(L);
	}
	return load_text(L, name, mode, env);
}

static int base_loadstring(lua_State *L)
{
	const char *name = luaL_optstring(L, 2, NULL);

	luaL_checkstring(L, 1);
	lua_pushvalue(L, 1);
	return load_text(L, name, "t", 0);
}

/* Push the compiled module, or nothing when there is no such file. Raises
 * when it does not compile. */
static bool push_module(lua_State *L, struct slice name)
{
	struct vm *vm = vm_of(L);
	const char *chunkname = NULL;
	struct slice text;

	slot_get(L, SLOT_CHUNKS);
	lua_pushvalue(L, 1);
	if (lua_rawget(L, -2) == LUA_TFUNCTION) {
		lua_remove(L, -2);
		return true;
	}
	lua_pop(L, 1);
	if (!vm->ops->source ||
	    !vm->ops->source(vm->arg, name, &text, &chunkname)) {
		lua_pop(L, 1);
		return false;
	}
	if (chunk_load(L, text, chunkname) != 0)
		lua_error(L);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, -2);
	lua_rawset(L, -4);
	lua_remove(L, -2);
	return true;
}

/* require "string" and the like: what the environment has under that name. */
static bool push_library(lua_State *L)
{
	slot_get(L, SLOT_LIBS);
	lua_pushvalue(L, 1);
	if (lua_rawget(L, -2) == LUA_TNIL)
		return false;
	slot_get(L, SLOT_BASELINE);
	lua_pushvalue(L, 1);
	lua_rawget(L, -2);
	return true;
}

/* The table of what this environment has required. */
static void push_modules(lua_State *L)
{
	if (slot_get(L, SLOT_MODULES) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	slot_set(L, SLOT_MODULES);
	vm_of(L)->modules = true;
}

static void modules_put(lua_State *L, int modules, int value)
{
	lua_pushvalue(L, 1);
	lua_pushvalue(L, value);
	lua_rawset(L, modules);
}

/* What the script required while it was loaded (env.h), or nil. */
static void push_loaded(lua_State *L)
{
	if (slot_get(L, SLOT_LOADED) != LUA_TTABLE)
		return;
	lua_pushvalue(L, 1);
	lua_rawget(L, -2);
}

/* false in the table: that module is being loaded now. */
static int base_require(lua_State *L)
{
	struct slice name;
	const int modules = 2;

	name.p = (const uint8_t *)luaL_checklstring(L, 1, &name.n);
	lua_settop(L, 1);
	vm_stack(L);
	push_modules(L);
	lua_pushvalue(L, 1);
	if (lua_rawget(L, modules) == LUA_TNIL && vm_of(L)->rooted)
		push_loaded(L);
	if (lua_toboolean(L, -1))
		return 1;
	if (lua_isboolean(L, -1))
		return luaL_error(L, "module '%s' requires itself", name.p);
	if (!push_module(L, name)) {
		if (push_library(L))
			return 1;
		return luaL_error(L,
				  "module '%s' not found in the script's "
				  "folder",
				  name.p);
	}
	env_bind(L);
	lua_pushboolean(L, 0);
	modules_put(L, modules, lua_gettop(L));
	lua_pop(L, 1);
	lua_pushvalue(L, 1);
	if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
		lua_pushnil(L);
		modules_put(L, modules, lua_gettop(L));
		lua_pop(L, 1);
		return lua_error(L);
	}
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, 1);
	}
	modules_put(L, modules, lua_gettop(L));
	return 1;
}

void open_chunk(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"load", base_load},
		{"loadstring", base_loadstring},
		{"require", base_require},
		{NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
}
