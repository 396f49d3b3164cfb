/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb_stream: the sockets that libmongoc uses, so that nothing it does
 * outlasts the deadline of the job, and a server that sends without end is
 * cut off. TLS is libmongoc's, on top of them.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/meter.h"
#include "gateway/net.h"
#include "gateway/provider/mongodb.h"

/* A number of ours; libmongoc has small ones. */
enum { STREAM_TYPE = 1000, STREAM_POLL = 64 };

struct stream {
	mongoc_stream_t vtable; /* first: libmongoc knows this part */
	struct mongo *owner;
	int fd;
	bool timed_out, again; /* why the last read or write failed */
};

static struct stream *of(mongoc_stream_t *s)
{
	return (struct stream *)(void *)s;
}

static int on_close(mongoc_stream_t *stream)
{
	struct stream *s = of(stream);

	if (s->fd < 0)
		return 0;
	if (s->owner->fd == s->fd)
		s->owner->fd = -1;
	close(s->fd);
	s->fd = -1;
	return 0;
}

static void on_destroy(mongoc_stream_t *stream)
{
	on_close(stream);
	free(stream);
}

static int on_flush(mongoc_stream_t *stream)
{
	(void)stream;
	return 0;
}

/* The job's deadline, or the library's own when that is sooner. */
static uint64_t until(const struct stream *s, int32_t timeout_ms)
{
	uint64_t due = s->owner->deadline_ms;

	if (timeout_ms >= 0 && net_now_ms() + (uint32_t)timeout_ms < due)
		due = net_now_ms() + (uint32_t)timeout_ms;
	return due;
}

/* -1 and errno when the time is over. Without any time the caller only wanted
 * to look, and comes again. */
static int wait_for(struct stream *s, short events, int32_t timeout_ms)
{
	int r;

	s->again = timeout_ms == 0;
	s->timed_out = false;
	if (s->again) {
		errno = EAGAIN;
		return -1;
	}
	r = net_wait(s->fd, events, until(s, timeout_ms));
	if (r == OK)
		return 0;
	s->timed_out = r == ERR_TIMEOUT;
	if (net_now_ms() >= s->owner->deadline_ms)
		s->owner->late = true;
	errno = s->timed_out ? ETIMEDOUT : EIO;
	return -1;
}

/* Skip n bytes of the vector. */
static void advance(struct msghdr *m, size_t n)
{
	while (m->msg_iovlen > 0 && n >= m->msg_iov->iov_len) {
		n -= m->msg_iov->iov_len;
		m->msg_iov++;
		m->msg_iovlen--;
	}
	if (m->msg_iovlen > 0) {
		m->msg_iov->iov_base = (char *)m->msg_iov->iov_base + n;
		m->msg_iov->iov_len -= n;
	}
}

