/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out: a growing string under construction in a C function that Lua called.
 * Short ones stay on the C stack; long ones live in a userdata in one stack
 * slot, so an error anywhere leaks nothing. Growth past the heap's limit
 * raises "not enough memory", which a script can catch.
 */
#ifndef PF_WORKER_OUT_H
#define PF_WORKER_OUT_H

#include <lua.h>

#include "lib/slice.h"

struct out {
	lua_State *L;
	int slot;
	char *p;
	size_t n, cap;
	char first[512];
};

/* Pushes one value, the slot; it must stay where it is. */
void out_init(struct out *o, lua_State *L);

/* Room for n more bytes at o->p + o->n; the caller adds to o->n. */
void out_room(struct out *o, size_t n);
void out_add(struct out *o, const void *p, size_t n);
void out_text(struct out *o, const char *text);

static inline void out_byte(struct out *o, char c)
{
	if (o->n == o->cap)
		out_room(o, 1);
	o->p[o->n++] = c;
}

/* Push the string. */
void out_push(struct out *o);

#endif
