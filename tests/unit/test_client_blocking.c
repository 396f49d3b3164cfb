/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking helper against a thread that plays the broker on the other end
 * of a socket pair.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clients/c/blocking.h"
#include "proto/pack.h"
#include "proto/rpc.h"
#include "proto/scan.h"

static const struct pf_args nothing;

/* The broker's end: whole messages in, bytes out. */
struct peer {
	int fd;
	struct buf in, out;
	size_t done; /* bytes of `in` that the last message had */
	pthread_t thread;
	void (*play)(struct peer *p);
};

static bool receive(struct peer *p, struct rpc *rpc)
{
	struct scan scan;
	size_t len;

	buf_consume(&p->in, p->done);
	p->done = 0;
	scan_init(&scan, PROTO_MAX_MESSAGE);
	for (;;) {
		uint8_t *room;
		ssize_t n;

		if (p->in.n && scan_next(&scan, buf_slice(&p->in), &len) == 1)
			break;
		if (buf_reserve(&p->in, 65536, &room) < 0)
			return false;
		n = read(p->fd, room, 65536);
		if (n <= 0)
			return false;
		buf_commit(&p->in, (size_t)n);
	}
	p->done = len;
	return rpc_decode(slice_of(p->in.p, len), rpc) == 0;
}

static void flush(struct peer *p)
{
	size_t at = 0;

	while (at < p->out.n) {
		ssize_t n =
			send(p->fd, p->out.p + at, p->out.n - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	buf_clear(&p->out);
}

static void *peer_thread(void *arg)
{
	struct peer *p = arg;

	p->play(p);
	close(p->fd);
	buf_fini(&p->in);
	buf_fini(&p->out);
	return NULL;
}

static struct pf_conn *start(struct peer *p, void (*play)(struct peer *p))
{
	struct pf_conn *conn;
	int fd[2];

	*p = (struct peer){.play = play};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	p->fd = fd[1];
	cr_assert_eq(pthread_create(&p->thread, NULL, peer_thread, p), 0);
	cr_assert_eq(pf_conn_take(fd[0], &conn), 0);
	return conn;
}

static void stop(struct peer *p, struct pf_conn *conn)
{
	pf_conn_close(conn);
	pthread_join(p->thread, NULL);
}

static void reply_int(struct peer *p, uint32_t id, int64_t v)
{
	rpc_result(&p->out, id);
	pack_int(&p->out, v);
}

static int64_t int_of(const struct pf_item *item)
{
	struct cursor c = cursor_of(item->result);
	int64_t v = cursor_int(&c);

	cr_assert_eq(item->kind, PF_RESULT);
	cr_assert_eq(c.error, 0);
	return v;
}

/* Answers every request with the number of requests so far. */
static void play_count(struct peer *p)
{
	struct rpc rpc;
	int64_t n = 0;

	while (receive(p, &rpc)) {
		n++;
		if (rpc.type == RPC_REQUEST)
			reply_int(p, rpc.id, n);
		flush(p);
	}
}

Test(client_blocking, calls_and_notifications)
{
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_count);

	cr_assert_eq(pf_conn_call(conn, "a", nothing, -1, &item), 0);
	cr_assert_eq(int_of(&item), 1);
	cr_assert_eq(pf_conn_notify(conn, "b", nothing, 5000), 0);
	cr_assert_eq(pf_conn_call(conn, "c", nothing, 5000, &item), 0);
	cr_assert_eq(int_of(&item), 3);
	stop(&p, conn);
	pf_conn_close(NULL);
}

/* Asks for the body in two ranges, then answers with its length. */
static void play_body(struct peer *p)
{
	struct rpc call, rpc;
	int64_t got = 0;
	uint32_t id;

	if (!receive(p, &call))
		return;
	id = call.id;
	for (uint32_t i = 0; i < 2; i++) {
		struct cursor v;

		rpc_request(&p->out, 100 + i, "body.get", 4);
		pack_uint(&p->out, id);
		pack_cstr(&p->out, "req.body");
		pack_uint(&p->out, i * 1000);
		pack_uint(&p->out, 1000);
		flush(p);
		if (!receive(p, &rpc) || rpc.type != RPC_RESPONSE ||
		    rpc.id != 100 + i)
			return;
		v = cursor_of(rpc.result);
		got += (int64_t)cursor_text(&v).n;
	}
	reply_int(p, id, got);
	flush(p);
	while (receive(p, &rpc))
		;
}

struct served {
	unsigned requests, notifications;
	uint64_t offset[2];
	char last[32];
};

static void on_request(void *arg, struct pf_client *c,
		       const struct pf_item *item)
{
	static const uint8_t body[1500];
	struct served *s = arg;
	struct pf_body_get get;
	size_t n;

	cr_assert_eq(pf_body_get_read(item, &get), 0);
	cr_assert_eq(get.body, BODY_REQ);
	s->offset[s->requests++ & 1] = get.offset;
	n = get.offset < 1500 ? 1500 - (size_t)get.offset : 0;
	if (n > get.length)
		n = (size_t)get.length;
	cr_assert_eq(
		pf_answer_bytes(c, item->id, slice_of(body + get.offset, n)),
		0);
}

static void on_notification(void *arg, const struct pf_item *item)
{
	struct served *s = arg;

	s->notifications++;
	snprintf(s->last, sizeof(s->last), "%.*s", (int)item->method.n,
		 (const char *)item->method.p);
}

Test(client_blocking, requests_are_served_while_it_waits)
{
	struct served s = {0};
	struct pf_handler h = {on_request, on_notification, &s};
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_body);

	pf_conn_handle(conn, &h);
	cr_assert_eq(pf_conn_call(conn, "before_request", nothing, 5000, &item),
		     0);
	cr_assert_eq(int_of(&item), 1500);
	cr_assert_eq(s.requests, 2);
	cr_assert_eq(s.offset[1], 1000);
	stop(&p, conn);
}

