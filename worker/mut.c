/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mut: the global `mut`: its tables and functions, which check their arguments
 * and note what was asked. What becomes of it is in mut_pack.c. Start at
 * set_header().
 */
#include "worker/mut.h"

#include <ctype.h>

#include "worker/convert.h"
#include "worker/lane.h"
#include "worker/url.h"

enum { KEEP = 64 << 10 };

/* --- notes --- */

static uint32_t hash_name(struct slice name)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (name.p[i] | 0x20u)) * 16777619u;
	return h;
}

static struct mut_header *header_at(struct mut *m, size_t i)
{
	return (struct mut_header *)(void *)m->headers.p + i;
}

static size_t header_count(const struct mut *m)
{
	return m->headers.n / sizeof(struct mut_header);
}

uint32_t mut_keep(struct mut *m, struct slice s)
{
	uint32_t off = (uint32_t)m->bytes.n;

	buf_add_slice(&m->bytes, s);
	return off;
}

/* What is not `add` takes the place of all earlier ones of its name. */
static void supersede(struct mut *m, const struct mut_header *by,
		      struct slice name)
{
	bool resp = by->op >= OP_RESP_SET_HEADER;

	for (size_t i = 0; i < header_count(m); i++) {
		struct mut_header *h = header_at(m, i);

		if (h->dead || h->hash != by->hash ||
		    (h->op >= OP_RESP_SET_HEADER) != resp)
			continue;
		h->dead = header_name_eq(mut_slice(m, h->name, h->name_len),
					 name);
	}
}

int mut_header(struct mut *m, enum op op, struct slice name, struct slice value)
{
	struct mut_header h = {.op = op, .hash = hash_name(name)};

	if (header_count(m) >= PROTO_MAX_OPS ||
	    name.n + value.n > MUT_MAX_BYTES - m->bytes.n)
		return ERR_FULL;
	if (op != OP_REQ_ADD_HEADER && op != OP_RESP_ADD_HEADER)
		supersede(m, &h, name);
	h.name = mut_keep(m, name);
	h.name_len = (uint32_t)name.n;
	h.value = mut_keep(m, value);
	h.value_len = (uint32_t)value.n;
	buf_add(&m->headers, &h, sizeof(h));
	return buf_error(&m->bytes) ? ERR_NOMEM : buf_error(&m->headers);
}

struct mut *mut_of(lua_State *L)
{
	struct mut *m = &lane_of(L)->mut;

	if (m->keep &&
	    lua_tointeger(L, lua_upvalueindex(1)) != (lua_Integer)m->serial)
		return NULL;
	m->any = true;
	return m;
}

int mut_full(lua_State *L)
{
	return luaL_error(L,
			  "too_large: the mutations of one run come to "
			  "more than %d ops or %d bytes",
			  PROTO_MAX_OPS, MUT_MAX_BYTES);
}

/* Space of an earlier value is used again, so that a loop of set_body does
 * not gather what it replaces. */
static int set_last(lua_State *L, struct mut *m, enum op op, struct slice s)
{
	size_t end = (size_t)m->last[op].off + m->last[op].len;
	size_t n = m->bytes.n;

	if (m->has[op] && end == n)
		n = m->last[op].off;
	if (s.n > MUT_MAX_BYTES - n)
		return mut_full(L);
	m->bytes.n = n;
	m->last[op].off = mut_keep(m, s);
	m->last[op].len = (uint32_t)s.n;
	m->has[op] = true;
	return 0;
}

/* --- what is called --- */

static bool any_text(struct slice s)
{
	(void)s;
	return true;
}

static bool scheme_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum(s.p[i]) && !(i && s.p[i] && strchr("+-.", s.p[i])))
			return false;
	return s.n > 0 && isalpha(s.p[0]);
}

static bool query_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == '#')
			return false;
	return true;
}

static int set_text(lua_State *L, enum op op, bool (*ok)(struct slice s),
		    const char *complaint)
{
	struct mut *m = mut_of(L);
	struct slice s = convert_text(L, 1);

	if (!ok(s))
		return luaL_argerror(L, 1, complaint);
	return m ? set_last(L, m, op, s) : 0;
}

static int req_set_host(lua_State *L)
{
	return set_text(L, OP_REQ_SET_HOST, url_host_ok, "not a host");
}

