/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event: its head found by marks and by walking must be the same; bodies
 * of every kind; and trimming changes large bodies and nothing else, in
 * whichever order they stand.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "proto/event.h"
#include "proto/pack.h"
#include "proto/proto.h"
#include "proto/rpc.h"
#include "proto/unpack.h"

#define S(text) slice_of((text), sizeof(text) - 1)

/* Both ways over one message [0, 1, "close", [event]]; must agree. */
static int both_heads(struct slice event, struct event_head *out)
{
	struct event_head by_walk = {0};
	struct buf msg = {0};
	struct slice inside;
	struct scan scan;
	size_t len;
	int r, walk;

	rpc_request(&msg, 1, "close", 1);
	pack_raw(&msg, event);
	scan_init(&scan, 1 << 20);
	cr_assert_eq(scan_next(&scan, buf_slice(&msg), &len), 1);
	cr_assert_eq(len, msg.n);
	inside = slice_of(msg.p + msg.n - event.n, event.n);
	r = event_head(inside, msg.p, &scan, out);
	walk = event_head(inside, msg.p, NULL, &by_walk);
	cr_assert_eq(r, walk);
	if (r == OK) {
		cr_assert(slice_eq(out->id, by_walk.id));
		cr_assert(slice_eq(out->traceparent, by_walk.traceparent));
		cr_assert_eq(out->deadline_ms, by_walk.deadline_ms);
		/* Slices into msg would outlive it. */
		out->id = slice_of(out->id.n ? event.p + (out->id.p - inside.p)
					     : NULL,
				   out->id.n);
	}
	buf_fini(&msg);
	return r;
}

Test(event, head)
{
	struct buf e = {0};
	struct event_head head;

	pack_map(&e, 4);
	pack_cstr(&e, "req");
	pack_map(&e, 1);
	pack_cstr(&e, "id");
	pack_cstr(&e, "not this one");
	pack_cstr(&e, "id");
	pack_cstr(&e, "flow-1");
	pack_cstr(&e, "deadline_ms");
	pack_uint(&e, 1500);
	pack_cstr(&e, "traceparent");
	pack_cstr(&e, "00-ab");
	cr_assert_eq(both_heads(buf_slice(&e), &head), OK);
	cr_assert(slice_is(head.id, "flow-1"));
	cr_assert_eq(head.deadline_ms, 1500);
	buf_fini(&e);

	cr_assert_eq(both_heads(S("\x80"), &head), OK);
	cr_assert_eq(head.id.n, 0);
	cr_assert_eq(head.deadline_ms, -1);
}

Test(event, keys_may_be_bin_too)
{
	struct event_head head;

	cr_assert_eq(both_heads(S("\x81\xc4\x02id\xc4\x01x"), &head), OK);
	cr_assert(slice_is(head.id, "x"));
}

