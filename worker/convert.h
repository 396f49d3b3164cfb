/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert: MessagePack values <-> Lua values, and the arguments of API
 * functions.
 */
#ifndef PF_WORKER_CONVERT_H
#define PF_WORKER_CONVERT_H

#include <lua.h>

#include "lib/buf.h"
#include "proto/unpack.h"

enum { CONVERT_DEPTH = 16 }; /* of what a script hands out */

/* Push the next value: strings for str and bin, nil for what Lua lacks. */
void convert_push(lua_State *L, struct cursor *c);

/* The same, with the string `null` (NULL: nil) for every nil inside an array
 * or map; one that is the whole value stays nil. */
void convert_push_nulls(lua_State *L, struct cursor *c, const char *null);

/*
 * Append the value at `index`. A table is an array when its keys are 1..n
 * (an empty one too), else a map whose keys are made text; a whole float is
 * an integer. NULL, or why it cannot be sent (then the buf is cut back).
 */
const char *convert_pack(lua_State *L, int index, struct buf *out);

/* The same, but a whole float stays a float. */
const char *convert_pack_exact(lua_State *L, int index, struct buf *out);

/* A string argument; numbers are taken, 5.0 as "5". Raises otherwise. */
struct slice convert_text(lua_State *L, int arg);

/* The value at index as text, as a script's tostring would give it; pushes
 * it. */
struct slice convert_tostring(lua_State *L, int index);

/*
 * The error object on top of L as a message; replaces it. Runs a __tostring
 * of the script, in protected mode.
 */
void convert_error(lua_State *L);

#endif
