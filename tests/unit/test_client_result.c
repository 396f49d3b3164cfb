/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client library's reader of results and its writer of events.
 */
#include <criterion/criterion.h>

#include "clients/c/pinfold_client.h"
#include "proto/pack.h"
#include "proto/scan.h"

static void pack_sample_result(struct buf *b)
{
	pack_map(b, 4);
	pack_cstr(b, "finished");
	pack_bool(b, true);
	pack_cstr(b, "ops");
	pack_array(b, 3);
	pack_array(b, 3);
	pack_cstr(b, "req.set_header");
	pack_cstr(b, "X-A");
	pack_cstr(b, "1");
	pack_array(b, 2);
	pack_cstr(b, "resp.set_status");
	pack_int(b, 403);
	pack_array(b, 1);
	pack_cstr(b, "ctx.set_finish");
	pack_cstr(b, "errors");
	pack_array(b, 1);
	pack_map(b, 2);
	pack_cstr(b, "script");
	pack_cstr(b, "metric");
	pack_cstr(b, "code");
	pack_cstr(b, "crashed");
	pack_cstr(b, "other");
	pack_nil(b);
}

Test(client_result, results)
{
	struct buf b = {0};
	struct pf_result r;
	struct pf_error e;
	struct op_view op;

	pack_sample_result(&b);
	cr_assert_eq(pf_result_read(buf_slice(&b), &r), 0);
	cr_assert(r.finished);
	cr_assert_eq(r.nops, 3);
	cr_assert_eq(r.nerrors, 1);
	cr_assert_eq(pf_result_op(&r, &op), 1);
	cr_assert_eq(op.op, OP_REQ_SET_HEADER);
	cr_assert(slice_is(op.a, "X-A"));
	cr_assert(slice_is(op.b, "1"));
	cr_assert_eq(pf_result_op(&r, &op), 1);
	cr_assert_eq(op.op, OP_RESP_SET_STATUS);
	cr_assert_eq(op.i, 403);
	cr_assert_eq(pf_result_op(&r, &op), 1);
	cr_assert_eq(op.op, OP_CTX_SET_FINISH);
	cr_assert_eq(pf_result_op(&r, &op), 0);
	cr_assert_eq(pf_result_error(&r, &e), 1);
	cr_assert_eq(e.code, CODE_CRASHED);
	cr_assert(slice_is(e.script, "metric"));
	cr_assert_eq(pf_result_error(&r, &e), 0);
	buf_fini(&b);
}

Test(client_result, results_that_are_empty_or_wrong)
{
	struct pf_result r;
	struct pf_error e;
	struct op_view op;

#define READ(bytes) pf_result_read(slice_of(bytes, sizeof(bytes) - 1), &r)
	cr_assert_eq(READ("\xc0"), 0);
	cr_assert_not(r.finished);
	cr_assert_eq(pf_result_op(&r, &op), 0);
	cr_assert_eq(pf_result_error(&r, &e), 0);
	cr_assert_eq(READ("\x80"), 0);
	cr_assert_eq(pf_result_op(&r, &op), 0);
	cr_assert_eq(READ("\x81\xa3ops\xc0"), 0);
	cr_assert_eq(pf_result_op(&r, &op), 0);
	cr_assert_eq(READ("\x90"), ERR_TYPE);
	cr_assert_eq(READ("\x81\xa3ops\x80"), ERR_TYPE);
	cr_assert_eq(READ("\x81\xa8"
			  "finished\x01"),
		     ERR_TYPE);
	cr_assert_eq(READ("\x81\xa3ops\x91\x91\xa3"
			  "bad"),
		     0);
	cr_assert_eq(pf_result_op(&r, &op), ERR_FORMAT);
#undef READ
}

