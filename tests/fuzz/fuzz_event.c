/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any map as an event: its head is the same by marks and by walking, bodies
 * lie inside it, and the trimmed event differs from it in nothing but the
 * large bodies, which became lengths. The first byte is the limit.
 */
#include "proto/event.h"
#include "proto/pack.h"
#include "proto/proto.h"
#include "proto/rpc.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(struct slice event)
{
	struct event_head marked, walked;
	struct buf msg = {0};
	struct slice inner;
	struct scan scan;
	size_t len;
	int r;

	rpc_request(&msg, 1, "close", 1);
	pack_raw(&msg, event);
	scan_init(&scan, 1 << 20);
	/* Two levels deeper than by itself: it may be too deep now. */
	if (scan_next(&scan, buf_slice(&msg), &len) == 1) {
		inner = slice_of(msg.p + msg.n - event.n, event.n);
		r = event_head(inner, msg.p, &scan, &marked);
		must(r == event_head(inner, msg.p, NULL, &walked));
		if (r == OK) {
			must(slice_eq(marked.id, walked.id));
			must(slice_eq(marked.traceparent, walked.traceparent));
			must(marked.deadline_ms == walked.deadline_ms);
		} else {
			must(r == ERR_TYPE);
		}
	}
	buf_fini(&msg);
}

static void check_lazy(struct slice value, uint64_t want)
{
	struct cursor c = cursor_of(value);
	uint64_t len = 0;
	struct slice ext;
	int8_t type;

	ext = cursor_ext(&c, &type);
	must(type == PROTO_EXT_LAZY && ext.n == 8 && c.p == c.end);
	for (size_t i = 0; i < 8; i++)
		len = len << 8 | ext.p[i];
	must(len == want);
}

/*
 * Walk both at once: equal byte by byte, but where a large body begins in the
 * event the trimmed one has its length.
 */
static void compare(struct slice event, struct slice trimmed,
		    const struct event_bodies *b, size_t limit)
{
	size_t i = 0, k = 0;

	while (i < event.n) {
		size_t skip = 0;

		for (int part = 0; part < BODY_COUNT; part++) {
			struct slice value = b->body[part].value;

			if (value.p != event.p + i ||
			    b->body[part].inline_.n <= limit)
				continue;
			must(trimmed.n - k >= 10);
			check_lazy(slice_of(trimmed.p + k, 10),
				   b->body[part].inline_.n);
			skip = value.n;
		}
		if (skip) {
			i += skip;
			k += 10;
			continue;
		}
		must(k < trimmed.n && trimmed.p[k] == event.p[i]);
		i++;
		k++;
	}
	must(k == trimmed.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_bodies bodies, again;
	struct buf trimmed = {0};
	struct slice event;
	size_t limit;
	int r;

	if (size < 1)
		return 0;
	limit = data[0];
	event = slice_of(data + 1, size - 1);
	if (!scan_whole(event, 1 << 20))
		return 0;
	check_head(event);
	r = event_bodies(event, &bodies);
	must(r == OK || r == ERR_TYPE);
	if (r < 0)
		return 0;
	event_trim(event, &bodies, limit, &trimmed);
	must(buf_error(&trimmed) == OK);
	must(scan_whole(buf_slice(&trimmed), 2 << 20));
	compare(event, buf_slice(&trimmed), &bodies, limit);
	must(event_bodies(buf_slice(&trimmed), &again) == OK);
	for (int i = 0; i < BODY_COUNT; i++) {
		must(again.body[i].inline_.n <= limit);
		must((again.body[i].value.n > 0) ==
		     (bodies.body[i].value.n > 0));
	}
	buf_fini(&trimmed);
	return 0;
}
