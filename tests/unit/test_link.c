/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links over a socketpair on a loop of their own: the other end is a plain
 * file descriptor, so that a test decides about every byte.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/link.h"
#include "proto/pack.h"
#include "proto/unpack.h"

enum { MAX_MESSAGE = 6 << 20, MAX_BACKLOG = 1 << 20 };

static uv_loop_t loop;
static uv_async_t keep; /* as a listening socket keeps the broker's loop */
static struct turn turn;
static struct wheel wheel;
static struct link_limits limits;
static struct link one;
static struct buf got; /* all messages, one behind the other */
static unsigned messages, ends, closed;
static enum link_end last;
static unsigned close_at; /* close inside this message; 0: never */
static bool echo, marks_seen;
static bool leaving; /* the peer speaks once more inside a message, and goes */
static int peer;

static void on_message(void *arg, struct slice msg, const struct scan *marks)
{
	cr_assert_eq(arg, &one);
	cr_assert_eq(closed, 0);
	cr_assert(scan_whole(msg, MAX_MESSAGE), "whole messages only");
	marks_seen = marks_seen || marks->nmarks > 0;
	buf_add_slice(&got, msg);
	if (echo)
		buf_add_slice(link_out(&one), msg);
	if (leaving) {
		leaving = false;
		cr_assert_eq(write(peer, "\x02\x03", 2), 2);
		close(peer);
		peer = -1;
		buf_add(link_out(&one), "\xc0", 1);
	}
	if (++messages == close_at)
		link_close(&one);
}

static void on_end(void *arg, enum link_end why)
{
	cr_assert_eq(arg, &one);
	cr_assert_eq(closed, 0);
	last = why;
	ends++;
	if (why != LINK_HALF)
		link_close(&one);
}

static void on_closed(void *arg)
{
	cr_assert_eq(arg, &one);
	closed++;
}

static const struct link_ops ops = {on_message, on_end, on_closed};

static void open_link(void)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	peer = fds[1];
	fcntl(peer, F_SETFL, O_NONBLOCK);
	link_init(&one, &turn, &wheel, &limits);
	cr_assert_eq(link_open_fd(&one, fds[0]), OK);
	cr_assert_eq(link_start(&one, &ops, &one), OK);
	messages = ends = closed = 0;
	buf_clear(&got);
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN); /* as the broker does */
	limits = (struct link_limits){.max_message = MAX_MESSAGE,
				      .max_backlog = MAX_BACKLOG};
	cr_assert_eq(uv_loop_init(&loop), 0);
	cr_assert_eq(uv_async_init(&loop, &keep, NULL), 0);
	cr_assert_eq(turn_init(&turn, &loop), OK);
	wheel_init(&wheel, &loop);
	open_link();
}

