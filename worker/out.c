/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings that grow. Not lib/buf: an error in Lua jumps out of the function
 * that fills it, so its memory must be Lua's own.
 */
#include "worker/out.h"

#include "worker/libs.h"

void out_init(struct out *o, lua_State *L)
{
	o->L = L;
	o->p = o->first;
	o->n = 0;
	o->cap = sizeof(o->first);
	luaL_checkstack(L, 4, NULL);
	lua_pushnil(L);
	o->slot = lua_gettop(L);
}

void out_room(struct out *o, size_t n)
{
	size_t cap = o->cap;
	char *p;

	if (n <= o->cap - o->n)
		return;
	if (n > (size_t)1 << 40)
		luaL_error(o->L, "resulting string too large");
	while (cap - o->n < n)
		cap *= 2;
	/* Once more for the string itself, at the end. */
	vm_room(o->L, cap + o->n);
	p = lua_newuserdatauv(o->L, cap, 0);
	memcpy(p, o->p, o->n);
	lua_replace(o->L, o->slot);
	o->p = p;
	o->cap = cap;
}

void out_add(struct out *o, const void *p, size_t n)
{
	if (n == 0)
		return;
	out_room(o, n);
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

void out_text(struct out *o, const char *text)
{
	out_add(o, text, strlen(text));
}

void out_push(struct out *o)
{
	if (o->n > sizeof(o->first))
		vm_room(o->L, o->n);
	lua_pushlstring(o->L, o->p, o->n);
}