static void build_request(struct pf_event *e)
{
	pf_event_begin(e, "id-1");
	pf_event_map(e, "req");
	pf_event_text(e, "method", slice_str("POST"));
	pf_event_list(e, "headers");
	pf_event_header(e, slice_str("Host"), slice_str("x"));
	pf_event_header(e, slice_str("X-Bin"), slice_of("\xff", 1));
	pf_event_end(e);
	pf_event_lazy(e, "body", 1 << 20);
	pf_event_int(e, "content_length", 1 << 20);
	pf_event_end(e);
	pf_event_bool(e, "is_finished", false);
	pf_event_map(e, "ws");
	pf_event_bytes(e, "data", slice_of("\0\1", 2));
	pf_event_end(e);
}

Test(client_result, events_are_built)
{
	struct pf_event e = {0};
	struct slice event, req, ws, f;
	struct event_bodies bodies;
	struct event_head head;
	struct cursor c;

	for (int round = 0; round < 2; round++) {
		build_request(&e);
		cr_assert_eq(pf_event_finish(&e, &event), 0);
		cr_assert(scan_whole(event, PROTO_MAX_MESSAGE));
		cr_assert_eq(event_head(event, event.p, NULL, &head), 0);
		cr_assert(slice_is(head.id, "id-1"));
		cr_assert_eq(event_bodies(event, &bodies), 0);
		cr_assert(bodies.body[BODY_REQ].lazy);
		cr_assert_eq(bodies.body[BODY_REQ].lazy_len, 1 << 20);
		cr_assert_eq(bodies.body[BODY_WS].inline_.n, 2);
		cr_assert(map_find(event, "req", &req));
		cr_assert(map_find(event, "ws", &ws));
		cr_assert(map_find(req, "headers", &f));
		c = cursor_of(f);
		cr_assert_eq(cursor_array(&c), 2);
		cr_assert_eq(cursor_array(&c), 2);
		cr_assert(slice_is(cursor_text(&c), "Host"));
		cr_assert(slice_is(cursor_text(&c), "x"));
		cr_assert_eq(cursor_array(&c), 2);
		cursor_skip(&c);
		cr_assert_eq(cursor_peek(&c), CURSOR_BIN);
	}
	/* what is open is closed at the end */
	pf_event_begin(&e, NULL);
	pf_event_map(&e, "req");
	pf_event_list(&e, "headers");
	cr_assert_eq(pf_event_finish(&e, &event), 0);
	cr_assert(scan_whole(event, PROTO_MAX_MESSAGE));
	pf_event_fini(&e);
}

Test(client_result, events_that_are_wrong)
{
	struct pf_event e = {0};
	struct slice event;

	pf_event_begin(&e, "x");
	pf_event_end(&e); /* the event itself is closed by finish */
	cr_assert_eq(pf_event_finish(&e, &event), ERR_RANGE);
	pf_event_begin(&e, "x");
	pf_event_text(&e, NULL, slice_str("no key in a map"));
	cr_assert_eq(pf_event_finish(&e, &event), ERR_RANGE);
	pf_event_begin(&e, "x");
	pf_event_list(&e, "l");
	pf_event_int(&e, "a key in a list", 1);
	cr_assert_eq(pf_event_finish(&e, &event), ERR_RANGE);
	pf_event_begin(&e, "x");
	pf_event_header(&e, slice_str("A"), slice_str("not in a list"));
	cr_assert_eq(pf_event_finish(&e, &event), ERR_RANGE);
	pf_event_begin(&e, "x");
	for (int i = 0; i < PF_EVENT_DEPTH; i++)
		pf_event_map(&e, "deeper");
	cr_assert_eq(pf_event_finish(&e, &event), ERR_RANGE);
	pf_event_begin(&e, "x");
	pf_event_list(&e, "l");
	for (int i = 0; i < 65535; i++)
		pf_event_int(&e, NULL, 1);
	pf_event_bool(&e, NULL, true);
	cr_assert_eq(pf_event_finish(&e, &event), ERR_RANGE);
	pf_event_begin(&e, "fine again");
	cr_assert_eq(pf_event_finish(&e, &event), 0);
	pf_event_fini(&e);
}
