/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: the client that `make bench` measures every system with. One loop for
 * all; a system is a struct of three functions in load_peer.c.
 */
#ifndef PF_BENCH_LOAD_H
#define PF_BENCH_LOAD_H

#include "lib/buf.h"

enum { LOAD_EVENT = 1026 }; /* bytes of the event without a body */

struct load_options {
	const char *peer;   /* name in load_peers */
	const char *socket; /* Unix socket path */
	const char *what;   /* hook, function or script hash to call */
	const char *path;   /* the request's path */
	const char *event;  /* file with a packed event in place of ours; 8
			       zeros in it become each request's number */
	uint64_t depth;	    /* requests outstanding */
	uint64_t ms;	    /* measured time */
	uint64_t warm_ms;   /* time before that */
	uint64_t body;	    /* bytes of the event's body */
	bool once;	    /* one request; its answer goes to stdout */
};

/* A request as bytes, and where its numbers stand in them. */
struct load_request {
	struct buf bytes;
	size_t event_id; /* 8 hexadecimal digits, different for each event */
	size_t msg_id;	 /* u32, big-endian; 0: the system has none */
};

struct load_peer {
	const char *name;
	/* NULL, or reads what the server says first; 0 or a negative code */
	int (*greet)(int fd);
	/* Puts the request around `event`; sets msg_id. */
	void (*request)(struct load_request *r, const char *what,
			struct slice event);
	/* Is `in` at least one whole answer? 1 and *len; 0: not yet; negative:
	 * it is an error or makes no sense. */
	int (*answer)(struct slice in, size_t *len);
};

extern const struct load_peer load_peers[];

/*
 * The event of performance measurements: a GET with 12 headers and 2 cookies,
 * exactly LOAD_EVENT bytes when body is 0. The caller frees `out`.
 */
void load_event(struct buf *out, const char *path, size_t body);

#endif
