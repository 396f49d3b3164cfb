/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client library without sockets: the broker's side is played by packing
 * its bytes.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "clients/c/pinfold_client.h"
#include "proto/pack.h"
#include "proto/rpc.h"
#include "proto/scan.h"

static const struct pf_args nothing;

static void feed(struct pf_client *c, struct buf *b)
{
	cr_assert_eq(buf_error(b), 0);
	cr_assert_eq(pf_feed(c, b->p, b->n), 0);
	buf_clear(b);
}

/* Take the next message of the client's output and decode it. */
static struct rpc sent(struct pf_client *c, struct buf *copy)
{
	struct slice out = pf_output(c);
	struct scan scan;
	struct rpc rpc;
	size_t len;

	scan_init(&scan, PROTO_MAX_MESSAGE);
	cr_assert_eq(scan_next(&scan, out, &len), 1);
	buf_clear(copy);
	buf_add(copy, out.p, len);
	pf_sent(c, len);
	cr_assert_eq(rpc_decode(buf_slice(copy), &rpc), 0);
	return rpc;
}

static uint32_t call(struct pf_client *c, const char *method, void *tag)
{
	uint32_t id;

	cr_assert_eq(pf_call(c, method, nothing, tag, &id), 0);
	return id;
}

static void answer_int(struct buf *b, uint32_t id, int64_t v)
{
	rpc_result(b, id);
	pack_int(b, v);
}

Test(client, call_and_result)
{
	struct pf_client *c = pf_new(NULL);
	struct buf copy = {0}, b = {0};
	struct pf_item item;
	struct cursor cur;
	struct rpc rpc;
	uint32_t id;
	int tag;

	cr_assert_eq(pf_output(c).n, 0);
	pack_cstr(&b, "key");
	cr_assert_eq(pf_call(c, "kv.get", pf_args(1, buf_slice(&b)), &tag, &id),
		     0);
	buf_clear(&b);
	rpc = sent(c, &copy);
	cr_assert_eq(rpc.type, RPC_REQUEST);
	cr_assert_eq(rpc.id, id);
	cr_assert(slice_is(rpc.method, "kv.get"));
	cr_assert_eq(rpc.nparams, 1);
	cr_assert_eq(pf_output(c).n, 0);
	cr_assert_eq(pf_unanswered(c), 1);
	cr_assert_eq(pf_tag(c, id), &tag);
	cr_assert_eq(pf_next(c, &item), 0);
	answer_int(&b, id, 42);
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.kind, PF_RESULT);
	cr_assert_eq(item.id, id);
	cr_assert_eq(item.tag, &tag);
	cur = cursor_of(item.result);
	cr_assert_eq(cursor_int(&cur), 42);
	cr_assert_eq(pf_next(c, &item), 0);
	cr_assert_eq(pf_unanswered(c), 0);
	cr_assert_null(pf_tag(c, id));
	pf_free(c);
	pf_free(NULL);
	buf_fini(&copy);
	buf_fini(&b);
}

Test(client, errors_are_decoded)
{
	struct pf_client *c = pf_new(NULL);
	struct buf b = {0};
	struct pf_item item;
	uint32_t a = call(c, "connect", NULL), d = call(c, "connect", NULL);
	uint32_t e = call(c, "connect", NULL);

	rpc_failure(&b, a);
	pack_map(&b, 4);
	pack_cstr(&b, "code");
	pack_cstr(&b, "timeout");
	pack_cstr(&b, "message");
	pack_cstr(&b, "too slow");
	pack_cstr(&b, "script");
	pack_cstr(&b, "metric");
	pack_cstr(&b, "later");
	pack_nil(&b);
	rpc_failure_end(&b);
	rpc_failure(&b, d);
	pack_map(&b, 1);
	pack_cstr(&b, "code");
	pack_cstr(&b, "brand_new");
	rpc_failure_end(&b);
	rpc_failure(&b, e);
	pack_cstr(&b, "only text");
	rpc_failure_end(&b);
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.kind, PF_ERROR);
	cr_assert_eq(item.error.code, CODE_TIMEOUT);
	cr_assert(slice_is(item.error.message, "too slow"));
	cr_assert(slice_is(item.error.script, "metric"));
	cr_assert_eq(item.error.hook.n, 0);
	cr_assert_eq(item.error.traceback.n, 0);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.error.code, CODE_COUNT);
	cr_assert(slice_is(item.error.word, "brand_new"));
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.error.code, CODE_COUNT);
	cr_assert(slice_is(item.error.message, "only text"));
	pf_free(c);
	buf_fini(&b);
}

