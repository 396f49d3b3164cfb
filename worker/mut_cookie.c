/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mut_cookie: mut.req and mut.resp set_cookie and del_cookie: noted by name,
 * the last call wins. They become header ops in mut_pack.c.
 */
#include "worker/convert.h"
#include "worker/cookies.h"
#include "worker/lane.h"

static struct mut_cookie *find_cookie(struct mut *m, bool resp,
				      struct slice name)
{
	size_t n = m->cookies.n / sizeof(struct mut_cookie);
	struct mut_cookie *c = (struct mut_cookie *)(void *)m->cookies.p;

	for (; n > 0; n--, c++)
		if (c->resp == resp &&
		    slice_eq(mut_slice(m, c->name, c->name_len), name))
			return c;
	return NULL;
}

/* `text` empty: the cookie goes. */
static int note_cookie(lua_State *L, bool resp, struct slice name,
		       struct slice text)
{
	struct mut *m = mut_of(L);
	struct mut_cookie *old, one = {.resp = resp, .del = text.n == 0};

	if (!m)
		return 0;
	if (name.n + text.n > MUT_MAX_BYTES - m->bytes.n ||
	    m->cookies.n >= PROTO_MAX_OPS * sizeof(one))
		return mut_full(L);
	one.text = mut_keep(m, text);
	one.text_len = (uint32_t)text.n;
	old = find_cookie(m, resp, name);
	one.name = old ? old->name : mut_keep(m, name);
	one.name_len = (uint32_t)name.n;
	if (old)
		*old = one;
	else
		buf_add(&m->cookies, &one, sizeof(one));
	return 0;
}

static void check_cookie_text(lua_State *L, struct slice s)
{
	if (!header_value_ok(s))
		luaL_argerror(L, 1, "CR, LF or NUL in a cookie");
}

/* The text of a field of the table at 1; it stays on the stack. */
static struct slice cookie_text(lua_State *L, const char *key)
{
	struct slice s = {0};

	if (lua_getfield(L, 1, key) != LUA_TNIL)
		s = convert_tostring(L, -1);
	check_cookie_text(L, s);
	return s;
}

static bool cookie_flag(lua_State *L, const char *key)
{
	lua_getfield(L, 1, key);
	return lua_toboolean(L, -1);
}

static void cookie_attributes(lua_State *L, struct set_cookie *c)
{
	int number;

	c->path = cookie_text(L, "path");
	c->domain = cookie_text(L, "domain");
	c->same_site = cookie_text(L, "same_site");
	c->secure = cookie_flag(L, "secure");
	c->http_only = cookie_flag(L, "http_only");
	c->partitioned = cookie_flag(L, "partitioned");
	if (lua_getfield(L, 1, "max_age") != LUA_TNIL) {
		c->max_age = (int64_t)lua_tonumberx(L, -1, &number);
		c->has_max_age = true;
		if (!number)
			luaL_argerror(L, 1, "max_age is no number");
		if (c->max_age < 0)
			c->max_age = 0;
	}
	if (lua_getfield(L, 1, "expires") != LUA_TNIL) {
		c->expires_ms = (int64_t)lua_tonumberx(L, -1, &number);
		if (!number)
			luaL_argerror(L, 1, "expires is no number");
	}
}

static bool cookie_name_ok(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == ';' ||
		    s.p[i] == '=')
			return false;
	return true;
}

static int set_cookie(lua_State *L, bool resp)
{
	struct set_cookie c = {.expires_ms = COOKIE_NO_EXPIRY};
	struct mut *m = &lane_of(L)->mut;

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkstack(L, 24, NULL);
	c.cookie.name = cookie_text(L, "name");
	c.cookie.value = cookie_text(L, "value");
	if (!cookie_name_ok(c.cookie.name))
		return luaL_argerror(L, 1, "not a cookie name");
	if (resp)
		cookie_attributes(L, &c);
	buf_clear(&m->text);
	if (resp)
		set_cookie_put(&m->text, &c);
	else
		cookie_put(&m->text, c.cookie.name, c.cookie.value);
	return note_cookie(L, resp, c.cookie.name, buf_slice(&m->text));
}

int mut_req_set_cookie(lua_State *L)
{
	return set_cookie(L, false);
}

int mut_resp_set_cookie(lua_State *L)
{
	return set_cookie(L, true);
}

int mut_req_del_cookie(lua_State *L)
{
	return note_cookie(L, false, convert_text(L, 1), (struct slice){0});
}

int mut_resp_del_cookie(lua_State *L)
{
	return note_cookie(L, true, convert_text(L, 1), (struct slice){0});
}
