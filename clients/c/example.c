/* SPDX-License-Identifier: Apache-2.0 */
/*
 * example: one request past the scripts, as a proxy without an event loop
 * would do it; docs/clients-c.md walks through it. Start at main().
 *
 *	example SOCKET METHOD URL [BODY]
 *
 * Prints what to do with the request. Exit status: 0 it may go on or was
 * answered, 1 it must not go on, 2 wrong usage.
 */
#include <stdio.h>
#include <string.h>

#include "clients/c/blocking.h"

enum { TIMEOUT_MS = 5000 };

/* The broker asks for a part of a body that was only announced. */
static void on_request(void *arg, struct pf_client *c,
		       const struct pf_item *item)
{
	const struct slice *body = arg;
	struct pf_body_get want;
	int r;

	if (pf_body_get_read(item, &want) < 0 || want.body != BODY_REQ)
		r = pf_refuse(c, item->id, CODE_UNKNOWN_METHOD, "not here");
	else if (want.offset > body->n || want.length > body->n - want.offset)
		r = pf_refuse(c, item->id, CODE_BODY_UNAVAILABLE, "past it");
	else
		r = pf_answer_bytes(
			c, item->id,
			slice_of(body->p + want.offset, (size_t)want.length));
	if (r < 0) /* the call that waits will fail as well */
		fprintf(stderr, "answer: %s\n", err_name(r));
}

static int build(struct pf_event *e, char **argv, struct slice body,
		 size_t inline_body, struct slice *event)
{
	pf_event_begin(e, "request-1");
	pf_event_map(e, "req");
	pf_event_text(e, "method", slice_str(argv[2]));
	pf_event_text(e, "url", slice_str(argv[3]));
	pf_event_list(e, "headers");
	pf_event_header(e, slice_str("User-Agent"), slice_str("example/1"));
	pf_event_end(e);
	pf_event_int(e, "content_length", (int64_t)body.n);
	if (body.n > inline_body)
		pf_event_lazy(e, "body", body.n);
	else if (body.n)
		pf_event_bytes(e, "body", body);
	pf_event_end(e);
	pf_event_int(e, "deadline_ms", TIMEOUT_MS);
	return pf_event_finish(e, event);
}

/* A real proxy changes its request here. */
static int apply(struct slice packed)
{
	struct pf_result result;
	struct op_view op;
	int r = pf_result_read(packed, &result);

	if (r < 0)
		return r;
	while ((r = pf_result_op(&result, &op)) == 1) {
		printf("%s", op_table[op.op].name);
		if (op.op == OP_RESP_SET_STATUS)
			printf(" %d", (int)op.i);
		if (op.a.n)
			printf(" %.*s", (int)op.a.n, (const char *)op.a.p);
		if (op.b.n)
			printf(" %.*s", (int)op.b.n, (const char *)op.b.p);
		putchar('\n');
	}
	if (r == 0)
		puts(result.finished ? "answer it" : "send it on");
	return r;
}

/* 0, or 1 or a code: then the request must not go on. */
static int ask(struct pf_conn *conn, struct slice event)
{
	struct pf_item item;
	int r = pf_conn_call(conn, "before_request", pf_args(1, event),
			     TIMEOUT_MS, &item);

	if (r == 0 && item.kind == PF_RESULT)
		return apply(item.result);
	if (r == 0) {
		printf("refused: %.*s\n", (int)item.error.word.n,
		       (const char *)item.error.word.p);
		return 1;
	}
	return r;
}

int main(int argc, char **argv)
{
	struct pf_hello hello = {
		.client = "example", .version = "1", .lazy = true};
	struct slice body = slice_str(argc == 5 ? argv[4] : ""), event;
	struct pf_handler handler = {.request = on_request, .arg = &body};
	struct pf_conn *conn = NULL;
	struct pf_event e = {0};
	struct pf_item item;
	int r;

	if (argc != 4 && argc != 5)
		return 2;
	r = pf_conn_open(argv[1], TIMEOUT_MS, &conn);
	if (r == 0) {
		pf_conn_handle(conn, &handler);
		r = pf_conn_hello(conn, &hello, TIMEOUT_MS, &item);
	}
	if (r == 0)
		r = build(&e, argv, body, pf_inline_body(pf_conn_client(conn)),
			  &event);
	if (r == 0)
		r = ask(conn, event);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", argv[1], err_name(r));
	pf_event_fini(&e);
	pf_conn_close(conn);
	return r == 0 ? 0 : 1;
}