/* Any order of answers, any portions of bytes. */
Test(client, portions_and_order)
{
	for (size_t portion = 1; portion < 40; portion++) {
		struct pf_client *c = pf_new(NULL);
		struct buf b = {0};
		uint32_t id[5];
		unsigned got = 0;

		for (int i = 0; i < 5; i++)
			id[i] = call(c, "m", &id[i]);
		for (int i = 4; i >= 0; i--)
			answer_int(&b, id[i], i);
		for (size_t at = 0; at < b.n; at += portion) {
			size_t n = b.n - at < portion ? b.n - at : portion;
			struct pf_item item;

			cr_assert_eq(pf_feed(c, b.p + at, n), 0);
			while (pf_next(c, &item) == 1) {
				struct cursor v = cursor_of(item.result);

				cr_assert_eq(item.tag, &id[4 - got]);
				cr_assert_eq(cursor_int(&v), 4 - got);
				got++;
			}
		}
		cr_assert_eq(got, 5);
		pf_free(c);
		buf_fini(&b);
	}
}

Test(client, inflight_is_bounded_and_slots_are_used_again)
{
	struct pf_options o = {.max_inflight = 3};
	struct pf_client *c = pf_new(&o);
	struct buf b = {0};
	struct pf_item item;
	uint32_t first = call(c, "m", NULL), id;

	call(c, "m", NULL);
	call(c, "m", NULL);
	cr_assert_eq(pf_call(c, "m", nothing, NULL, NULL), ERR_FULL);
	answer_int(&b, first, 1);
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), 1);
	id = call(c, "m", NULL);
	cr_assert_neq(id, first); /* the same slot, another id */
	/* the old id again is an answer that nobody asked for */
	answer_int(&b, first, 1);
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), ERR_FORMAT);
	cr_assert_eq(pf_next(c, &item), ERR_FORMAT);
	cr_assert_eq(pf_feed(c, "", 0), ERR_FORMAT);
	cr_assert_eq(pf_call(c, "m", nothing, NULL, NULL), ERR_FORMAT);
	pf_free(c);
	buf_fini(&b);
}

Test(client, forgotten_answers_are_dropped)
{
	struct pf_options o = {.max_inflight = 2};
	struct pf_client *c = pf_new(&o);
	struct buf b = {0};
	struct pf_item item;
	uint32_t one = call(c, "m", NULL), two = call(c, "m", NULL);

	pf_forget(c, one);
	pf_forget(c, one);
	pf_forget(c, 12345);
	cr_assert_eq(pf_unanswered(c), 1);
	/* the broker still counts it, so it still counts here */
	cr_assert_eq(pf_call(c, "m", nothing, NULL, NULL), ERR_FULL);
	answer_int(&b, one, 1);
	answer_int(&b, two, 2);
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.id, two);
	cr_assert_eq(pf_next(c, &item), 0);
	cr_assert_eq(pf_unanswered(c), 0);
	call(c, "m", NULL);
	call(c, "m", NULL);
	pf_free(c);
	buf_fini(&b);
}

Test(client, output_is_bounded)
{
	struct pf_options o = {.max_message = 4096, .max_output = 8192};
	struct pf_client *c = pf_new(&o);
	static uint8_t zeros[4096];
	struct buf b = {0};
	size_t before;

	pack_bin(&b, slice_of(zeros, 3900));
	cr_assert_eq(pf_notify(c, "error", pf_args(1, buf_slice(&b))), 0);
	cr_assert_eq(pf_notify(c, "error", pf_args(1, buf_slice(&b))), 0);
	before = pf_output(c).n;
	cr_assert_eq(pf_notify(c, "error", pf_args(1, buf_slice(&b))),
		     ERR_FULL);
	cr_assert_eq(pf_output(c).n, before);
	buf_clear(&b);
	pack_bin(&b, slice_of(zeros, 4096));
	cr_assert_eq(pf_call(c, "m", pf_args(1, buf_slice(&b)), NULL, NULL),
		     ERR_RANGE);
	cr_assert_eq(pf_unanswered(c), 0);
	/* half of it goes out, and there is room again */
	pf_sent(c, before * 3 / 4);
	buf_clear(&b);
	pack_bin(&b, slice_of(zeros, 3900));
	cr_assert_eq(pf_notify(c, "error", pf_args(1, buf_slice(&b))), 0);
	pf_sent(c, pf_output(c).n);
	cr_assert_eq(pf_output(c).n, 0);
	pf_free(c);
	buf_fini(&b);
}

Test(client, input_is_bounded)
{
	struct pf_options o = {.max_message = 4096};
	struct pf_client *c = pf_new(&o);
	const uint8_t endless[] = {0x94, 1,    0,    0xc0, 0xc6,
				   0xff, 0xff, 0xff, 0xff};
	struct pf_item item;
	uint8_t dull[4097];

	cr_assert_eq(pf_feed(c, endless, sizeof(endless)), 0);
	cr_assert_eq(pf_next(c, &item), ERR_RANGE);
	pf_free(c);
	c = pf_new(&o);
	memset(dull, 0xc0, sizeof(dull));
	cr_assert_eq(pf_feed(c, dull, sizeof(dull)), 0);
	cr_assert_eq(pf_feed(c, dull, 1), ERR_FULL);
	cr_assert_eq(pf_next(c, &item), ERR_FORMAT); /* nil is no message */
	pf_free(c);
}

