/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb_cursor: the cursors that scripts have open. A script names one by
 * text, in any later call, which may come to any thread of the pool; the
 * cursor itself lives on the connection that found it.
 *
 * The table is one for the process, since a cursor's name is all that a call
 * tells. Two locks: that of the table, held for moments, and that of a
 * connection, held while the server is waited for. Only who holds the latter
 * destroys a cursor; others put it on the connection's `doomed` list.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "gateway/net.h"
#include "gateway/provider/mongodb.h"

#define PREFIX "mongo-cursor-"

struct entry {
	struct list node; /* of the table or of the owner's doomed ones */
	uint64_t id;
	struct mongo *owner;
	mongoc_cursor_t *cursor; /* NULL: all documents have been given */
	const bson_t *ahead;	 /* fetched and not given yet; or NULL */
	uint64_t used_ms;
};

static struct table {
	pthread_mutex_t lock;
	struct list entries; /* the one used longest ago first */
	unsigned n;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER,
	   .entries = {&table.entries, &table.entries}};

static struct entry *entry_of(struct list *node)
{
	return container_of(node, struct entry, node);
}

/* ---- under the table's lock -------------------------------------------- */

static struct entry *find(uint64_t id)
{
	list_each(node, next, &table.entries)
	{
		if (entry_of(node)->id == id)
			return entry_of(node);
	}
	return NULL;
}

static void doom(struct entry *e)
{
	list_remove(&e->node);
	list_push(&e->owner->doomed, &e->node);
	table.n--;
}

/* Those that nobody uses any more, and one if there are too many. */
static void thin_out(uint64_t now)
{
	list_each(node, next, &table.entries)
	{
		struct entry *e = entry_of(node);

		if (table.n < MONGO_CURSORS &&
		    e->used_ms + MONGO_CURSOR_MS > now)
			break;
		doom(e);
	}
}

/* ---- names ------------------------------------------------------------- */

static bool read_name(struct slice name, uint64_t *id)
{
	char text[17] = "", *end;
	const size_t head = sizeof(PREFIX) - 1;

	if (name.n != head + 16 || memcmp(name.p, PREFIX, head) != 0)
		return false;
	memcpy(text, name.p + head, 16);
	*id = strtoull(text, &end, 16);
	return *end == '\0';
}

static bool job_cursor(const struct job *job, uint64_t *id)
{
	struct cursor c = job->args;
	struct slice name = cursor_text(&c);

	return !c.error && read_name(name, id);
}

bool mongo_is_cursor_op(struct slice op)
{
	return slice_is(op, "next") || slice_is(op, "take") ||
	       slice_is(op, "close");
}

const void *mongo_cursor_owner(const struct job *job)
{
	const void *settings = NULL;
	struct entry *e;
	uint64_t id;

	if (!mongo_is_cursor_op(job->op) || !job_cursor(job, &id))
		return NULL;
	pthread_mutex_lock(&table.lock);
	e = find(id);
	if (e)
		settings = e->owner->settings;
	pthread_mutex_unlock(&table.lock);
	return settings;
}

/* ---- life -------------------------------------------------------------- */

int mongo_cursor_add(struct mongo *m, mongoc_cursor_t *cursor,
		     const bson_t *ahead, struct buf *name)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e || getrandom(&e->id, sizeof(e->id), 0) != sizeof(e->id)) {
		free(e);
		if (cursor)
			mongoc_cursor_destroy(cursor);
		return ERR_NOMEM;
	}
	e->owner = m;
	e->cursor = cursor;
	e->ahead = ahead;
	e->used_ms = net_now_ms();
	buf_addf(name, PREFIX "%016" PRIx64, e->id);
	pthread_mutex_lock(&table.lock);
	thin_out(e->used_ms);
	list_push(&table.entries, &e->node);
	table.n++;
	pthread_mutex_unlock(&table.lock);
	return OK;
}

void mongo_cursor_sweep(struct mongo *m)
{
	struct list *node;

	do {
		pthread_mutex_lock(&table.lock);
		node = list_pop(&m->doomed);
		pthread_mutex_unlock(&table.lock);
		if (node) {
			if (entry_of(node)->cursor)
				mongoc_cursor_destroy(entry_of(node)->cursor);
			free(entry_of(node));
		}
	} while (node);
}

void mongo_cursor_close_all(struct mongo *m)
{
	pthread_mutex_lock(&table.lock);
	list_each(node, next, &table.entries)
	{
		if (entry_of(node)->owner == m)
			doom(entry_of(node));
	}
	pthread_mutex_unlock(&table.lock);
	mongo_cursor_sweep(m);
}

