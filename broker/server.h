/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: the two listening sockets. `listen` for proxies, with its mode,
 * group and allowed uids; `control` for tools, mode 0600.
 */
#ifndef PF_BROKER_SERVER_H
#define PF_BROKER_SERVER_H

#include "broker/client.h"

struct server {
	uv_pipe_t listen, control;
	struct client_house *clients;
	const struct conf *conf;
	bool open;
};

/* Both sockets listen, or none and `why` has a line of text. A socket file
 * that nobody serves any more is replaced; one that is served is an error. */
int server_open(struct server *s, uv_loop_t *loop, const struct conf *conf,
		struct client_house *clients, struct buf *why) must_check;

/* Stop listening and remove the socket files. Also fine when not open. */
void server_close(struct server *s);

#endif
