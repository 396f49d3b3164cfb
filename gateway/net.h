/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: sockets with deadlines, and the rule which addresses may be reached.
 *
 * The rule holds for every library: this program's own connect() stands in
 * front of the C library's. It refuses all but IPv4 and IPv6 (so no Unix
 * sockets: to libmariadb and libpq "localhost" must be said so that they use
 * TCP), and link-local addresses, where clouds keep their secrets, unless a
 * grant names the address itself. It looks at the address that is connected
 * to, so that no name can resolve past it. The C library's own resolver is
 * not asked.
 */
#ifndef PF_GATEWAY_NET_H
#define PF_GATEWAY_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/buf.h"

/* On whose behalf this thread connects. Set by pool.c around connect(),
 * call() and local(); a thread without one gets the strict rule. */
struct net_policy {
	const char *provider;
	struct slice grants; /* raw array of prefixes, or empty: all */
};

void net_policy_set(const struct net_policy *policy); /* NULL: none */

/* May this thread connect there? */
bool net_allowed(const struct sockaddr *addr);

/*
 * Do the grants (raw array of prefixes; empty: everything) allow
 * "PROVIDER:TARGET"? A prefix ends at the end of a part: "http:a.b" grants
 * http:a.b:443 but not http:a.bc:443.
 */
bool net_granted(struct slice grants, const char *provider,
		 struct slice target);

/* The socket that this thread's last connect() was about: for libraries that
 * do not tell. */
int net_last_fd(void);
void net_connecting(int fd); /* for connect.c */

/* Look at what this thread's recv() brings before the library that called it
 * does; false ends the connection. `look` NULL: no more. */
void net_inspect(bool (*look)(void *arg, const void *p, size_t n), void *arg);
bool net_inspected(const void *p, size_t n); /* for connect.c */

/* CLOCK_MONOTONIC. */
uint64_t net_now_ms(void);

/* What is left until then, 0 when it has passed; at most an int. */
int net_left_ms(uint64_t deadline_ms);

/* Wait until fd has one of these poll() events: OK, ERR_TIMEOUT, ERR_IO. */
int net_wait(int fd, short events, uint64_t deadline_ms) must_check;

/*
 * Resolve and connect by TCP, all addresses in turn. *fd: non-blocking, close
 * on exec, no delay. ERR_TIMEOUT, ERR_IO, ERR_DENIED, and `why`.
 */
int net_connect(const char *host, uint16_t port, uint64_t deadline_ms, int *fd,
		struct buf *why) must_check;

/* Has the server closed this idle connection? */
bool net_closed(int fd);

#endif