static ssize_t on_write(mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t n,
			int32_t timeout_ms)
{
	struct stream *s = of(stream);
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent, all = 0;

	s->again = s->timed_out = false;
	advance(&m, 0);
	while (m.msg_iovlen > 0) {
		sent = sendmsg(s->fd, &m, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			sent = wait_for(s, POLLOUT, timeout_ms);
		if (sent < 0 && errno != EINTR)
			return -1;
		if (sent > 0) {
			advance(&m, (size_t)sent);
			all += sent;
		}
	}
	return all;
}

static bool too_much(struct stream *s, ssize_t got)
{
	s->owner->received += (uint64_t)got;
	if (s->owner->received <= METER_MAX)
		return false;
	s->owner->endless = true;
	errno = EMSGSIZE;
	return true;
}

static ssize_t on_read(mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t n,
		       size_t least, int32_t timeout_ms)
{
	struct stream *s = of(stream);
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t got, all = 0;

	s->again = s->timed_out = false;
	advance(&m, 0);
	while (m.msg_iovlen > 0) {
		got = recvmsg(s->fd, &m, 0);
		if (got == 0)
			return all;
		if (got < 0 && errno == EAGAIN) {
			if (all > 0 && (size_t)all >= least)
				return all;
			got = wait_for(s, POLLIN, timeout_ms);
		}
		if (got < 0 && errno != EINTR)
			return -1;
		if (got > 0) {
			if (too_much(s, got))
				return -1;
			advance(&m, (size_t)got);
			all += got;
		}
		if (all > 0 && (size_t)all >= least)
			return all;
	}
	return all;
}

static int on_setsockopt(mongoc_stream_t *stream, int level, int name,
			 void *value, mongoc_socklen_t n)
{
	return setsockopt(of(stream)->fd, level, name, value, n);
}

static bool is_closed(mongoc_stream_t *stream)
{
	struct stream *s = of(stream);
	ssize_t n;
	char c;

	if (s->fd < 0)
		return true;
	n = recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* The library waits for answers of servers that it looks for. When the job's
 * time is over all of them have failed. */
static ssize_t on_poll(mongoc_stream_poll_t *streams, size_t n, int32_t timeout)
{
	struct pollfd p[STREAM_POLL];
	struct mongo *owner = of(streams[0].stream)->owner;
	int left = net_left_ms(owner->deadline_ms), got;

	if (n > STREAM_POLL)
		n = STREAM_POLL;
	for (size_t i = 0; i < n; i++)
		p[i] = (struct pollfd){.fd = of(streams[i].stream)->fd,
				       .events = (short)streams[i].events};
	if (timeout < 0 || timeout > left)
		timeout = left;
	got = poll(p, n, timeout);
	owner->late = owner->late || net_left_ms(owner->deadline_ms) == 0;
	for (size_t i = 0; i < n; i++)
		streams[i].revents =
			owner->late && got == 0 ? POLLERR : p[i].revents;
	return owner->late && got == 0 ? (ssize_t)n : got;
}

static bool on_timed_out(mongoc_stream_t *stream)
{
	return of(stream)->timed_out;
}

static bool should_retry(mongoc_stream_t *stream)
{
	return of(stream)->again;
}

static mongoc_stream_t *wrap(struct mongo *owner, int fd)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct stream){
		.vtable = {.type = STREAM_TYPE,
			   .destroy = on_destroy,
			   .close = on_close,
			   .flush = on_flush,
			   .writev = on_write,
			   .readv = on_read,
			   .setsockopt = on_setsockopt,
			   .check_closed = is_closed,
			   .poll = on_poll,
			   .failed = on_destroy,
			   .timed_out = on_timed_out,
			   .should_retry = should_retry},
		.owner = owner,
		.fd = fd,
	};
	owner->fd = fd;
	return &s->vtable;
}

/* Takes the stream. */
static mongoc_stream_t *add_tls(struct mongo *owner, mongoc_stream_t *plain,
				const char *host, bson_error_t *error)
{
	const struct mongo_settings *set = owner->settings;
	mongoc_ssl_opt_t opt = {
		.pem_file = set->server.certfile,
		.ca_file = set->server.cafile,
		.weak_cert_validation = !set->server.verify,
		.allow_invalid_hostname = !set->server.verify,
	};
	const char *name = set->sni ? set->sni : host;
	mongoc_stream_t *tls =
		mongoc_stream_tls_new_with_hostname(plain, name, &opt, 1);

	if (!tls) {
		bson_set_error(error, MONGOC_ERROR_STREAM,
			       MONGOC_ERROR_STREAM_SOCKET,
			       "TLS cannot be set up: look at the files of the "
			       "certificates");
		mongoc_stream_destroy(plain);
		return NULL;
	}
	if (!mongoc_stream_tls_handshake_block(
		    tls, name, net_left_ms(owner->deadline_ms), error)) {
		mongoc_stream_destroy(tls);
		return NULL;
	}
	return tls;
}

mongoc_stream_t *mongo_stream_open(const mongoc_uri_t *uri,
				   const mongoc_host_list_t *host,
				   void *user_data, bson_error_t *error)
{
	struct mongo *owner = user_data;
	struct buf why = {0};
	mongoc_stream_t *s = NULL;
	int fd, r;

	(void)uri;
	r = net_connect(host->host, host->port, owner->deadline_ms, &fd, &why);
	if (r == OK) {
		s = wrap(owner, fd);
		if (!s)
			close(fd);
	} else {
		owner->late = owner->late || r == ERR_TIMEOUT;
		bson_set_error(error, MONGOC_ERROR_STREAM,
			       MONGOC_ERROR_STREAM_CONNECT, "%s: %.*s",
			       host->host_and_port, (int)why.n,
			       (const char *)why.p);
	}
	buf_fini(&why);
	if (s && owner->settings->server.ssl)
		s = add_tls(owner, s, host->host, error);
	return s ? mongo_checked(s) : NULL;
}