Test(event, wrong_types)
{
	const struct slice bad[] = {
		S("\x81\xa2id\x05"),
		S("\x81\xa2id\xc0"),
		S("\x81\xa2id\x90"),
		S("\x81\xabtraceparent\xc3"),
		S("\x81\xab"
		  "deadline_ms\xa3"
		  "500"),
		S("\x81\xab"
		  "deadline_ms\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
		S("\x90"),
		S("\xc0"),
		S("\xa2id"),
		S("\x92\xa2id\xa1x"),
	};
	struct event_head head;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(both_heads(bad[i], &head), ERR_TYPE, "row %zu", i);
}

static void random_value(struct buf *b, int depth)
{
	switch (random() % (depth > 3 ? 5 : 7)) {
	case 0:
		pack_nil(b);
		break;
	case 1:
		pack_int(b, random() - random());
		break;
	case 2:
		pack_cstr(b, "id");
		break;
	case 3:
		pack_bin(b,
			 slice_of("deadline_ms, and more than 31 bytes", 35));
		break;
	case 4:
		pack_double(b, 0.5);
		break;
	default: {
		uint32_t n = (uint32_t)random() % 4;
		bool map = random() % 2;

		if (map)
			pack_map(b, n);
		else
			pack_array(b, n);
		for (uint32_t i = 0; i < n * (1 + map); i++)
			random_value(b, depth + 1);
	}
	}
}

/* Also with more keys than there are marks, and keys that are containers. */
Test(event, random_heads_agree)
{
	int good = 0, bad = 0;

	srandom(3);
	for (int round = 0; round < 5000; round++) {
		uint32_t n = (uint32_t)random() % (round % 2 ? 30 : 6);
		struct event_head head;
		struct buf e = {0};

		pack_map(&e, n);
		for (uint32_t i = 0; i < n; i++) {
			static const char *const keys[] = {
				"id", "deadline_ms", "traceparent", "x", "req"};

			if (random() % 3)
				pack_cstr(&e, keys[random() % 5]);
			else
				random_value(&e, 0);
			if (random() % 8)
				pack_cstr(&e, "v");
			else
				random_value(&e, 0);
		}
		if (both_heads(buf_slice(&e), &head) == OK)
			good++;
		else
			bad++;
		buf_fini(&e);
	}
	cr_assert(good > 500 && bad > 500, "%d good, %d bad", good, bad);
}

Test(event, names_of_bodies)
{
	for (enum body body = 0; body < BODY_COUNT; body++)
		cr_assert_eq(body_parse(slice_str(body_name(body))), body);
	cr_assert_eq(body_parse(S("req.bod")), BODY_COUNT);
	cr_assert_eq(body_parse(S("err.body")), BODY_COUNT);
}

/* ---- bodies ------------------------------------------------------------ */

enum { PARTS = 3 };
static const char *const part_name[PARTS] = {"req", "resp", "ws"};
static const char *const body_key[PARTS] = {"body", "body", "data"};

static uint8_t content[3][20000];

/* An event with its parts in that order, each with a body of that size. */
static void make(struct buf *e, const int order[PARTS],
		 const size_t size[PARTS], bool str)
{
	pack_map(e, PARTS + 2);
	pack_cstr(e, "id");
	pack_cstr(e, "1");
	for (int i = 0; i < PARTS; i++) {
		int part = order[i];

		pack_cstr(e, part_name[part]);
		pack_map(e, 3);
		pack_cstr(e, "before");
		pack_uint(e, 100 + (unsigned)part);
		pack_cstr(e, body_key[part]);
		(str ? pack_str
		     : pack_bin)(e, slice_of(content[part], size[part]));
		pack_cstr(e, "after");
		pack_array(e, 1);
		pack_cstr(e, "end");
	}
	pack_cstr(e, "tail");
	pack_bool(e, true);
}

static void expect_part(struct slice event, int part, size_t size, size_t limit)
{
	struct slice map, value;
	struct cursor c;
	int8_t type;

	cr_assert(map_find(event, part_name[part], &map));
	cr_assert(map_find(map, "before", &value));
	cr_assert_eq(value.p[0], 100 + part);
	cr_assert(map_find(map, "after", &value));
	cr_assert_eq(value.n, 5);
	cr_assert(map_find(map, body_key[part], &value));
	c = cursor_of(value);
	if (size > limit) {
		struct slice ext = cursor_ext(&c, &type);
		uint64_t len = 0;

		cr_assert(type == PROTO_EXT_LAZY && ext.n == 8);
		for (int i = 0; i < 8; i++)
			len = len << 8 | ext.p[i];
		cr_assert_eq(len, size);
	} else {
		cr_assert(slice_eq(cursor_text(&c),
				   slice_of(content[part], size)));
	}
}

static void trim_one(const int order[PARTS], const size_t size[PARTS],
		     size_t limit, bool str)
{
	struct buf e = {0}, trimmed = {0};
	struct event_bodies bodies;
	struct slice value;

	make(&e, order, size, str);
	cr_assert_eq(event_bodies(buf_slice(&e), &bodies), OK);
	for (int i = 0; i < PARTS; i++)
		cr_assert(slice_eq(bodies.body[i].inline_,
				   slice_of(content[i], size[i])));
	event_trim(buf_slice(&e), &bodies, limit, &trimmed);
	cr_assert_eq(buf_error(&trimmed), OK);
	cr_assert(scan_whole(buf_slice(&trimmed), 1 << 20));
	for (int i = 0; i < PARTS; i++)
		expect_part(buf_slice(&trimmed), i, size[i], limit);
	cr_assert(map_find(buf_slice(&trimmed), "tail", &value));
	cr_assert_eq(value.p[0], 0xc3);
	if (size[0] <= limit && size[1] <= limit && size[2] <= limit)
		cr_assert(slice_eq(buf_slice(&trimmed), buf_slice(&e)));
	buf_fini(&e);
	buf_fini(&trimmed);
}

Test(event, trim_in_every_order_and_size)
{
	static const int orders[6][PARTS] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	static const size_t sizes[] = {0, 40, 41, 300, 20000};

	memset(content[0], 'q', sizeof(content[0]));
	memset(content[1], 'p', sizeof(content[1]));
	memset(content[2], 'w', sizeof(content[2]));
	for (int o = 0; o < 6; o++)
		for (int s = 0; s < 5 * 5 * 5; s++) {
			size_t size[PARTS] = {sizes[s % 5], sizes[s / 5 % 5],
					      sizes[s / 25]};

			trim_one(orders[o], size, 40, s % 2);
		}
}

Test(event, bodies_that_are_absent_nil_or_lazy)
{
	struct event_bodies bodies;
	struct buf e = {0}, trimmed = {0};

	pack_map(&e, 2);
	pack_cstr(&e, "req");
	pack_map(&e, 1);
	pack_cstr(&e, "body");
	pack_nil(&e);
	pack_cstr(&e, "resp");
	pack_map(&e, 1);
	pack_cstr(&e, "body");
	pack_lazy(&e, (uint64_t)5 << 40);
	cr_assert_eq(event_bodies(buf_slice(&e), &bodies), OK);
	for (int i = 0; i < BODY_COUNT; i++) {
		bool lazy = i == BODY_RESP;

		cr_assert_eq(bodies.body[i].lazy, lazy);
		cr_assert_eq(bodies.body[i].value.n, lazy ? 10 : 0);
		cr_assert_eq(bodies.body[i].lazy_len,
			     lazy ? (uint64_t)5 << 40 : 0);
		cr_assert_eq(bodies.body[i].inline_.n, 0);
	}
	event_trim(buf_slice(&e), &bodies, 0, &trimmed);
	cr_assert(slice_eq(buf_slice(&e), buf_slice(&trimmed)));
	buf_fini(&e);
	buf_fini(&trimmed);
}

Test(event, bodies_of_the_wrong_type)
{
	const struct slice bad[] = {
		S("\x81\xa3req\x81\xa4"
		  "body\x05"),
		S("\x81\xa3req\x81\xa4"
		  "body\x91\xa1x"),
		S("\x81\xa4resp\x81\xa4"
		  "body\xc3"),
		S("\x81\xa2ws\x81\xa4"
		  "data\xd6\x01\x00\x00\x00\x05"), /* four bytes of length */
		S("\x81\xa2ws\x81\xa4"
		  "data\xd7\x02\x00\x00\x00\x00\x00\x00\x00\x05"), /* type 2 */
	};
	struct event_bodies bodies;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cr_assert(scan_whole(bad[i], 100));
		cr_assert_eq(event_bodies(bad[i], &bodies), ERR_TYPE, "row %zu",
			     i);
	}
	cr_assert_eq(event_bodies(S("\x81\xa3req\x05"), &bodies), OK);
	cr_assert_eq(bodies.body[BODY_REQ].value.n, 0);
}
