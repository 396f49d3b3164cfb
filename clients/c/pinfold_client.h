/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pinfold_client: the protocol of pinfold (proto/PROTOCOL.md) for C programs.
 *
 * It does no I/O, starts no thread and never blocks, so it fits any event
 * loop: what arrives on the socket goes into pf_feed(), what pf_output() holds
 * is written to the socket, and pf_next() yields what has happened. A program
 * without a loop takes clients/c/blocking.h on top.
 *
 *	pf_event_begin(&ev, "req-1");
 *	pf_event_map(&ev, "req");
 *	pf_event_text(&ev, "method", slice_str("GET"));
 *	pf_event_end(&ev);
 *	pf_event_finish(&ev, &event);
 *	pf_call(client, "before_request", pf_args(1, event), request, &id);
 *	... write pf_output(), feed what comes ...
 *	while (pf_next(client, &item) == 1)
 *		if (item.kind == PF_RESULT) ...
 *
 * Errors are the negative codes of lib/err.h. One client belongs to one
 * thread at a time. Bytes handed in are copied; slices handed out say how
 * long they live.
 */
#ifndef PINFOLD_CLIENT_H
#define PINFOLD_CLIENT_H

#include "lib/buf.h"
#include "proto/event.h"
#include "proto/ops.h"
#include "proto/proto.h"
#include "proto/unpack.h"

struct pf_client;

struct pf_options {
	size_t max_message;    /* of either side; 0: 16 MiB */
	size_t max_output;     /* bytes waiting in pf_output(); 0: 32 MiB */
	uint32_t max_inflight; /* unanswered calls, at most 4096; 0: 1024 */
};

/* Values of a call, packed one behind the other. */
struct pf_args {
	uint32_t n;
	struct slice packed;
};

static inline struct pf_args pf_args(uint32_t n, struct slice packed)
{
	return (struct pf_args){n, packed};
}

enum pf_kind {
	PF_RESULT,	/* a call went well */
	PF_ERROR,	/* a call failed; for what to do, PROTOCOL.md 5 */
	PF_REQUEST,	/* the broker asks: pf_answer() or pf_refuse() it */
	PF_NOTIFICATION /* hooks, goaway, bus.event, log, error */
};

/* What failed. Slices are empty where the broker said nothing. */
struct pf_error {
	enum code code; /* CODE_COUNT: a word that this version lacks */
	struct slice word, message, script, hook, traceback;
};

/* Slices live until the next pf_next(), pf_feed() or pf_free(). */
struct pf_item {
	enum pf_kind kind;
	uint32_t id;	       /* not of a notification */
	void *tag;	       /* result, error: what pf_call() was given */
	struct slice result;   /* result: one packed value */
	struct pf_error error; /* error */
	struct slice method;   /* request, notification */
	struct pf_args params; /* request, notification */
};

/* NULL when there is no memory. `options` may be NULL. */
struct pf_client *pf_new(const struct pf_options *options);
void pf_free(struct pf_client *c); /* NULL is fine */

/*
 * Bytes that arrived, in any portions. ERR_FULL: pf_next() has not been
 * called until it said 0; nothing was taken. ERR_NOMEM.
 */
int pf_feed(struct pf_client *c, const void *bytes, size_t n) must_check;

/* Bytes that wait to be written, and that n of them have been. The slice
 * lives until the next call of anything here. */
struct slice pf_output(const struct pf_client *c);
void pf_sent(struct pf_client *c, size_t n);

/*
 * A call. `tag` comes back with its completion; *id (may be NULL) names it.
 * ERR_FULL: too many are unanswered, or too much waits to be written.
 * ERR_RANGE: larger than max_message. ERR_NOMEM. In these cases nothing was
 * written, and the client goes on.
 */
int pf_call(struct pf_client *c, const char *method, struct pf_args args,
	    void *tag, uint32_t *id) must_check;

/* Fire and forget. The broker may drop it when it has too much to do. */
int pf_notify(struct pf_client *c, const char *method,
	      struct pf_args args) must_check;

/* Its answer is no longer wanted: pf_next() will not yield it. */
void pf_forget(struct pf_client *c, uint32_t id);

/* The tag of an unanswered call; NULL when there is none of that id. */
void *pf_tag(const struct pf_client *c, uint32_t id);
uint32_t pf_unanswered(const struct pf_client *c);