/* A request that nobody serves: its refusal is passed back as the result. */
static void play_refused(struct peer *p)
{
	struct rpc rpc;
	struct slice word;
	struct cursor v;
	uint32_t id;

	if (!receive(p, &rpc))
		return;
	id = rpc.id;
	rpc_request(&p->out, 9, "exotic", 0);
	flush(p);
	if (!receive(p, &rpc) || !rpc.failed ||
	    !map_find(rpc.error, "code", &word))
		return;
	v = cursor_of(word);
	reply_int(p, id, slice_is(cursor_text(&v), "unknown_method"));
	flush(p);
	while (receive(p, &rpc))
		;
}

Test(client_blocking, requests_that_nobody_serves_are_refused)
{
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_refused);

	cr_assert_eq(pf_conn_call(conn, "a", nothing, 5000, &item), 0);
	cr_assert_eq(int_of(&item), 1);
	stop(&p, conn);
}

/* Answers the first call only together with the second. */
static void play_late(struct peer *p)
{
	struct rpc rpc;
	uint32_t first;

	if (!receive(p, &rpc))
		return;
	first = rpc.id;
	if (!receive(p, &rpc))
		return;
	reply_int(p, first, 1);
	reply_int(p, rpc.id, 2);
	flush(p);
	while (receive(p, &rpc))
		;
}

Test(client_blocking, a_late_answer_is_dropped)
{
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_late);

	cr_assert_eq(pf_conn_call(conn, "a", nothing, 20, &item), ERR_TIMEOUT);
	cr_assert_eq(pf_unanswered(pf_conn_client(conn)), 0);
	cr_assert_eq(pf_conn_call(conn, "b", nothing, 5000, &item), 0);
	cr_assert_eq(int_of(&item), 2);
	stop(&p, conn);
}

static void play_silence(struct peer *p)
{
	struct rpc rpc;

	(void)receive(p, &rpc);
}

Test(client_blocking, the_broker_goes_away)
{
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_silence);

	cr_assert_eq(pf_conn_call(conn, "a", nothing, -1, &item), ERR_CLOSED);
	cr_assert_eq(pf_conn_call(conn, "a", nothing, -1, &item), ERR_CLOSED);
	cr_assert_eq(pf_conn_notify(conn, "a", nothing, -1), ERR_CLOSED);
	stop(&p, conn);
}

/* Answers and closes at once: the answer still counts. */
static void play_last_words(struct peer *p)
{
	struct rpc rpc;

	if (!receive(p, &rpc))
		return;
	reply_int(p, rpc.id, 7);
	flush(p);
}

Test(client_blocking, last_words_are_heard)
{
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_last_words);

	cr_assert_eq(pf_conn_call(conn, "a", nothing, -1, &item), 0);
	cr_assert_eq(int_of(&item), 7);
	cr_assert_eq(pf_conn_wait(conn, -1), ERR_CLOSED);
	stop(&p, conn);
}

static void play_garbage(struct peer *p)
{
	struct rpc rpc;

	if (!receive(p, &rpc))
		return;
	buf_add(&p->out, "HTTP/1.1 400 Bad Request\r\n", 26);
	flush(p);
	while (receive(p, &rpc))
		;
}

Test(client_blocking, something_else_listens)
{
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_garbage);

	cr_assert_eq(pf_conn_call(conn, "a", nothing, -1, &item), ERR_FORMAT);
	stop(&p, conn);
}

static void play_events(struct peer *p)
{
	struct rpc rpc;

	if (!receive(p, &rpc))
		return;
	reply_int(p, rpc.id, 0);
	flush(p);
	if (!receive(p, &rpc))
		return;
	rpc_notification(&p->out, "bus.event", 0);
	rpc_notification(&p->out, "goaway", 0);
	flush(p);
	while (receive(p, &rpc))
		;
}

