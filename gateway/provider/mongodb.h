/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb: what the files mongodb*.c share. mongodb.c: settings, connecting;
 * mongodb_stream.c: sockets with a deadline; mongodb_check.c: is that which
 * comes in order; mongodb_ops.c: the calls;
 * mongodb_cursor.c: open cursors; mongodb_value.c: documents.
 */
#ifndef PF_GATEWAY_PROVIDER_MONGODB_H
#define PF_GATEWAY_PROVIDER_MONGODB_H

#include <mongoc/mongoc.h>
#include <pthread.h>

#include "gateway/provider.h"
#include "gateway/server.h"
#include "lib/list.h"

enum {
	MONGO_DEPTH = 24, /* of a document; messages have a limit of 32 */
	MONGO_CURSORS = 256,
	MONGO_CURSOR_MS = 60000, /* without a call; then it may go */
};

/* Of a pool. */
struct mongo_settings {
	struct server server;
	char *auth_source, *srv, *w_mode, *read_preference, *sni;
	bool unsafe; /* writes are not confirmed */
	mongoc_read_mode_t read_mode;
	mongoc_uri_t *uri;
};

/*
 * A connection. Its cursors may be asked for by other threads of the pool, so
 * the client is used under the lock.
 */
struct mongo {
	const struct mongo_settings *settings;
	mongoc_client_t *client;
	pthread_mutex_t lock;
	/* Of the job that goes on; its streams look at them. */
	uint64_t deadline_ms;
	uint64_t received;
	bool late, endless;
	int fd; /* of the stream that was opened last; -1 */
	/* Under the lock of the table of cursors: */
	unsigned users;	    /* who wait for `lock`, and the owner */
	struct list doomed; /* cursors that are to be destroyed */
};

/* Begin something that must end by then. Under m->lock. */
static inline void mongo_begin(struct mongo *m, uint64_t deadline_ms)
{
	m->deadline_ms = deadline_ms;
	m->received = 0;
	m->late = m->endless = false;
}

/* For mongoc_client_set_stream_initiator(); user_data: the struct mongo. */
mongoc_stream_t *mongo_stream_open(const mongoc_uri_t *uri,
				   const mongoc_host_list_t *host,
				   void *user_data, bson_error_t *error);

/* A stream on top of that one (takes it), which gives only messages that are
 * in order, and fails otherwise. NULL: no memory. */
mongoc_stream_t *mongo_checked(mongoc_stream_t *below);

/* Are these bytes one document, in order to the last level? */
bool mongo_is_document(const uint8_t *p, size_t n);

/*
 * The job fails by what the library says. OK when the connection can be used,
 * else ERR_CLOSED.
 */
int mongo_fail(struct mongo *m, struct job *job, const bson_error_t *error);

/* m->lock is held. As provider.call(). */
int mongo_op(struct mongo *m, struct job *job);

mongoc_collection_t *mongo_collection(const struct mongo *m, struct slice name);

/* ---- cursors: mongodb_cursor.c ---- */

/* Keeps the cursor (takes it; NULL: an empty one) and appends its name. ahead:
 * a document that it has given already, or NULL. */
int mongo_cursor_add(struct mongo *m, mongoc_cursor_t *cursor,
		     const bson_t *ahead, struct buf *name) must_check;

bool mongo_is_cursor_op(struct slice op);

/* next, take, close: on the connection that the cursor belongs to. */
int mongo_cursor_op(struct job *job);

/* The pool that the job's cursor belongs to, or NULL. */
const void *mongo_cursor_owner(const struct job *job);

/* m->lock is held: destroy what others could not. */
void mongo_cursor_sweep(struct mongo *m);

/* Of a connection that ends; frees m when nobody else waits for it. */
void mongo_cursor_close_all(struct mongo *m);
void mongo_release(struct mongo *m);

/* ---- documents: mongodb_value.c ---- */

/*
 * A map into an initialised bson. With `id`, a top-level _id that is text of
 * the form "vmq-objid" and 12 bytes is an ObjectId. ERR_TYPE: it cannot be
 * said in BSON.
 */
int mongo_read_doc(struct cursor *c, bson_t *doc, bool id) must_check;

/* A map out of a document. ERR_TYPE: *field names one of a type that scripts
 * do not get, valid as long as doc. ERR_RANGE: too deep. */
int mongo_pack_doc(struct buf *out, const bson_t *doc,
		   const char **field) must_check;

/* The same, and the job has failed if it is not OK. */
int mongo_answer_doc(struct job *job, const bson_t *doc) must_check;

#endif