void mongo_release(struct mongo *m)
{
	bool last;

	pthread_mutex_lock(&table.lock);
	last = --m->users == 0;
	pthread_mutex_unlock(&table.lock);
	if (!last)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- next, take, close ------------------------------------------------- */

/* NULL: there is none, or none more; *error is set when that is a failure. */
static const bson_t *fetch(struct entry *e, bson_error_t *error)
{
	const bson_t *doc = e->ahead;

	e->ahead = NULL;
	error->domain = 0;
	if (doc || !e->cursor)
		return doc;
	if (mongoc_cursor_next(e->cursor, &doc))
		return doc;
	if (!mongoc_cursor_error(e->cursor, error))
		error->domain = 0;
	mongoc_cursor_destroy(e->cursor);
	e->cursor = NULL;
	return NULL;
}

static int next_doc(struct entry *e, struct job *job)
{
	bson_error_t error;
	const bson_t *doc = fetch(e, &error);

	if (error.domain)
		return mongo_fail(e->owner, job, &error);
	if (!doc)
		pack_bool(&job->out, false);
	else if (mongo_answer_doc(job, doc) < 0)
		return OK;
	return OK;
}

static int take_docs(struct entry *e, struct job *job)
{
	/* array 32, so that the count can be written when it is known */
	static const uint8_t head[5] = {0xdd};
	int64_t most = cursor_int(&job->args);
	const bson_t *doc = NULL;
	bson_error_t error = {0};
	uint32_t n = 0;

	if (job->args.error) {
		job_fail(job, JOB_BADARG, "take(cursor, count)");
		return OK;
	}
	buf_add(&job->out, head, sizeof(head));
	while (n < most && (doc = fetch(e, &error)) != NULL) {
		if (++n > PROVIDER_MAX_ROWS)
			job_fail(job, JOB_TOO_LARGE, "over %d documents",
				 PROVIDER_MAX_ROWS);
		else
			(void)!mongo_answer_doc(job, doc);
		if (job->code != JOB_OK)
			return OK;
	}
	if (error.domain)
		return mongo_fail(e->owner, job, &error);
	if (n == 0) {
		buf_clear(&job->out);
		pack_bool(&job->out, false);
		return OK;
	}
	for (int i = 0; i < 4; i++)
		job->out.p[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	return OK;
}

static int no_cursor(struct job *job)
{
	job_fail(job, JOB_BADARG, "no such cursor, or not any more");
	return OK;
}

/* The connection is ours; the cursor may have gone meanwhile. */
static int op_locked(struct mongo *m, struct job *job, uint64_t id)
{
	struct entry *e;
	int r = OK;

	if (m->client)
		mongo_cursor_sweep(m);
	pthread_mutex_lock(&table.lock);
	e = find(id);
	if (e) {
		e->used_ms = net_now_ms();
		list_remove(&e->node);
		if (slice_is(job->op, "close")) {
			table.n--;
			list_push(&m->doomed, &e->node);
		} else {
			list_push(&table.entries, &e->node);
		}
	}
	pthread_mutex_unlock(&table.lock);
	if (!e)
		return no_cursor(job);
	cursor_skip(&job->args);
	if (slice_is(job->op, "next"))
		r = next_doc(e, job);
	else if (slice_is(job->op, "take"))
		r = take_docs(e, job);
	else
		pack_bool(&job->out, true);
	mongo_cursor_sweep(m);
	return r;
}

int mongo_cursor_op(struct job *job)
{
	struct timespec t = {.tv_sec = (time_t)(job->deadline_ms / 1000),
			     .tv_nsec =
				     (long)(job->deadline_ms % 1000) * 1000000};
	struct entry *e = NULL;
	struct mongo *m;
	uint64_t id;
	int r = OK;

	pthread_mutex_lock(&table.lock);
	if (job_cursor(job, &id))
		e = find(id);
	m = e ? e->owner : NULL;
	if (m)
		m->users++;
	pthread_mutex_unlock(&table.lock);
	if (!m)
		return no_cursor(job);
	if (pthread_mutex_clocklock(&m->lock, CLOCK_MONOTONIC, &t) == 0) {
		mongo_begin(m, job->deadline_ms);
		r = op_locked(m, job, id);
		pthread_mutex_unlock(&m->lock);
	} else {
		job_fail(job, JOB_TIMEOUT,
			 "the cursor's connection was not free in time");
	}
	mongo_release(m);
	/* Not this thread's connection: it has done nothing wrong. */
	return r < 0 ? OK : r;
}
