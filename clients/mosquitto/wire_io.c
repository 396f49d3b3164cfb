/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_io: connect, send, poll and receive, none of which blocks.
 */
#include "clients/mosquitto/wire_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { SLACK = 2 }; /* ms that a deadline may be passed by */

/* Reads that wait do so for at most `timeout_ms`; all others say
 * MSG_DONTWAIT. */
static int prepare(int fd, int timeout_ms)
{
	struct timeval most = {
		.tv_sec = timeout_ms / 1000,
		.tv_usec = timeout_ms % 1000 * 1000,
	};
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
}

int wire_connect(const char *path, int timeout_ms)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	int fd, saved;

	if (n >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to.sun_path, path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	/* a Unix socket connects at once, or says EAGAIN: its queue is full */
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
	    prepare(fd, timeout_ms) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

void wire_flush(struct wire *w)
{
	for (;;) {
		struct slice out = pf_output(w->client);
		ssize_t n;

		if (out.n == 0)
			return;
		n = send(w->fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			pf_sent(w->client, (size_t)n);
		else if (n < 0 && errno != EINTR)
			return;
	}
}

static int read_once(struct wire *w, int flags)
{
	ssize_t n = recv(w->fd, w->chunk, WIRE_CHUNK, flags);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0 && pf_feed(w->client, w->chunk, (size_t)n) == 0) {
		w->silent = 0;
		return 1;
	}
	wire_down(w, "the connection to pinfoldd is lost",
		  n < 0 ? errno : ECONNRESET);
	return ERR_CLOSED;
}

int wire_wait(struct wire *w, int ms)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	int rc;

	if (ms == 0)
		return read_once(w, MSG_DONTWAIT);
	if (pf_output(w->client).n)
		p.events |= POLLOUT;
	else if (ms >= w->options->timeout_ms - SLACK)
		return read_once(w, 0); /* one system call less */
	rc = poll(&p, 1, ms);
	if (rc <= 0)
		return 0;
	if (p.revents & ~POLLOUT)
		return read_once(w, MSG_DONTWAIT);
	return 0;
}