static int req_set_scheme(lua_State *L)
{
	return set_text(L, OP_REQ_SET_SCHEME, scheme_ok, "not a scheme");
}

static int req_set_method(lua_State *L)
{
	return set_text(L, OP_REQ_SET_METHOD, header_name_ok,
			"not a method name");
}

static int req_set_path(lua_State *L)
{
	struct slice s = convert_text(L, 1);

	if (s.n == 0 || s.p[0] != '/') {
		lua_settop(L, 1);
		lua_pushliteral(L, "/");
		lua_insert(L, 1);
		lua_concat(L, 2);
	}
	return set_text(L, OP_REQ_SET_PATH, any_text, NULL);
}

static int req_set_query(lua_State *L)
{
	struct slice s = convert_text(L, 1);

	if (s.n && s.p[0] == '?') {
		lua_pushlstring(L, (const char *)s.p + 1, s.n - 1);
		lua_replace(L, 1);
	}
	return set_text(L, OP_REQ_SET_QUERY, query_ok, "not a query");
}

static int req_set_url(lua_State *L)
{
	return set_text(L, OP_REQ_SET_URL, url_ok, "not an absolute URL");
}

static int req_set_body(lua_State *L)
{
	return set_text(L, OP_REQ_SET_BODY, any_text, NULL);
}

static int resp_set_body(lua_State *L)
{
	return set_text(L, OP_RESP_SET_BODY, any_text, NULL);
}

static int ws_set_data(lua_State *L)
{
	return set_text(L, OP_WS_SET_DATA, any_text, NULL);
}

static int flag(lua_State *L, enum op op)
{
	struct mut *m = mut_of(L);

	if (m)
		m->has[op] = true;
	return 0;
}

static int ws_drop(lua_State *L)
{
	return flag(L, OP_WS_DROP);
}

static int ctx_set_finish(lua_State *L)
{
	return flag(L, OP_CTX_SET_FINISH);
}

static int resp_set_status(lua_State *L)
{
	struct mut *m = mut_of(L);
	lua_Number v = luaL_checknumber(L, 1);

	if (!(v >= 100 && v < 1000))
		return luaL_argerror(L, 1, "status must be 100 to 999");
	if (m) {
		m->status = (int64_t)v;
		m->has[OP_RESP_SET_STATUS] = true;
	}
	return 0;
}

static int set_header(lua_State *L, enum op op)
{
	struct mut *m = mut_of(L);
	bool del = op == OP_REQ_DEL_HEADER || op == OP_RESP_DEL_HEADER;
	struct slice name = convert_text(L, 1), value = {0};

	if (!header_name_ok(name))
		return luaL_argerror(L, 1, "not a header name");
	if (!del)
		value = convert_text(L, 2);
	if (!header_value_ok(value))
		return luaL_argerror(L, 2, "CR, LF or NUL in a header value");
	/* The host is set by set_host, whatever the header says. */
	if (!m || (op <= OP_REQ_DEL_HEADER &&
		   header_name_eq(name, slice_str("host"))))
		return 0;
	if (mut_header(m, op, name, value) < 0)
		return mut_full(L);
	return 0;
}

static int req_set_header(lua_State *L)
{
	return set_header(L, OP_REQ_SET_HEADER);
}

static int req_add_header(lua_State *L)
{
	return set_header(L, OP_REQ_ADD_HEADER);
}

static int req_del_header(lua_State *L)
{
	return set_header(L, OP_REQ_DEL_HEADER);
}

static int resp_set_header(lua_State *L)
{
	return set_header(L, OP_RESP_SET_HEADER);
}

static int resp_add_header(lua_State *L)
{
	return set_header(L, OP_RESP_ADD_HEADER);
}

static int resp_del_header(lua_State *L)
{
	return set_header(L, OP_RESP_DEL_HEADER);
}

/* --- the tables --- */

static const luaL_Reg ctx_functions[] = {
	{"set_finish", ctx_set_finish},
	{NULL, NULL},
};

static const luaL_Reg req_functions[] = {
	{"set_host", req_set_host},
	{"set_scheme", req_set_scheme},
	{"set_method", req_set_method},
	{"set_path", req_set_path},
	{"set_query", req_set_query},
	{"set_url", req_set_url},
	{"set_body", req_set_body},
	{"set_header", req_set_header},
	{"add_header", req_add_header},
	{"del_header", req_del_header},
	{"set_cookie", mut_req_set_cookie},
	{"del_cookie", mut_req_del_cookie},
	{NULL, NULL},
};

