/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib: the libraries that need the broker or the run: kv, bus, artifacts,
 * data_store (also `data`) and log. One file each.
 */
#ifndef PF_WORKER_LIB_H
#define PF_WORKER_LIB_H

#include "lib/log.h"
#include "worker/lane.h"

/* Add all of them to the lane's vm. */
void lib_open(struct lane *l);

extern const luaL_Reg lib_kv[], lib_bus[], lib_artifacts[], lib_data_store[],
	lib_log[];

/* One line without attributes. log_line: print() of a script, as log.info. */
void log_text(struct lane *l, enum log_level level, struct slice line);
void log_line(struct lane *l, struct slice line);

/* log.LEVEL(message, attributes). */
int log_call(lua_State *L, enum log_level level);

/* kv.delete(key). */
int lib_kv_delete(lua_State *L);

/*
 * A name of an artifact or a data file, cleaned as a path below "/", without
 * that slash: "../../a//./b" is "a/b", "" and "/" are "". Pushes it; false
 * (nothing pushed) when it holds a NUL or is longer than LIB_MAX_NAME.
 */
enum { LIB_MAX_NAME = 1024 };
bool lib_clean(lua_State *L, struct slice name, struct slice *out);

/* Pushes "denied: ..." and says true when the script has no grant for it. */
bool lib_denied(lua_State *L, const char *kind, struct slice name);

/* Sort by bytes. (The C library's sort asks the kernel for the size of the
 * memory, which this process may not do.) */
void lib_sort(struct slice *list, size_t n);

#endif
