/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_read: the answer to a run, believed in nothing.
 */
#include "broker/child_read.h"

#include "proto/mods.h"
#include "proto/ops.h"
#include "proto/unpack.h"

/* A verdict stands where ops would; absent it is `next`. */
static int read_verdict(enum hook hook, struct outcome *out)
{
	struct verdict_view view;
	int r;

	if (!hook_table[hook].decide)
		out->ops = slice_of(NULL, 0); /* nobody asks */
	if (!out->ops.n)
		return OK;
	r = verdict_read(out->ops, hook, &view);
	out->finish = r == OK && view.verdict != VERDICT_NEXT;
	if (!out->finish)
		out->ops = slice_of(NULL, 0);
	return r;
}

/* [ops|nil, nops, effects|nil, neffects]. The counts are its own; ours come
 * from the check. */
int child_read_result(struct slice result, enum hook hook, struct outcome *out)
{
	struct cursor c = cursor_of(result);
	uint32_t n = cursor_array(&c);

	if (n < 4)
		return ERR_FORMAT;
	if (!cursor_nil(&c))
		out->ops = cursor_text(&c);
	cursor_skip(&c);
	if (!cursor_nil(&c))
		out->effects = cursor_text(&c);
	if (c.error)
		return ERR_FORMAT;
	if (hook_table[hook].dialect == DIALECT_MQTT)
		return read_verdict(hook, out);
	return ops_check(out->ops, &out->nops, &out->finish);
}

/* {code, message, traceback} of a failed run. A worker may only claim what
 * is its to claim. */
int child_read_error(struct slice error, struct outcome *out)
{
	struct cursor c = cursor_of(error);
	struct slice value;

	if (cursor_peek(&c) != CURSOR_MAP)
		return ERR_FORMAT;
	out->code = CODE_SCRIPT_ERROR;
	if (map_find(error, "code", &value)) {
		c = cursor_of(value);
		out->code = code_parse(cursor_text(&c));
		if (out->code != CODE_TIMEOUT && out->code != CODE_TOO_LARGE &&
		    out->code != CODE_STORAGE &&
		    out->code != CODE_BODY_UNAVAILABLE)
			out->code = CODE_SCRIPT_ERROR;
	}
	if (map_find(error, "message", &value)) {
		c = cursor_of(value);
		out->message = cursor_text(&c);
	}
	if (map_find(error, "traceback", &value)) {
		c = cursor_of(value);
		out->traceback = cursor_text(&c);
	}
	return OK;
}
