/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link: a stream socket that yields whole messages.
 *
 * What arrives is scanned (proto/scan.h) before anybody sees it; what is to be
 * sent gathers in one buffer and goes out with one write per loop turn. Both
 * ends of every conversation of the broker are links: proxies, tools, workers.
 */
#ifndef PF_BROKER_LINK_H
#define PF_BROKER_LINK_H

#include <uv.h>

#include "broker/turn.h"
#include "broker/wheel.h"
#include "lib/buf.h"
#include "proto/scan.h"

enum link_end {
	LINK_HALF,     /* the peer will send no more, but still reads */
	LINK_EOF,      /* the peer has closed, or link_finish() is through */
	LINK_PROTOCOL, /* bytes that are no MessagePack, or nested too deep */
	LINK_RANGE,    /* a message over the limit */
	LINK_STUCK,    /* the peer does not read what it is sent */
	LINK_STALLED,  /* a message that was begun never ended */
	LINK_IO,       /* any other failure of the socket or of memory */
};

struct link_ops {
	/* One whole message. It and the marks live until the return; the
	 * link may be closed meanwhile. */
	void (*on_message)(void *arg, struct slice msg,
			   const struct scan *marks);

	/* Nothing will be read any more, once; the owner closes. After
	 * LINK_HALF what is appended is still written, and another reason
	 * follows unless the owner closes. */
	void (*on_end)(void *arg, enum link_end why);

	/* After link_close(): the link's memory is the owner's again. */
	void (*on_closed)(void *arg);
};

/* What links hold together of messages that have not arrived whole. `full` is
 * called when that is over max: the owner ends one of them. */
struct link_pool {
	size_t held, max;
	void (*full)(void *arg);
	void *arg;
};

struct link_limits {
	size_t max_message;	/* bytes of one message in */
	size_t max_backlog;	/* bytes that may wait to be written */
	uint64_t stuck_ms;	/* how long a write may wait */
	uint64_t partial_ms;	/* how long a begun message may take; 0: ever */
	struct link_pool *pool; /* NULL: none */
};

struct link {
	uv_pipe_t pipe;
	struct turn *turn;
	struct wheel *wheel;
	struct turn_task flush;
	struct link_limits limits;
	const struct link_ops *ops;
	void *arg;
	struct scan scan;
	struct buf in;	    /* a message that has not arrived whole */
	size_t held;	    /* of that, in the pool's sum */
	struct buf out;	    /* what this turn will write */
	struct buf sending; /* what the kernel did not take */
	uv_write_t write;
	struct wheel_timer stuck, partial;
	bool writing, overrun, half, finishing, parting, shut, mute;
	bool ended, closing, closed;
};

/* Prepare the handle; then uv_accept() or link_open_fd(), then link_start().
 * From here on the link must be closed. */
void link_init(struct link *l, struct turn *turn, struct wheel *wheel,
	       const struct link_limits *limits);
int link_open_fd(struct link *l, int fd) must_check; /* takes fd on success */
int link_start(struct link *l, const struct link_ops *ops,
	       void *arg) must_check;

/*
 * Where the next message goes: append whole messages only. They leave at the
 * end of this loop turn. When the link has ended, what is appended is lost.
 */
struct buf *link_out(struct link *l);

/* Bytes that wait to be taken by the kernel. */
size_t link_backlog(const struct link *l);

/* Is there anything that the peer itself has not read yet? */
bool link_unread(const struct link *l);

/* on_end(LINK_STUCK) at the end of this turn. */
void link_cut(struct link *l);

/* Nothing more will be appended: on_end(LINK_EOF) when all of it is written. */
void link_finish(struct link *l);

/*
 * The same for a peer that may still be sending: one whose write fails might
 * never read what it was told. What has arrived is handed out, and answered,
 * first; then our side is shut down, and what comes is thrown away, until the
 * peer has read all or has closed; for how long, the owner decides.
 */
void link_part(struct link *l);

/* Close; what was appended is written first if the socket takes it at once.
 * on_closed comes later, once; nothing else does. Calling twice is once. */
void link_close(struct link *l);

#endif