Test(client, broken_messages)
{
	static const struct {
		const char *bytes;
		size_t n;
	} list[] = {
		{"\xc1", 1},			     /* no MessagePack */
		{"\x90", 1},			     /* empty array */
		{"\x93\x03\xa1m\x90", 5},	     /* no such type */
		{"\x94\x01\x05\xc0\xc0", 5},	     /* nobody asked */
		{"\x94\x01\xa1x\xc0\xc0", 6},	     /* id is text */
		{"\x93\x02\xa1m\x01", 5},	     /* params no array */
		{"\x94\x00\x05\x01\x90", 5},	     /* method no text */
		{"\x94\x01\xcd\x0f\xff\xc0\xc0", 7}, /* slot out of range */
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		struct pf_client *c = pf_new(NULL);
		struct pf_item item;

		cr_assert_eq(pf_feed(c, list[i].bytes, list[i].n), 0);
		cr_assert_eq(pf_next(c, &item), ERR_FORMAT, "case %zu", i);
		pf_free(c);
	}
}

Test(client, requests_and_answers)
{
	struct pf_client *c = pf_new(NULL);
	struct buf b = {0}, copy = {0};
	struct pf_body_get get;
	struct pf_item item;
	struct slice word;
	struct cursor v;
	struct rpc rpc;

	rpc_request(&b, 77, "body.get", 4);
	pack_uint(&b, 5);
	pack_cstr(&b, "resp.body");
	pack_uint(&b, 1 << 20);
	pack_uint(&b, 10);
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.kind, PF_REQUEST);
	cr_assert_eq(item.id, 77);
	cr_assert_eq(pf_body_get_read(&item, &get), 0);
	cr_assert_eq(get.call, 5);
	cr_assert_eq(get.body, BODY_RESP);
	cr_assert_eq(get.offset, 1 << 20);
	cr_assert_eq(get.length, 10);
	cr_assert_eq(pf_answer_bytes(c, 77, slice_str("0123456789")), 0);
	rpc = sent(c, &copy);
	cr_assert_eq(rpc.type, RPC_RESPONSE);
	cr_assert_eq(rpc.id, 77);
	cr_assert_not(rpc.failed);
	v = cursor_of(rpc.result);
	cr_assert(slice_is(cursor_text(&v), "0123456789"));
	pack_bool(&b, true);
	cr_assert_eq(pf_answer(c, 78, buf_slice(&b)), 0);
	rpc = sent(c, &copy);
	v = cursor_of(rpc.result);
	cr_assert(cursor_bool(&v));
	cr_assert_eq(pf_refuse(c, 79, CODE_BODY_UNAVAILABLE, "gone"), 0);
	rpc = sent(c, &copy);
	cr_assert_eq(rpc.id, 79);
	cr_assert(rpc.failed);
	cr_assert(map_find(rpc.error, "code", &word));
	v = cursor_of(word);
	cr_assert(slice_is(cursor_text(&v), "body_unavailable"));
	pf_free(c);
	buf_fini(&b);
	buf_fini(&copy);
}

Test(client, malformed_body_get)
{
	struct pf_client *c = pf_new(NULL);
	struct buf b = {0};
	struct pf_body_get get;
	struct pf_item item;

	rpc_request(&b, 1, "body.get", 3);
	pack_uint(&b, 5);
	pack_cstr(&b, "req.body");
	pack_uint(&b, 0);
	rpc_request(&b, 2, "body.get", 4);
	pack_uint(&b, 5);
	pack_cstr(&b, "req.head");
	pack_uint(&b, 0);
	pack_uint(&b, 1);
	rpc_request(&b, 3, "body.get", 4);
	pack_uint(&b, 5);
	pack_cstr(&b, "req.body");
	pack_int(&b, -1);
	pack_uint(&b, 1);
	rpc_request(&b, 4, "body.get", 4);
	pack_uint(&b, 5);
	pack_cstr(&b, "req.body");
	pack_uint(&b, 0);
	pack_uint(&b, (1 << 20) + 1);
	rpc_request(&b, 5, "body.put", 0);
	feed(c, &b);
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(pf_next(c, &item), 1);
		cr_assert_eq(pf_body_get_read(&item, &get), ERR_TYPE);
	}
	pf_free(c);
	buf_fini(&b);
}

static void pack_hooks(struct buf *b, const char *name)
{
	pack_map(b, 1);
	pack_cstr(b, name);
	pack_map(b, 1);
	pack_cstr(b, "mode");
	pack_cstr(b, "decide");
}