static const luaL_Reg resp_functions[] = {
	{"set_status", resp_set_status},
	{"set_body", resp_set_body},
	{"set_header", resp_set_header},
	{"add_header", resp_add_header},
	{"del_header", resp_del_header},
	{"set_cookie", mut_resp_set_cookie},
	{"del_cookie", mut_resp_del_cookie},
	{NULL, NULL},
};

static const luaL_Reg ws_functions[] = {
	{"set_data", ws_set_data},
	{"drop", ws_drop},
	{NULL, NULL},
};

static const struct {
	const char *name;
	const luaL_Reg *functions;
} parts[] = {
	{"ctx", ctx_functions},
	{"req", req_functions},
	{"resp", resp_functions},
	{"ws", ws_functions},
};

enum { PARTS = sizeof(parts) / sizeof(*parts) };

/* In the metatable of a table that reads through: what it reads. */
static const char real_key;

bool mut_fill(lua_State *L, int index)
{
	int real;

	index = lua_absindex(L, index);
	luaL_checkstack(L, 6, NULL);
	if (!lua_istable(L, index) || !lua_getmetatable(L, index))
		return false;
	if (lua_rawgetp(L, -1, &real_key) != LUA_TTABLE) {
		lua_pop(L, 2);
		return false;
	}
	real = lua_gettop(L);
	lane_of(L)->mut.dirty = true;
	lua_pushnil(L);
	lua_setmetatable(L, index);
	lua_pushnil(L);
	while (lua_next(L, real)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, index);
	}
	lua_settop(L, real - 2);
	return true;
}

static int write_through(lua_State *L)
{
	lua_settop(L, 3);
	mut_fill(L, 1);
	lua_rawset(L, 1);
	return 0;
}

/* Replace the table on top by an empty one that reads through to it and
 * becomes a copy when it is written: so one set of tables serves all runs. */
static void read_through(lua_State *L)
{
	lua_newtable(L);
	lua_createtable(L, 0, 4);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushvalue(L, -3);
	lua_rawsetp(L, -2, &real_key);
	lua_pushcfunction(L, write_through);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_remove(L, -2);
}

/* Push a mut; its functions know `serial` when globals are kept. */
static void push_tables(lua_State *L, struct mut *m)
{
	luaL_checkstack(L, 8, NULL);
	lua_createtable(L, 0, PARTS);
	for (size_t i = 0; i < PARTS; i++) {
		lua_newtable(L);
		if (m->keep) {
			lua_pushinteger(L, (lua_Integer)m->serial);
			luaL_setfuncs(L, parts[i].functions, 1);
		} else {
			luaL_setfuncs(L, parts[i].functions, 0);
			read_through(L);
		}
		lua_setfield(L, -2, parts[i].name);
	}
	if (!m->keep)
		read_through(L);
}

static void put_global(struct lane *l)
{
	push_tables(l->vm.L, &l->mut);
	vm_global(&l->vm, "mut");
	l->mut.dirty = false;
}

void mut_open(struct lane *l, bool keep)
{
	l->mut.keep = keep;
	buf_init(&l->mut.bytes, PROTO_MAX_MESSAGE);
	if (!keep)
		put_global(l);
}

void mut_close(struct mut *m)
{
	buf_fini(&m->bytes);
	buf_fini(&m->headers);
	buf_fini(&m->cookies);
	buf_fini(&m->text);
}

void mut_begin(lua_State *L, struct lane *l)
{
	struct mut *m = &l->mut;

	m->serial++;
	if (m->any) {
		memset(m->has, 0, sizeof(m->has));
		buf_reset(&m->bytes, KEEP);
		buf_reset(&m->headers, KEEP);
		buf_clear(&m->cookies);
		m->any = false;
	}
	if (!m->keep)
		return;
	lua_pushliteral(L, "mut");
	push_tables(L, m);
	lua_rawset(L, -3);
}

void mut_end(struct lane *l)
{
	if (l->mut.dirty && !l->mut.keep)
		put_global(l);
	/* With kept globals: what is called from now on is of no run. */
	if (l->mut.keep)
		l->mut.serial++;
}
