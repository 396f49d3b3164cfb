/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <sys/socket.h>
#include <unistd.h>

#include "proto/pack.h"
#include "proto/proto.h"
#include "worker/wire.h"

static int peer;

static struct wire open_wire(void)
{
	struct wire w;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	peer = fds[0];
	cr_assert_eq(wire_init(&w, fds[1]), OK);
	return w;
}

static void say(const struct buf *b, size_t from, size_t to)
{
	cr_assert_eq(write(peer, b->p + from, to - from), (ssize_t)(to - from));
}

static struct buf runs(uint32_t n, size_t each)
{
	struct buf b = {0};
	uint8_t *fill = calloc(1, each);

	for (uint32_t i = 0; i < n; i++) {
		rpc_request(&b, i, "run", 1);
		pack_bin(&b, slice_of(fill, each));
	}
	free(fill);
	return b;
}

Test(wire, whole_messages_in_one_read)
{
	struct wire w = open_wire();
	struct buf b = runs(50, 100);
	struct rpc msg;

	say(&b, 0, b.n);
	cr_assert_eq(wire_next(&w, &msg), 0);
	cr_assert_eq(wire_read(&w), OK);
	for (uint32_t i = 0; i < 50; i++) {
		cr_assert_eq(wire_next(&w, &msg), 1);
		cr_assert_eq(msg.id, i);
	}
	cr_assert_eq(wire_next(&w, &msg), 0);
	buf_fini(&b);
	wire_fini(&w);
	close(peer);
}

Test(wire, a_message_in_pieces)
{
	struct wire w = open_wire();
	struct buf b = runs(2, 40);
	struct rpc msg;
	uint32_t seen = 0;

	for (size_t i = 0; i < b.n; i++) {
		say(&b, i, i + 1);
		cr_assert_eq(wire_read(&w), OK);
		if (wire_next(&w, &msg) == 1)
			cr_assert_eq(msg.id, seen++);
	}
	cr_assert_eq(seen, 2);
	buf_fini(&b);
	wire_fini(&w);
	close(peer);
}

Test(wire, a_message_larger_than_the_buffer_and_one_behind_it)
{
	struct wire w = open_wire();
	struct buf b = runs(2, 300000);
	size_t at = 0;
	struct rpc msg;
	uint32_t seen = 0;

	while (seen < 2) {
		size_t n = b.n - at < 50000 ? b.n - at : 50000;

		say(&b, at, at + n);
		at += n;
		cr_assert_eq(wire_read(&w), OK);
		while (wire_next(&w, &msg) == 1)
			cr_assert_eq(msg.id, seen++);
	}
	cr_assert_leq(w.cap, (size_t)(1 << 20));
	buf_fini(&b);
	wire_fini(&w);
	close(peer);
}

Test(wire, bytes_without_sense)
{
	struct wire w = open_wire();
	struct rpc msg;

	cr_assert_eq(write(peer, "\xc1", 1), 1);
	cr_assert_eq(wire_read(&w), OK);
	cr_assert_eq(wire_next(&w, &msg), ERR_FORMAT);
	wire_fini(&w);
	close(peer);
}

Test(wire, answers_are_gathered)
{
	struct wire w = open_wire();
	uint8_t got[4096];

	for (int i = 1; i < WIRE_BATCH; i++) {
		pack_nil(&w.out);
		cr_assert_eq(wire_answered(&w), 0);
	}
	cr_assert_eq(recv(peer, got, sizeof(got), MSG_DONTWAIT), -1);
	pack_nil(&w.out);
	cr_assert_eq(wire_answered(&w), 1);
	cr_assert_eq(recv(peer, got, sizeof(got), MSG_DONTWAIT), WIRE_BATCH);
	cr_assert_eq(w.out.n, 0);
	pack_nil(&w.out);
	cr_assert_eq(wire_flush(&w), OK);
	cr_assert_eq(recv(peer, got, sizeof(got), MSG_DONTWAIT), 1);
	wire_fini(&w);
	close(peer);
}

/* What is whole, and then who it was; not the half of a message between. */
Test(wire, last_words)
{
	static const uint8_t want[] =
		"\xc0\x93\x02\xa7running\x91\xce\0\x12\xd6\x87";
	struct wire w = open_wire();
	uint8_t got[64];
	struct rpc msg;

	pack_nil(&w.out);
	wire_mark(&w);
	pack_array(&w.out, 4);
	wire_last_words(&w, 1234567);
	wire_running(&w, 1); /* too late */
	cr_assert_eq(recv(peer, got, sizeof(got), MSG_DONTWAIT),
		     sizeof(want) - 1);
	cr_assert_arr_eq(got, want, sizeof(want) - 1);
	cr_assert_eq(rpc_decode(slice_of(got + 1, sizeof(want) - 2), &msg), OK);
	cr_assert(slice_is(msg.method, "running") && msg.nparams == 1);
	wire_fini(&w);
	close(peer);
}

Test(wire, the_end)
{
	struct wire w = open_wire();

	close(peer);
	cr_assert_eq(wire_read(&w), ERR_CLOSED);
	wire_fini(&w);
}
