/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocking: a connection for programs without an event loop.
 *
 * One call at a time, with a deadline, on top of pinfold_client.h. While it
 * waits it serves what the broker asks (body.get) and passes notifications
 * on, both by callbacks. It does not reconnect: after ERR_CLOSED, ERR_IO,
 * ERR_FORMAT or ERR_RANGE close it and open another; after ERR_TIMEOUT it can
 * be used further (the late answer is dropped).
 */
#ifndef PINFOLD_BLOCKING_H
#define PINFOLD_BLOCKING_H

#include "clients/c/pinfold_client.h"

struct pf_conn;

struct pf_handler {
	/* The broker asks: pf_answer(), pf_answer_bytes() or pf_refuse() it on
	 * `c`, before returning. NULL: all are refused (unknown_method). */
	void (*request)(void *arg, struct pf_client *c,
			const struct pf_item *item);
	void (*notification)(void *arg, const struct pf_item *item);
	void *arg;
};

/*
 * Connect to a socket. Times are milliseconds, -1 is for ever. On an error
 * errno tells more: ERR_ABSENT (no such socket), ERR_CLOSED (nobody listens),
 * ERR_DENIED, ERR_RANGE (path too long), ERR_TIMEOUT, ERR_IO, ERR_NOMEM.
 */
int pf_conn_open(const char *path, int timeout_ms,
		 struct pf_conn **out) must_check;

/* Take a connected stream socket; closed by pf_conn_close(), or by this
 * function when it fails (ERR_NOMEM). */
int pf_conn_take(int fd, struct pf_conn **out) must_check;
void pf_conn_close(struct pf_conn *conn); /* NULL is fine */

/* For pf_hello's questions and pf_tag(); not for pf_call(). */
struct pf_client *pf_conn_client(struct pf_conn *conn);

/* Copied. Callbacks must not call pf_conn_* on the connection. */
void pf_conn_handle(struct pf_conn *conn, const struct pf_handler *handler);

/*
 * Call and wait. 0: *out is the PF_RESULT or PF_ERROR; its slices live until
 * the next use of the connection. ERR_TIMEOUT, ERR_CLOSED, ERR_IO, or what
 * pf_call() and pf_next() say.
 */
int pf_conn_call(struct pf_conn *conn, const char *method, struct pf_args args,
		 int timeout_ms, struct pf_item *out) must_check;

/* As pf_conn_call("hello"). */
int pf_conn_hello(struct pf_conn *conn, const struct pf_hello *hello,
		  int timeout_ms, struct pf_item *out) must_check;

/* Returns when all of it is with the operating system. */
int pf_conn_notify(struct pf_conn *conn, const char *method,
		   struct pf_args args, int timeout_ms) must_check;

/* Serve until at least one request or notification was handed over. */
int pf_conn_wait(struct pf_conn *conn, int timeout_ms) must_check;

#endif