static void spin(void)
{
	for (int i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

static void close_link(void)
{
	unsigned before = ends;

	link_close(&one);
	link_close(&one);
	while (!closed)
		uv_run(&loop, UV_RUN_NOWAIT);
	spin();
	cr_assert_eq(closed, 1);
	cr_assert_eq(ends, before, "on_end after link_close");
	if (peer >= 0)
		close(peer);
	peer = -1;
}

static void teardown(void)
{
	close_link();
	buf_fini(&got);
	wheel_close(&wheel);
	turn_close(&turn);
	uv_close((uv_handle_t *)&keep, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	turn_fini(&turn);
	cr_assert_eq(uv_loop_close(&loop), 0);
}

TestSuite(link, .init = setup, .fini = teardown, .timeout = 60);

static void send_all(const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(peer, p, n);

		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
		uv_run(&loop, UV_RUN_NOWAIT);
	}
}

static void send_str(const char *bytes)
{
	send_all((const uint8_t *)bytes, strlen(bytes));
}

static void wait_end(void)
{
	uv_ref((uv_handle_t *)&wheel.timer);
	while (!ends)
		uv_run(&loop, UV_RUN_ONCE);
	uv_unref((uv_handle_t *)&wheel.timer);
}

/* Read what the link sent into `b` until it has n bytes or nothing comes. */
static void receive(struct buf *b, size_t n)
{
	for (int idle = 0; b->n < n && idle < 100; idle++) {
		uint8_t *room;
		ssize_t r;

		uv_run(&loop, UV_RUN_NOWAIT);
		cr_assert_eq(buf_reserve(b, 1 << 16, &room), OK);
		r = read(peer, room, 1 << 16);
		if (r > 0) {
			buf_commit(b, (size_t)r);
			idle = 0;
		}
	}
}

static void sample(struct buf *b)
{
	static uint8_t big[300];

	pack_array(b, 3);
	pack_uint(b, 2);
	pack_cstr(b, "method");
	pack_array(b, 1);
	pack_map(b, 2);
	pack_cstr(b, "id");
	pack_cstr(b, "an id that is longer than thirty-one bytes");
	pack_cstr(b, "body");
	pack_bin(b, slice_of(big, sizeof(big)));
	pack_nil(b);
	pack_array(b, 0);
	pack_int(b, -70000);
}

Test(link, cut_at_every_byte)
{
	struct buf b = {0};

	sample(&b);
	for (size_t cut = 0; cut <= b.n; cut++) {
		messages = 0;
		buf_clear(&got);
		send_all(b.p, cut);
		spin();
		cr_assert(got.n <= cut && messages < 4 + (cut == b.n));
		send_all(b.p + cut, b.n - cut);
		spin();
		cr_assert_eq(messages, 4, "cut at %zu", cut);
		cr_assert(slice_eq(buf_slice(&got), buf_slice(&b)));
		cr_assert_eq(one.in.n, 0);
		cr_assert_null(one.in.p, "an idle link owns no input memory");
	}
	cr_assert(marks_seen);
	cr_assert_eq(ends, 0);
	buf_fini(&b);
}

Test(link, byte_by_byte)
{
	struct buf b = {0};

	sample(&b);
	sample(&b);
	for (size_t i = 0; i < b.n; i++)
		send_all(b.p + i, 1);
	spin();
	cr_assert_eq(messages, 8);
	cr_assert(slice_eq(buf_slice(&got), buf_slice(&b)));
	buf_fini(&b);
}

static void pack_big(struct buf *b, size_t n, uint8_t fill)
{
	uint8_t *room;

	pack_array(b, 1);
	buf_add_byte(b, 0xc6);
	for (int i = 3; i >= 0; i--)
		buf_add_byte(b, (uint8_t)(n >> (8 * i)));
	cr_assert_eq(buf_reserve(b, n, &room), OK);
	memset(room, fill, n);
	buf_commit(b, n);
}

Test(link, big_messages_with_small_ones_between)
{
	struct buf b = {0};

	for (uint8_t i = 0; i < 3; i++) {
		pack_nil(&b);
		pack_big(&b, (3u << 20) + i, i);
		sample(&b);
	}
	send_all(b.p, b.n);
	spin();
	cr_assert_eq(messages, 3 * 6);
	cr_assert(slice_eq(buf_slice(&got), buf_slice(&b)));
	cr_assert_null(one.in.p);
	buf_fini(&b);
}

Test(link, what_is_appended_arrives_in_order)
{
	struct buf b = {0}, back = {0};

	limits.max_backlog = 64 << 20;
	close_link();
	open_link();
	echo = true;
	for (int i = 0; i < 200; i++)
		sample(&b);
	pack_big(&b, 5 << 20, 7);
	sample(&b);
	/* The peer reads nothing until all of it was sent. */
	send_all(b.p, b.n);
	receive(&back, b.n);
	cr_assert(slice_eq(buf_slice(&back), buf_slice(&b)));
	cr_assert_eq(ends, 0);
	cr_assert_eq(link_backlog(&one), 0);
	echo = false;
	buf_fini(&b);
	buf_fini(&back);
}

/* One write for all that is appended in a turn, and not before its end. */
Test(link, nothing_leaves_before_the_turn_ends)
{
	uint8_t room[64];

	for (int i = 0; i < 10; i++)
		pack_uint(link_out(&one), (unsigned)i);
	cr_assert_lt(read(peer, room, sizeof(room)), 0);
	uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert_eq(read(peer, room, sizeof(room)), 10);
}

static void expect_refused(const void *bytes, size_t n, enum link_end why)
{
	close_link();
	open_link();
	send_str("\x01\x02");
	send_all(bytes, n);
	spin();
	cr_assert_eq(ends, 1);
	cr_assert_eq(last, why);
	cr_assert_eq(messages, 2, "what came before counts");
	cr_assert_eq(closed, 1);
}

Test(link, bytes_that_break_the_rules)
{
	uint8_t deep[40];

	memset(deep, 0x91, sizeof(deep));
	expect_refused("\xc1", 1, LINK_PROTOCOL);
	expect_refused("\x92\xc1", 2, LINK_PROTOCOL);
	expect_refused("\xdd\xff\xff\xff\xff", 5, LINK_PROTOCOL);
	expect_refused("\xc6\xff\xff\xff\xff", 5, LINK_RANGE);
	expect_refused("\xc6\x00\x60\x00\x00", 5, LINK_RANGE); /* + 5 bytes */
	expect_refused(deep, sizeof(deep), LINK_RANGE);
}

Test(link, a_declared_length_allocates_nothing)
{
	send_str("\xc6\x7f");
	spin();
	cr_assert_leq(one.in.cap, 1 << 17);
	send_all((const uint8_t *)"\xff\xff\xff", 3);
	spin();
	cr_assert_eq(ends, 1);
	close_link();
	open_link();
	send_all((const uint8_t *)"\xc6\x00\x5f\xff\x00", 5);
	spin();
	cr_assert_eq(ends, 0, "it might still come");
	cr_assert_leq(one.in.cap, 1 << 17);
}

Test(link, the_peer_closes)
{
	send_str("\x01");
	close(peer);
	peer = -1;
	spin();
	cr_assert_eq(messages, 1);
	cr_assert_eq(ends, 1);
	cr_assert_eq(last, LINK_EOF);
}

Test(link, the_peer_closes_inside_a_message)
{
	send_str("\x92\x01");
	close(peer);
	peer = -1;
	spin();
	cr_assert_eq(messages, 0);
	cr_assert_eq(ends, 1);
	cr_assert_eq(last, LINK_EOF);
}

Test(link, half_close_then_answers_then_the_end)
{
	static const uint8_t none[1];
	struct buf back = {0};
	uint8_t byte;

	send_str("\x01\x92");
	shutdown(peer, SHUT_WR);
	spin();
	cr_assert_eq(messages, 1);
	cr_assert_eq(ends, 1);
	cr_assert_eq(last, LINK_HALF);
	pack_cstr(link_out(&one), "an answer");
	spin();
	pack_big(link_out(&one), 900 << 10, 1);
	link_finish(&one);
	spin();
	cr_assert_eq(ends, 1, "not all of it is written");
	receive(&back, (900 << 10) + 16);
	cr_assert_eq(back.n, 10 + 6 + (900 << 10));
	spin();
	cr_assert_eq(ends, 2);
	cr_assert_eq(last, LINK_EOF);
	cr_assert_eq(closed, 1);
	cr_assert_eq(read(peer, &byte, sizeof(none)), 0);
	buf_fini(&back);
}

Test(link, finish_with_nothing_to_write)
{
	shutdown(peer, SHUT_WR);
	spin();
	link_finish(&one);
	spin();
	cr_assert_eq(ends, 2);
	cr_assert_eq(last, LINK_EOF);
}

Test(link, half_close_and_a_peer_that_goes_after_all)
{
	shutdown(peer, SHUT_WR);
	spin();
	cr_assert_eq(last, LINK_HALF);
	close(peer);
	peer = -1;
	pack_nil(link_out(&one));
	spin();
	cr_assert_eq(ends, 2);
	cr_assert_eq(last, LINK_EOF);
}

Test(link, a_backlog_over_the_limit_ends_it)
{
	unsigned n = 0;

	for (; !ends && n < 1000; n++) {
		pack_big(link_out(&one), 64 << 10, 1);
		spin();
	}
	cr_assert_eq(ends, 1);
	cr_assert_eq(last, LINK_STUCK);
	/* The limit, what the kernel holds, and one message. */
	cr_assert(n >= 16 && n < 32, "%u messages", n);
}

Test(link, the_limit_counts_what_waits_not_what_was_sent)
{
	struct buf back = {0};

	for (size_t i = 1; i <= 100; i++) {
		pack_big(link_out(&one), 512 << 10, 1);
		receive(&back, (512 << 10) + 6);
		cr_assert_eq(back.n, (512 << 10) + 6);
		buf_clear(&back);
	}
	cr_assert_eq(ends, 0);
	buf_fini(&back);
}

Test(link, a_write_that_waits_too_long_ends_it)
{
	limits.stuck_ms = 30;
	close_link();
	open_link();
	pack_big(link_out(&one), 900 << 10, 1);
	wait_end();
	cr_assert_eq(last, LINK_STUCK);
}

Test(link, a_reader_is_not_stuck)
{
	struct buf back = {0};

	limits.stuck_ms = 10000;
	close_link();
	open_link();
	pack_big(link_out(&one), 900 << 10, 1);
	spin();
	cr_assert(wheel_started(&one.stuck));
	receive(&back, (900 << 10) + 6);
	spin();
	cr_assert(!wheel_started(&one.stuck));
	cr_assert_eq(ends, 0);
	buf_fini(&back);
}

Test(link, a_message_that_never_ends)
{
	limits.partial_ms = 30;
	close_link();
	open_link();
	send_str("\x01\x92\x01");
	spin();
	cr_assert(wheel_started(&one.partial));
	wait_end();
	cr_assert_eq(last, LINK_STALLED);
	cr_assert_eq(messages, 1);
}

static void on_full(void *arg)
{
	link_close(arg);
}

Test(link, what_begun_messages_hold_is_counted)
{
	static const uint8_t bytes[1027] = {0xc5, 4, 0}; /* a bin */
	static struct link_pool pool = {1, 1000, on_full, &one};

	limits.pool = &pool;
	close_link();
	open_link();
	send_all(bytes, 999);
	cr_assert(pool.held == 1000 && !one.closing);
	send_all(bytes + 999, 28);
	cr_assert(pool.held == 1 && messages == 1);
	send_all(bytes, 1000);
	cr_assert(pool.held == 1 && one.closing);
}

Test(link, the_clock_of_a_begun_message)
{
	uint64_t before;

	limits.partial_ms = 100000;
	close_link();
	open_link();
	send_str("\x01");
	spin();
	cr_assert(!wheel_started(&one.partial));
	send_str("\x92");
	spin();
	cr_assert(wheel_started(&one.partial));
	send_str("\x01\x01");
	spin();
	cr_assert(!wheel_started(&one.partial));
	cr_assert_eq(messages, 2);
	/* The next one begins in the same bytes: its own clock. */
	send_str("\x92\x01");
	spin();
	before = one.partial.due_ms;
	uv_sleep(5);
	send_str("\x01\x92");
	spin();
	cr_assert_eq(messages, 3);
	cr_assert_gt(one.partial.due_ms, before);
}

Test(link, close_inside_on_message)
{
	close_at = 2;
	pack_cstr(link_out(&one), "bye");
	send_str("\x01\x02\x03\x04");
	spin();
	cr_assert_eq(messages, 2, "nothing after the close");
	cr_assert_eq(closed, 1);
	cr_assert_eq(ends, 0);
}

/* The same when the messages come out of the link's own buffer. */
Test(link, close_inside_on_message_after_a_cut)
{
	close_at = 2;
	send_str("\x92\x01");
	spin();
	send_str("\x02\x03\x04\x05\x92");
	spin();
	cr_assert_eq(messages, 2);
	cr_assert_eq(closed, 1);
	cr_assert_eq(ends, 0);
}

Test(link, closing_sends_what_was_appended)
{
	char back[16] = {0};

	pack_cstr(link_out(&one), "last words");
	link_close(&one);
	cr_assert_eq(read(peer, back, sizeof(back)), 11);
	cr_assert_str_eq(back + 1, "last words");
	pack_cstr(link_out(&one), "too late");
	spin();
	cr_assert_eq(read(peer, back, sizeof(back)), 0);
	cr_assert_eq(closed, 1);
}

Test(link, a_peer_that_is_gone_is_told_once)
{
	close(peer);
	peer = -1;
	for (int i = 0; i < 5; i++) {
		pack_nil(link_out(&one));
		spin();
	}
	cr_assert_eq(ends, 1);
	cr_assert_eq(last, LINK_EOF);
	cr_assert_eq(closed, 1);
}

/* What the peer said before it went is read, though a write has failed: here
 * it speaks and goes between our reading and our writing. */
Test(link, a_failed_write_loses_nothing_that_was_said)
{
	leaving = true;
	send_str("\x01");
	for (int i = 0; i < 100 && !ends; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert_eq(messages, 3);
	cr_assert_eq(ends, 1);
	cr_assert_eq(last, LINK_EOF);
}

/* And when nothing comes behind it, the end comes all the same. */
Test(link, a_peer_that_cannot_read_is_not_kept)
{
	cr_assert_eq(shutdown(peer, SHUT_RD), 0);
	buf_add(link_out(&one), "\xc0", 1);
	while (!ends)
		uv_run(&loop, UV_RUN_ONCE);
	cr_assert_eq(ends, 1);
}