/*
 * What happened next: 1 and *item, or 0 when more bytes are needed.
 * ERR_FORMAT, ERR_RANGE: the other side broke the protocol; this sticks, and
 * all that can be done is close the connection and pf_free().
 */
int pf_next(struct pf_client *c, struct pf_item *item) must_check;

/* Answers to a PF_REQUEST: one packed value, bytes, or a failure. */
int pf_answer(struct pf_client *c, uint32_t id, struct slice value) must_check;
int pf_answer_bytes(struct pf_client *c, uint32_t id,
		    struct slice bytes) must_check;
int pf_refuse(struct pf_client *c, uint32_t id, enum code code,
	      const char *message) must_check;

/* The request body.get: a range of a body that was sent as pf_event_lazy. */
struct pf_body_get {
	uint32_t call; /* the id of the hook's pf_call() */
	enum body body;
	uint64_t offset, length;
};

/* ERR_TYPE: some other request, or a malformed one. */
int pf_body_get_read(const struct pf_item *item,
		     struct pf_body_get *out) must_check;

/*
 * hello. `lazy`: this client can answer body.get. `mqtt`: it is an MQTT broker
 * and can answer mqtt.disconnect, mqtt.publish and mqtt.reauthorize. Its
 * completion comes out of pf_next() as of any call; what it says is remembered
 * for the questions below, as is every later notification `hooks`.
 */
struct pf_hello {
	const char *client, *version;
	bool lazy, mqtt;
};

int pf_hello(struct pf_client *c, const struct pf_hello *hello, void *tag,
	     uint32_t *id) must_check;

/* Does any script serve this hook? True as long as nobody told. */
bool pf_serves(const struct pf_client *c, const char *hook);

/* Bodies longer than this are better sent lazily; SIZE_MAX: none may be. */
size_t pf_inline_body(const struct pf_client *c);

/* -- the result of a hook ------------------------------------------------ */

/* Lives as long as the item it was read from. */
struct pf_result {
	bool finished; /* do not contact the upstream */
	uint32_t nops, nerrors;
	struct cursor ops, errors; /* where the two readers below are */
};

/* A nil counts as an empty result. ERR_TYPE, ERR_FORMAT: it is none. */
int pf_result_read(struct slice result, struct pf_result *out) must_check;

/* The next op, to be applied in this order: 1, 0 at the end, or an error. */
int pf_result_op(struct pf_result *r, struct op_view *out) must_check;

/* The next failure that the policy let pass: 1, 0 at the end, or an error. */
int pf_result_error(struct pf_result *r, struct pf_error *out) must_check;

/* -- building an event --------------------------------------------------- */

enum { PF_EVENT_DEPTH = 8 };

/* Zeroed memory is a valid one. It can be begun again and again. */
struct pf_event {
	struct buf out;
	int error; /* sticky: ERR_RANGE, or out's */
	unsigned depth;
	struct {
		size_t at;  /* where its head stands in `out` */
		uint32_t n; /* elements, or pairs, so far */
		bool list;
	} open[PF_EVENT_DEPTH];
};

/* Forget what was there; open the event's map, with `id` when not NULL. */
void pf_event_begin(struct pf_event *e, const char *id);
void pf_event_fini(struct pf_event *e);

/*
 * A value under `key`; inside a list `key` must be NULL. Mistakes stick and
 * come out of pf_event_finish().
 */
void pf_event_map(struct pf_event *e, const char *key);	 /* until _end() */
void pf_event_list(struct pf_event *e, const char *key); /* until _end() */
void pf_event_end(struct pf_event *e);
void pf_event_text(struct pf_event *e, const char *key, struct slice text);
void pf_event_bytes(struct pf_event *e, const char *key, struct slice bytes);
void pf_event_int(struct pf_event *e, const char *key, int64_t v);
void pf_event_bool(struct pf_event *e, const char *key, bool v);
/* A body of n bytes that pf_body_get will ask for; not in notifications. */
void pf_event_lazy(struct pf_event *e, const char *key, uint64_t n);
/* One field inside the list "headers": call it in wire order. */
void pf_event_header(struct pf_event *e, struct slice name, struct slice value);

/* Closes what is open. *event lives until the next use of e. ERR_RANGE:
 * nested too deep, closed too often, a key where none belongs. ERR_NOMEM. */
int pf_event_finish(struct pf_event *e, struct slice *event) must_check;

#endif