Test(client, hello_of_an_mqtt_broker)
{
	const struct pf_hello hello = {
		.client = "test", .version = "1", .mqtt = true};
	struct pf_client *c = pf_new(NULL);
	struct buf copy = {0};
	struct slice caps;
	struct cursor v;
	struct rpc rpc;

	cr_assert_eq(pf_hello(c, &hello, NULL, NULL), 0);
	rpc = sent(c, &copy);
	v = cursor_of(rpc.params);
	cr_assert_eq(cursor_array(&v), 1);
	cr_assert(map_find(cursor_raw(&v), "caps", &caps));
	v = cursor_of(caps);
	cr_assert_eq(cursor_array(&v), 1);
	cr_assert(slice_is(cursor_text(&v), "mqtt"));
	buf_fini(&copy);
	pf_free(c);
}

Test(client, hello_is_remembered)
{
	struct pf_client *c = pf_new(NULL);
	struct pf_hello hello = {
		.client = "test", .version = "1", .lazy = true};
	struct buf b = {0}, copy = {0};
	struct pf_item item;
	struct cursor v;
	struct rpc rpc;
	uint32_t id;

	cr_assert(pf_serves(c, "before_request"));
	cr_assert_eq(pf_inline_body(c), SIZE_MAX);
	cr_assert_eq(pf_hello(c, &hello, NULL, &id), 0);
	rpc = sent(c, &copy);
	v = cursor_of(rpc.params);
	cr_assert_eq(cursor_array(&v), 1);
	cr_assert_eq(cursor_map(&v), 4);
	rpc_result(&b, id);
	pack_map(&b, 3);
	pack_cstr(&b, "caps");
	pack_array(&b, 2);
	pack_cstr(&b, "other");
	pack_cstr(&b, "lazy_body");
	pack_cstr(&b, "limits");
	pack_map(&b, 3);
	pack_cstr(&b, "max_inflight");
	pack_uint(&b, 1);
	pack_cstr(&b, "max_message");
	pack_uint(&b, 4096);
	pack_cstr(&b, "inline_body");
	pack_uint(&b, 100);
	pack_cstr(&b, "hooks");
	pack_hooks(&b, "connect");
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.kind, PF_RESULT);
	cr_assert(pf_serves(c, "connect"));
	cr_assert_not(pf_serves(c, "before_request"));
	cr_assert_eq(pf_inline_body(c), 100);
	call(c, "m", NULL);
	cr_assert_eq(pf_call(c, "m", nothing, NULL, NULL), ERR_FULL);
	rpc_notification(&b, "hooks", 1);
	pack_hooks(&b, "before_request");
	rpc_notification(&b, "hooks", 1);
	pack_nil(&b); /* nonsense is passed over */
	rpc_notification(&b, "hooks", 0);
	feed(c, &b);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(pf_next(c, &item), 1);
		cr_assert_eq(item.kind, PF_NOTIFICATION);
		cr_assert(slice_is(item.method, "hooks"));
	}
	cr_assert_not(pf_serves(c, "connect"));
	cr_assert(pf_serves(c, "before_request"));
	pf_free(c);
	buf_fini(&b);
	buf_fini(&copy);
}

/* A broker whose limit is lower may still send us larger messages. */
Test(client, a_lower_limit_is_for_what_goes_out)
{
	struct pf_client *c = pf_new(NULL);
	struct pf_hello hello = {
		.client = "test", .version = "1", .lazy = false};
	static uint8_t zeros[9000];
	struct buf b = {0};
	struct pf_item item;
	uint32_t id;
	size_t half;

	cr_assert_eq(pf_hello(c, &hello, NULL, &id), 0);
	rpc_result(&b, id);
	pack_map(&b, 1);
	pack_cstr(&b, "limits");
	pack_map(&b, 1);
	pack_cstr(&b, "max_message");
	pack_uint(&b, 4096);
	feed(c, &b);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(pf_inline_body(c), SIZE_MAX);
	pack_bin(&b, slice_of(zeros, 9000));
	cr_assert_eq(pf_notify(c, "n", pf_args(1, buf_slice(&b))), ERR_RANGE);
	buf_clear(&b);
	id = call(c, "m", NULL);
	rpc_result(&b, id);
	pack_bin(&b, slice_of(zeros, 9000));
	half = b.n - 1;
	cr_assert_eq(pf_feed(c, b.p, half), 0);
	cr_assert_eq(pf_next(c, &item), 0);
	cr_assert_eq(pf_feed(c, b.p + half, 1), 0);
	cr_assert_eq(pf_next(c, &item), 1);
	cr_assert_eq(item.kind, PF_RESULT);
	pf_free(c);
	buf_fini(&b);
}