Test(client_blocking, waiting_for_notifications)
{
	struct served s = {0};
	struct pf_handler h = {NULL, on_notification, &s};
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_events);

	pf_conn_handle(conn, &h);
	cr_assert_eq(pf_conn_call(conn, "a", nothing, -1, &item), 0);
	cr_assert_eq(pf_conn_wait(conn, 20), ERR_TIMEOUT);
	cr_assert_eq(s.notifications, 0);
	cr_assert_eq(pf_conn_notify(conn, "go", nothing, -1), 0);
	while (s.notifications < 2)
		cr_assert_eq(pf_conn_wait(conn, 5000), 0);
	cr_assert_str_eq(s.last, "goaway");
	stop(&p, conn);
}

static void play_hello(struct peer *p)
{
	struct rpc rpc;

	if (!receive(p, &rpc))
		return;
	rpc_result(&p->out, rpc.id);
	pack_map(&p->out, 1);
	pack_cstr(&p->out, "hooks");
	pack_map(&p->out, 0);
	flush(p);
	while (receive(p, &rpc))
		;
}

Test(client_blocking, hello)
{
	struct pf_hello hello = {
		.client = "test", .version = "1", .lazy = false};
	struct pf_item item;
	struct peer p;
	struct pf_conn *conn = start(&p, play_hello);

	cr_assert(pf_serves(pf_conn_client(conn), "connect"));
	cr_assert_eq(pf_conn_hello(conn, &hello, -1, &item), 0);
	cr_assert_not(pf_serves(pf_conn_client(conn), "connect"));
	stop(&p, conn);
}

/* Far more than a socket holds goes both ways. */
static void play_echo_size(struct peer *p)
{
	struct rpc rpc;

	while (receive(p, &rpc)) {
		rpc_result(&p->out, rpc.id);
		pack_bin(&p->out, rpc.params);
		flush(p);
	}
}

Test(client_blocking, large_messages)
{
	size_t n = 8 << 20;
	uint8_t *zeros = calloc(1, n);
	struct buf b = {0};
	struct pf_item item;
	struct cursor v;
	struct peer p;
	struct pf_conn *conn = start(&p, play_echo_size);

	cr_assert_not_null(zeros);
	pack_bin(&b, slice_of(zeros, n));
	cr_assert_eq(
		pf_conn_call(conn, "m", pf_args(1, buf_slice(&b)), -1, &item),
		0);
	v = cursor_of(item.result);
	cr_assert_eq(cursor_text(&v).n, n + 5 + 1);
	buf_clear(&b);
	zeros = realloc(zeros, 17 << 20);
	cr_assert_not_null(zeros);
	pack_bin(&b, slice_of(zeros, 17 << 20));
	cr_assert_eq(
		pf_conn_call(conn, "m", pf_args(1, buf_slice(&b)), -1, &item),
		ERR_RANGE);
	free(zeros);
	buf_fini(&b);
	stop(&p, conn);
}

/* The deadline holds for writing too. */
Test(client_blocking, a_peer_that_does_not_read)
{
	static uint8_t zeros[4 << 20];
	struct buf b = {0};
	struct pf_item item;
	struct pf_conn *conn;
	int fd[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	cr_assert_eq(pf_conn_take(fd[0], &conn), 0);
	pack_bin(&b, slice_of(zeros, sizeof(zeros)));
	cr_assert_eq(pf_conn_notify(conn, "m", pf_args(1, buf_slice(&b)), 20),
		     ERR_TIMEOUT);
	cr_assert_eq(pf_conn_call(conn, "m", nothing, 20, &item), ERR_TIMEOUT);
	pf_conn_close(conn);
	close(fd[1]);
	buf_fini(&b);
}

static int listening(const char *path, int backlog)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	if (backlog >= 0)
		cr_assert_eq(listen(fd, backlog), 0);
	return fd;
}

Test(client_blocking, connecting)
{
	char dir[] = "/tmp/pf-client-XXXXXX", path[64], way[200];
	struct pf_conn *conn, *more[4] = {0};
	int fd, rc = 0;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	cr_assert_eq(pf_conn_open(path, 100, &conn), ERR_ABSENT);
	cr_assert_null(conn);
	fd = listening(path, -1);
	cr_assert_eq(pf_conn_open(path, 100, &conn), ERR_CLOSED);
	cr_assert_eq(listen(fd, 0), 0);
	cr_assert_eq(pf_conn_open(path, 100, &conn), 0);
	for (int i = 0; i < 4 && rc == 0; i++)
		rc = pf_conn_open(path, 20, &more[i]); /* the queue fills up */
	cr_assert_eq(rc, ERR_TIMEOUT);
	cr_assert_eq(errno, ETIMEDOUT);
	for (int i = 0; i < 4; i++)
		pf_conn_close(more[i]);
	pf_conn_close(conn);
	close(fd);
	memset(way, 'x', sizeof(way) - 1);
	way[sizeof(way) - 1] = 0;
	cr_assert_eq(pf_conn_open(way, 100, &conn), ERR_RANGE);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(rmdir(dir), 0);
}
