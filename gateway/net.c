/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: see net.h. The rule is net_allowed(); connect.c asks it for every
 * socket.
 */
#include "gateway/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "gateway/settings.h"
#include "proto/unpack.h"

static _Thread_local const struct net_policy *policy;
static _Thread_local int last_fd = -1;

void net_policy_set(const struct net_policy *p)
{
	policy = p;
}

void net_connecting(int fd)
{
	last_fd = fd;
}

int net_last_fd(void)
{
	return last_fd;
}

static _Thread_local struct {
	bool (*look)(void *arg, const void *p, size_t n);
	void *arg;
} inspector;

void net_inspect(bool (*look)(void *arg, const void *p, size_t n), void *arg)
{
	inspector.look = look;
	inspector.arg = arg;
}

bool net_inspected(const void *p, size_t n)
{
	return !inspector.look || inspector.look(inspector.arg, p, n);
}

/* ---- time -------------------------------------------------------------- */

uint64_t net_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int net_left_ms(uint64_t deadline_ms)
{
	uint64_t now = net_now_ms();

	if (deadline_ms <= now)
		return 0;
	return deadline_ms - now < INT_MAX ? (int)(deadline_ms - now) : INT_MAX;
}

int net_wait(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do {
		n = poll(&p, 1, net_left_ms(deadline_ms));
	} while (n < 0 && errno == EINTR);
	if (n < 0 || (n > 0 && p.revents & POLLNVAL))
		return ERR_IO;
	/* An error or a hang-up shows when the socket is used. */
	return n > 0 ? OK : ERR_TIMEOUT;
}

bool net_closed(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) != 0;
}

/* ---- what may be reached ----------------------------------------------- */

/* Is `prefix` all of `name`, or all of its first parts? */
static bool covers(struct slice prefix, struct slice name)
{
	return prefix.n == 0 ||
	       (slice_starts(name, prefix) &&
		(name.n == prefix.n || name.p[prefix.n] == ':' ||
		 prefix.p[prefix.n - 1] == ':'));
}

static bool any_covers(struct slice grants, size_t least, struct slice name)
{
	struct cursor c = cursor_of(grants);
	uint32_t n = cursor_array(&c);

	while (n-- > 0 && !c.error) {
		struct slice prefix = cursor_text(&c);

		if (!c.error && prefix.n >= least && covers(prefix, name))
			return true;
	}
	return false;
}

bool net_granted(struct slice grants, const char *provider, struct slice target)
{
	struct buf name = {0};
	bool granted;

	if (grants.n == 0)
		return true;
	buf_addf(&name, "%s:", provider);
	buf_add_slice(&name, target);
	granted = buf_error(&name) == OK &&
		  any_covers(grants, 0, buf_slice(&name));
	buf_fini(&name);
	return granted;
}

/* 169.254/16. */
static bool is_local4(const uint8_t *a)
{
	return a[0] == 169 && a[1] == 254;
}

/* fe80::/10, 169.254/16 within IPv6 (mapped, NAT64), and the address at which
 * one cloud has its metadata besides. */
static bool is_local6(const uint8_t *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t compatible[12];
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const uint8_t ec2[16] = {0xfd, 0, 0x0e, 0xc2, [14] = 2, 0x54};

	if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80)
		return true;
	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0 ||
	    memcmp(a, compatible, 12) == 0)
		return is_local4(a + 12);
	return memcmp(a, ec2, 16) == 0;
}

/* A grant that names this very address. */
static bool named(const struct sockaddr *addr)
{
	char host[INET6_ADDRSTRLEN] = "", name[128];
	const void *a;
	uint16_t port;
	int n;

	if (!policy || policy->grants.n == 0)
		return false;
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;

		a = &in->sin_addr;
		port = ntohs(in->sin_port);
	} else {
		const struct sockaddr_in6 *in = (const void *)addr;

		a = &in->sin6_addr;
		port = ntohs(in->sin6_port);
	}
	inet_ntop(addr->sa_family, a, host, sizeof(host));
	n = snprintf(name, sizeof(name),
		     addr->sa_family == AF_INET ? "%s:%s:%u" : "%s:[%s]:%u",
		     policy->provider, host, port);
	return n > 0 && (size_t)n < sizeof(name) &&
	       any_covers(policy->grants, strlen(policy->provider) + 2,
			  slice_of(name, (size_t)n));
}

bool net_allowed(const struct sockaddr *addr)
{
	switch (addr->sa_family) {
	case AF_UNSPEC: /* undoes a connect() */
		return true;
	case AF_INET: {
		const struct sockaddr_in *in = (const void *)addr;

		return !is_local4((const void *)&in->sin_addr) || named(addr);
	}
	case AF_INET6: {
		const struct sockaddr_in6 *in = (const void *)addr;

		return !is_local6(in->sin6_addr.s6_addr) || named(addr);
	}
	default:
		return false;
	}
}

/* ---- connecting -------------------------------------------------------- */

static int finish(int fd, uint64_t deadline_ms)
{
	socklen_t n = sizeof(int);
	int e = 0, r;

	r = net_wait(fd, POLLOUT, deadline_ms);
	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0)
		return ERR_IO;
	errno = e;
	return e == 0 ? OK : ERR_IO;
}

static int try(const struct addrinfo *a, uint64_t deadline_ms, int *out)
{
	static const int one = 1;
	int fd, r = OK;

	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return ERR_IO;
	if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		r = errno == EINPROGRESS ? finish(fd, deadline_ms)
		    : errno == EACCES	 ? ERR_DENIED
					 : ERR_IO;
	if (r < 0) {
		int e = errno;

		close(fd);
		errno = e;
		return r;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	*out = fd;
	return OK;
}

static void explain(int r, struct buf *why)
{
	buf_clear(why);
	if (r == ERR_TIMEOUT)
		buf_addf(why, "it does not answer");
	else if (r == ERR_DENIED)
		buf_addf(why, "its address is link-local and not granted");
	else
		buf_addf(why, "%s", strerror(errno));
}

int net_connect(const char *host, uint16_t port, uint64_t deadline_ms, int *fd,
		struct buf *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_NUMERICSERV};
	struct addrinfo *all, *a;
	char service[8];
	unsigned n = 0;
	int r;

	snprintf(service, sizeof(service), "%u", port);
	r = getaddrinfo(host, service, &hints, &all);
	if (r != 0) {
		buf_addf(why, "%s: %s", host, gai_strerror(r));
		return ERR_IO;
	}
	for (a = all; a; a = a->ai_next)
		n++;
	r = ERR_IO;
	/* Each gets its share of what is left. */
	for (a = all; a && r < 0; a = a->ai_next, n--) {
		uint64_t share = (uint64_t)net_left_ms(deadline_ms) / n;

		r = try(a, net_now_ms() + share, fd);
		if (r < 0)
			explain(r, why);
	}
	freeaddrinfo(all);
	return r;
}
