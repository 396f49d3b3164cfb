/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocking: poll, read, write around a client.
 *
 * Start at wait_for(). The socket is never blocked on: a broker that does not
 * read while it asks for a body would otherwise hold us for ever.
 */
#include "clients/c/blocking.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

struct pf_conn {
	int fd;
	struct pf_client *client;
	struct pf_handler handler;
	uint8_t chunk[CHUNK];
};

/* What a wait is for. */
struct goal {
	int64_t deadline; /* ms, -1: never */
	bool answer;	  /* the answer to `id`, else ... */
	uint32_t id;
	bool flushed; /* ... an empty output, else anything handed over */
	struct pf_item *out;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

/* What is left, for poll(): -1 for ever, 0 when it is over. */
static int left_ms(int64_t deadline)
{
	int64_t left;

	if (deadline < 0)
		return -1;
	left = deadline - now_ms();
	return left > 0 ? (int)left : 0;
}

int pf_conn_take(int fd, struct pf_conn **out)
{
	struct pf_conn *conn = calloc(1, sizeof(*conn));

	*out = NULL;
	if (conn)
		conn->client = pf_new(NULL);
	if (!conn || !conn->client) {
		free(conn);
		close(fd);
		return ERR_NOMEM;
	}
	conn->fd = fd;
	*out = conn;
	return 0;
}

void pf_conn_close(struct pf_conn *conn)
{
	if (!conn)
		return;
	close(conn->fd);
	pf_free(conn->client);
	free(conn);
}

static int code_of(int error)
{
	switch (error) {
	case ENOENT:
		return ERR_ABSENT;
	case ECONNREFUSED:
		return ERR_CLOSED;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	default:
		return ERR_IO;
	}
}

/* A Unix socket whose queue is full says EAGAIN, and there is nothing to
 * poll for: try again a little later. */
static int connect_until(int fd, const struct sockaddr_un *to, int64_t deadline)
{
	for (;;) {
		int wait;

		if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return code_of(errno);
		wait = left_ms(deadline);
		if (wait == 0) {
			errno = ETIMEDOUT;
			return ERR_TIMEOUT;
		}
		poll(NULL, 0, wait < 0 || wait > 10 ? 10 : wait);
	}
}

int pf_conn_open(const char *path, int timeout_ms, struct pf_conn **out)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	int fd, rc;

	*out = NULL;
	if (n >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return ERR_RANGE;
	}
	memcpy(to.sun_path, path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return ERR_IO;
	rc = connect_until(fd, &to, deadline_of(timeout_ms));
	if (rc < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return rc;
	}
	return pf_conn_take(fd, out);
}

struct pf_client *pf_conn_client(struct pf_conn *conn)
{
	return conn->client;
}

void pf_conn_handle(struct pf_conn *conn, const struct pf_handler *handler)
{
	conn->handler = *handler;
}

static int write_some(struct pf_conn *conn)
{
	for (;;) {
		struct slice out = pf_output(conn->client);
		ssize_t n;

		if (out.n == 0)
			return 0;
		n = send(conn->fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			pf_sent(conn->client, (size_t)n);
		else if (errno == EAGAIN)
			return 0;
		else if (errno == EPIPE || errno == ECONNRESET)
			return ERR_CLOSED;
		else if (errno != EINTR)
			return ERR_IO;
	}
}

static int read_some(struct pf_conn *conn)
{
	ssize_t n = recv(conn->fd, conn->chunk, CHUNK, MSG_DONTWAIT);

	if (n > 0)
		return pf_feed(conn->client, conn->chunk, (size_t)n);
	if (n == 0)
		return ERR_CLOSED;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return errno == ECONNRESET ? ERR_CLOSED : ERR_IO;
}

static int hand_over(struct pf_conn *conn, const struct pf_item *item)
{
	const struct pf_handler *h = &conn->handler;

	if (item->kind == PF_REQUEST) {
		if (!h->request)
			return pf_refuse(conn->client, item->id,
					 CODE_UNKNOWN_METHOD,
					 "this client serves nothing");
		h->request(h->arg, conn->client, item);
	} else if (item->kind == PF_NOTIFICATION && h->notification) {
		h->notification(h->arg, item);
	}
	return 0;
}

/* 1: the goal is reached; 0: all that has arrived is dealt with. */
static int take_items(struct pf_conn *conn, const struct goal *goal)
{
	struct pf_item item;
	bool handed = false;
	int rc;

	while ((rc = pf_next(conn->client, &item)) == 1) {
		bool answer = item.kind == PF_RESULT || item.kind == PF_ERROR;

		if (goal->answer && answer && item.id == goal->id) {
			*goal->out = item;
			return 1;
		}
		rc = hand_over(conn, &item);
		if (rc < 0)
			return rc;
		handed = handed || !answer;
	}
	if (rc < 0)
		return rc;
	if (goal->flushed)
		return pf_output(conn->client).n == 0;
	return handed && !goal->answer;
}

static int wait_for(struct pf_conn *conn, const struct goal *goal)
{
	for (;;) {
		struct pollfd p = {.fd = conn->fd, .events = POLLIN};
		int rc = take_items(conn, goal), closed;

		if (rc < 0)
			return rc;
		closed = write_some(conn);
		if (rc == 1 && !(goal->flushed && pf_output(conn->client).n))
			return 0;
		/* what was sent to us before it closed is read first */
		if (closed < 0 && closed != ERR_CLOSED)
			return closed;
		if (closed == 0 && pf_output(conn->client).n)
			p.events |= POLLOUT;
		else if (goal->flushed)
			return closed;
		rc = poll(&p, 1, left_ms(goal->deadline));
		if (rc == 0)
			return ERR_TIMEOUT;
		if (rc < 0 && errno != EINTR)
			return ERR_IO;
		if (rc > 0 && p.revents & ~POLLOUT) {
			rc = read_some(conn);
			if (rc < 0)
				return rc;
		}
	}
}

static int wait_answer(struct pf_conn *conn, uint32_t id, int64_t deadline,
		       struct pf_item *out)
{
	struct goal goal = {
		.deadline = deadline,
		.answer = true,
		.id = id,
		.out = out,
	};
	int rc = wait_for(conn, &goal);

	if (rc < 0)
		pf_forget(conn->client, id);
	return rc;
}

int pf_conn_call(struct pf_conn *conn, const char *method, struct pf_args args,
		 int timeout_ms, struct pf_item *out)
{
	int64_t deadline = deadline_of(timeout_ms);
	uint32_t id;
	int rc = pf_call(conn->client, method, args, NULL, &id);

	return rc < 0 ? rc : wait_answer(conn, id, deadline, out);
}

int pf_conn_hello(struct pf_conn *conn, const struct pf_hello *hello,
		  int timeout_ms, struct pf_item *out)
{
	int64_t deadline = deadline_of(timeout_ms);
	uint32_t id;
	int rc = pf_hello(conn->client, hello, NULL, &id);

	return rc < 0 ? rc : wait_answer(conn, id, deadline, out);
}

int pf_conn_notify(struct pf_conn *conn, const char *method,
		   struct pf_args args, int timeout_ms)
{
	struct goal goal = {
		.deadline = deadline_of(timeout_ms),
		.flushed = true,
	};
	int rc = pf_notify(conn->client, method, args);

	return rc < 0 ? rc : wait_for(conn, &goal);
}

int pf_conn_wait(struct pf_conn *conn, int timeout_ms)
{
	struct goal goal = {.deadline = deadline_of(timeout_ms)};

	return wait_for(conn, &goal);
}
