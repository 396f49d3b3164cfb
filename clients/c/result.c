/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result: reading what the broker answers: ops, failures, questions.
 */
#include "clients/c/client.h"

void pf_error_read(struct slice value, struct pf_error *out)
{
	struct cursor c = cursor_of(value);

	*out = (struct pf_error){.code = CODE_COUNT};
	if (cursor_peek(&c) != CURSOR_MAP) {
		out->message = cursor_text(&c); /* empty when it is no text */
		return;
	}
	out->word = map_text(value, "code");
	out->code = code_parse(out->word);
	out->message = map_text(value, "message");
	out->script = map_text(value, "script");
	out->hook = map_text(value, "hook");
	out->traceback = map_text(value, "traceback");
}

/* The elements of the array under `key`; absent and nil count as empty. */
static int open_list(struct slice map, const char *key, struct cursor *at,
		     uint32_t *n)
{
	struct slice raw;

	*n = 0;
	*at = cursor_of(slice_of("", 0));
	if (!map_find(map, key, &raw))
		return 0;
	*at = cursor_of(raw);
	if (cursor_nil(at))
		return 0;
	*n = cursor_array(at);
	return at->error;
}

int pf_result_read(struct slice result, struct pf_result *out)
{
	struct cursor c = cursor_of(result);
	struct slice raw;
	int rc;

	*out = (struct pf_result){0};
	if (cursor_nil(&c))
		result = slice_of("\x80", 1);
	else if (cursor_peek(&c) != CURSOR_MAP)
		return ERR_TYPE;
	if (map_find(result, "finished", &raw)) {
		c = cursor_of(raw);
		out->finished = cursor_bool(&c);
		if (c.error)
			return c.error;
	}
	rc = open_list(result, "ops", &out->ops, &out->nops);
	if (rc == 0)
		rc = open_list(result, "errors", &out->errors, &out->nerrors);
	return rc;
}

int pf_result_op(struct pf_result *r, struct op_view *out)
{
	return ops_next(&r->ops, out);
}

int pf_result_error(struct pf_result *r, struct pf_error *out)
{
	if (r->errors.p == r->errors.end)
		return r->errors.error;
	pf_error_read(cursor_raw(&r->errors), out);
	return r->errors.error ? r->errors.error : 1;
}

int pf_body_get_read(const struct pf_item *item, struct pf_body_get *out)
{
	struct cursor c = cursor_of(item->params.packed);
	uint64_t call;

	*out = (struct pf_body_get){0};
	if (item->kind != PF_REQUEST || !slice_is(item->method, "body.get") ||
	    item->params.n != 4)
		return ERR_TYPE;
	call = cursor_uint(&c);
	out->body = body_parse(cursor_text(&c));
	out->offset = cursor_uint(&c);
	out->length = cursor_uint(&c);
	if (c.error || call > UINT32_MAX || out->body == BODY_COUNT ||
	    out->length > PROTO_RANGE)
		return ERR_TYPE;
	out->call = (uint32_t)call;
	return 0;
}
