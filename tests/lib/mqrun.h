/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqrun: the libraries of the dialect mqtt without a broker. run(text) runs a
 * script in a lane's vm and gives its first result as text, or "error: ...".
 * What it asks the broker gathers in `asked`, a line each; the answer is what
 * answer_with() or refuse_with() said last (nil at first).
 */
#ifndef PF_TESTS_LIB_MQRUN_H
#define PF_TESTS_LIB_MQRUN_H

#include "proto/pack.h"
#include "proto/unpack.h"
#include "worker/lib.h"
#include "worker/libs.h"
#include "worker/mq.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct wire mq_wire;
static struct script mq_script = {.dialect = DIALECT_MQTT,
				  .nulls = true,
				  .max_key = 1024,
				  .max_value = 1 << 20};
static struct lane mq_lane;
static struct buf mq_answer, asked;
static char result[1 << 16];

/* --- a value as text --- */

static void show(struct buf *out, struct cursor *c);

/* Entries in order of their text, since Lua's own is any. */
static void show_map(struct buf *out, struct cursor *c)
{
	struct buf entries[16] = {0};
	uint32_t n = cursor_map(c);

	cr_assert_leq(n, 16);
	for (uint32_t i = 0; i < n; i++) {
		struct buf one = {0};
		uint32_t at = i;

		show(&one, c);
		buf_add_byte(&one, '=');
		show(&one, c);
		for (; at > 0 && slice_cmp(buf_slice(&entries[at - 1]),
					   buf_slice(&one)) > 0;
		     at--)
			entries[at] = entries[at - 1];
		entries[at] = one;
	}
	buf_add_byte(out, '{');
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			buf_add_byte(out, ' ');
		buf_add_slice(out, buf_slice(&entries[i]));
		buf_fini(&entries[i]);
	}
	buf_add_byte(out, '}');
}

static void show_array(struct buf *out, struct cursor *c)
{
	buf_add_byte(out, '[');
	for (uint32_t i = 0, n = cursor_array(c); i < n; i++) {
		if (i > 0)
			buf_add_byte(out, ' ');
		show(out, c);
	}
	buf_add_byte(out, ']');
}

static void show(struct buf *out, struct cursor *c)
{
	switch (cursor_peek(c)) {
	case CURSOR_BOOL:
		buf_addf(out, cursor_bool(c) ? "true" : "false");
		return;
	case CURSOR_INT:
		buf_addf(out, "%lld", (long long)cursor_int(c));
		return;
	case CURSOR_FLOAT:
		buf_addf(out, "%gf", cursor_number(c));
		return;
	case CURSOR_BIN:
		buf_add_byte(out, 'b');
		/* fall through */
	case CURSOR_STR:
		buf_add_byte(out, '\'');
		buf_add_slice(out, cursor_text(c));
		buf_add_byte(out, '\'');
		return;
	case CURSOR_MAP:
		show_map(out, c);
		return;
	case CURSOR_ARRAY:
		show_array(out, c);
		return;
	default:
		cursor_skip(c);
		buf_addf(out, "nil");
	}
}

/* --- the broker --- */

static void note_request(void)
{
	struct cursor c = cursor_of(buf_slice(&mq_wire.out));
	struct rpc msg;

	while (c.p != c.end && !c.error) {
		cr_assert_eq(rpc_decode(cursor_raw(&c), &msg), OK);
		if (asked.n)
			buf_add_byte(&asked, '\n');
		buf_add_slice(&asked, msg.method);
		buf_add_byte(&asked, ' ');
		struct cursor params = cursor_of(msg.params);
		show(&asked, &params);
	}
	cr_assert_not(c.error);
	buf_clear(&mq_wire.out);
}

static void mq_on_wait(void *arg, struct lane *l)
{
	struct rpc msg;

	(void)arg;
	note_request();
	cr_assert_eq(rpc_decode(buf_slice(&mq_answer), &msg), OK);
	lane_answer(l, &msg);
}

static void mq_on_gone(void *arg)
{
	(void)arg;
	cr_assert(false, "nobody is gone");
}

static struct lane_host mq_host = {
	.wire = &mq_wire,
	.script = &mq_script,
	.wait = mq_on_wait,
	.gone = mq_on_gone,
};

/* Then pack one value into what it gives. */
static inline struct buf *answer_with(void)
{
	buf_clear(&mq_answer);
	rpc_result(&mq_answer, 1);
	return &mq_answer;
}

static inline void refuse_with(const char *code, const char *message)
{
	buf_clear(&mq_answer);
	rpc_failure(&mq_answer, 1);
	pack_map(&mq_answer, 2);
	pack_cstr(&mq_answer, "code");
	pack_cstr(&mq_answer, code);
	pack_cstr(&mq_answer, "message");
	pack_cstr(&mq_answer, message);
	rpc_failure_end(&mq_answer);
}

/* --- a script --- */

static void mq_on_print(void *arg, struct slice line)
{
	log_line(arg, line);
}

static void open_lane(void)
{
	static const struct vm_ops ops = {.print = mq_on_print};

	mq_lane = (struct lane){.host = &mq_host, .run_id = 7, .moved = true};
	cr_assert_eq(vm_open(&mq_lane.vm, &ops, &mq_lane), 0);
	lib_open(&mq_lane);
	if (mq_script.dialect == DIALECT_MQTT)
		mq_open(&mq_lane);
	if (!mq_answer.n)
		pack_nil(answer_with());
}

static const char *run(const char *text)
{
	struct vm *vm = &mq_lane.vm;
	lua_State *co;
	int n = 0, status;
	size_t size;

	if (!vm->L)
		open_lane();
	buf_clear(&asked);
	if (vm_compile(vm, slice_str(text), "@demo.lua") != 0) {
		snprintf(result, sizeof(result), "refused: %s",
			 lua_tostring(vm->L, -1));
		lua_settop(vm->L, 0);
		return result;
	}
	vm_env_push(vm, vm->L);
	vm_env_set(vm->L, -2);
	co = lua_newthread(vm->L);
	lua_pushvalue(vm->L, 1);
	lua_xmove(vm->L, co, 1);
	vm_event_begin(vm, 0);
	status = vm_resume(vm, co, 0, &n);
	if (n == 0 && status == LUA_OK)
		lua_pushnil(co), n = 1;
	snprintf(result, sizeof(result), "%s%s", status ? "error: " : "",
		 vm_tostring(co, status == LUA_OK ? -n : -1, &size));
	vm_event_end(vm, true);
	lua_settop(vm->L, 0);
	note_request();
	buf_add_byte(&asked, '\0');
	return result;
}

static inline const char *was_asked(void)
{
	return (const char *)asked.p;
}

#define expect(text, want)                                                     \
	cr_expect_str_eq(run(text), want, "%s: got %s", text, result)
/* It raises, and that is in the message. */
#define expect_error(text, want)                                               \
	do {                                                                   \
		run(text);                                                     \
		cr_expect(strncmp(result, "error: ", 7) == 0 &&                \
				  strstr(result, want),                        \
			  "%s: got %s", text, result);                         \
	} while (0)
#define expect_asked(text, want)                                               \
	do {                                                                   \
		run(text);                                                     \
		cr_expect_str_eq(was_asked(), want, "%s: asked %s (%s)", text, \
				 was_asked(), result);                         \
	} while (0)

#endif
