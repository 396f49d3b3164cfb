/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_log: log.trace .. log.audit, and print. A line is a notification to the
 * broker, which bounds, escapes and writes it.
 */
#include "proto/pack.h"
#include "worker/convert.h"
#include "worker/libs.h"
#include "worker/lib.h"

enum { MAX_ATTRS = 64, MAX_TEXT = 64 << 10 };

static struct slice cut(struct slice s)
{
	s.n = s.n < MAX_TEXT ? s.n : MAX_TEXT;
	return s;
}

static void begin(struct lane *l, enum log_level level, struct slice msg)
{
	struct buf *out = &l->host->wire->out;

	rpc_notification(out, "log", 4);
	pack_uint(out, l->run_id);
	pack_uint(out, level);
	pack_text(out, cut(msg));
}

/* A script that logs without end must not fill the memory with it. */
static void end(struct lane *l)
{
	struct wire *w = l->host->wire;

	wire_mark(w);
	if (w->out.n >= WIRE_FULL && wire_flush(w) < 0)
		l->host->gone(l->host->arg);
}

void log_text(struct lane *l, enum log_level level, struct slice line)
{
	begin(l, level, line);
	pack_array(&l->host->wire->out, 0);
	end(l);
}

void log_line(struct lane *l, struct slice line)
{
	log_text(l, LOG_INFO, line);
}

struct attrs {
	struct log_attr list[MAX_ATTRS];
	size_t n;
};

/* By insertion: there are few. (The C library's sort asks the kernel for the
 * size of the memory, which this process may not do.) */
static void sort(struct attrs *attrs)
{
	for (size_t i = 1; i < attrs->n; i++) {
		struct log_attr one = attrs->list[i];
		size_t j = i;

		for (; j > 0 && slice_cmp(attrs->list[j - 1].key, one.key) > 0;
		     j--)
			attrs->list[j] = attrs->list[j - 1];
		attrs->list[j] = one;
	}
}

/* Key and value as text; the texts stay on the stack. */
static void gather(lua_State *L, struct attrs *attrs)
{
	luaL_checkstack(L, 2 * MAX_ATTRS + 8, NULL);
	vm_fill(L, 2);
	lua_pushnil(L);
	while (attrs->n < MAX_ATTRS && lua_next(L, 2)) {
		struct log_attr *one = &attrs->list[attrs->n++];

		/* key value -> keytext valuetext key */
		one->key = cut(convert_tostring(L, -2));
		one->value = cut(convert_tostring(L, -2));
		lua_rotate(L, -4, 2);
		lua_pop(L, 1);
	}
	sort(attrs);
}

int log_call(lua_State *L, enum log_level level)
{
	struct lane *l = lane_of(L);
	struct slice msg = convert_text(L, 1);
	struct buf *out = &l->host->wire->out;
	struct attrs attrs;

	attrs.n = 0;
	lua_settop(L, 2);
	if (!lua_isnil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		gather(L, &attrs);
	}
	begin(l, level, msg);
	pack_array(out, (uint32_t)attrs.n * 2);
	for (size_t i = 0; i < attrs.n; i++) {
		pack_text(out, attrs.list[i].key);
		pack_text(out, attrs.list[i].value);
	}
	end(l);
	return 0;
}

static int trace(lua_State *L)
{
	return log_call(L, LOG_TRACE);
}

static int debug(lua_State *L)
{
	return log_call(L, LOG_DEBUG);
}

static int info(lua_State *L)
{
	return log_call(L, LOG_INFO);
}

static int warn(lua_State *L)
{
	return log_call(L, LOG_WARN);
}

static int error(lua_State *L)
{
	return log_call(L, LOG_ERROR);
}

static int audit(lua_State *L)
{
	return log_call(L, LOG_AUDIT);
}

const luaL_Reg lib_log[] = {
	{"trace", trace}, {"debug", debug}, {"info", info}, {"warn", warn},
	{"error", error}, {"audit", audit}, {NULL, NULL},
};
