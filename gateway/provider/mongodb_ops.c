/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb_ops: insert, update, delete, find and find_one. What they answer is
 * VerneMQ's, but that find without a match gives an empty cursor, and that
 * arrays in documents and selectors work.
 */
#include <stdlib.h>

#include "gateway/provider/mongodb.h"

/* ---- failures ---------------------------------------------------------- */

/* Of a server that goes away or has lost its place. */
static bool is_leaving(uint32_t code)
{
	switch (code) {
	case 89:    /* network timeout */
	case 91:    /* shutdown in progress */
	case 189:   /* primary stepped down */
	case 10107: /* not the primary */
	case 11600: /* interrupted at shutdown */
	case 11602: /* interrupted, state change */
	case 13435: /* not the primary, no secondary allowed */
	case 13436:
		return true;
	default:
		return false;
	}
}

int mongo_fail(struct mongo *m, struct job *job, const bson_error_t *error)
{
	enum job_code code = JOB_BADARG;

	if (m->late) {
		job_fail(job, JOB_TIMEOUT, "the server did not answer in time");
		return ERR_CLOSED;
	}
	if (m->endless) {
		job_fail(job, JOB_TOO_LARGE, "the server sent too much");
		return ERR_CLOSED;
	}
	switch (error->domain) {
	case MONGOC_ERROR_STREAM:
	case MONGOC_ERROR_SERVER_SELECTION:
	case MONGOC_ERROR_CLIENT:
	case MONGOC_ERROR_PROTOCOL:
		code = JOB_UNAVAILABLE;
		break;
	case MONGOC_ERROR_SERVER:
		if (is_leaving(error->code))
			code = JOB_UNAVAILABLE;
		break;
	default:
		break;
	}
	job_fail(job, code, "%s", error->message);
	return code == JOB_BADARG ? OK : ERR_CLOSED;
}

static int wrong(struct job *job, const char *what)
{
	job_fail(job, JOB_BADARG, "%s", what);
	return OK;
}

/* ---- arguments --------------------------------------------------------- */

mongoc_collection_t *mongo_collection(const struct mongo *m, struct slice name)
{
	const char *db = m->settings->server.database;
	mongoc_collection_t *coll;
	char *text;

	if (name.n == 0 || name.n > 255 || memchr(name.p, 0, name.n))
		return NULL;
	text = strndup((const char *)name.p, name.n);
	if (!text)
		return NULL;
	coll = mongoc_client_get_collection(m->client, db, text);
	free(text);
	return coll;
}

/* The next argument; false: the job has failed. */
static bool read_arg(struct job *job, bson_t *doc, const char *what)
{
	int r;

	bson_init(doc);
	r = mongo_read_doc(&job->args, doc, true);
	if (r == OK)
		return true;
	bson_destroy(doc);
	job_fail(job, JOB_BADARG,
		 "the %s must be a table with string keys that BSON can hold",
		 what);
	return false;
}

static bool read_number(struct slice args, const char *key, int64_t *out)
{
	struct slice value;
	struct cursor c;

	if (!map_find(args, key, &value))
		return true;
	c = cursor_of(value);
	if (cursor_nil(&c))
		return true;
	*out = (int64_t)cursor_number(&c);
	return !c.error && *out >= 0 && *out <= INT32_MAX;
}

/* {projector=, skip=, batchsize=} or nil, as options of a find. */
static bool read_options(struct job *job, bson_t *opts)
{
	struct slice args = {0}, projector;
	int64_t skip = 0, batch = 0;
	bson_t projection;
	struct cursor c;
	bool good = true;

	if (job->nargs > 2)
		args = cursor_raw(&job->args);
	if (!read_number(args, "skip", &skip) ||
	    !read_number(args, "batchsize", &batch))
		return false;
	if (skip)
		BSON_APPEND_INT64(opts, "skip", skip);
	if (batch)
		BSON_APPEND_INT32(opts, "batchSize", (int32_t)batch);
	if (!map_find(args, "projector", &projector))
		return true;
	c = cursor_of(projector);
	if (cursor_nil(&c))
		return true;
	bson_init(&projection);
	good = mongo_read_doc(&c, &projection, false) == OK;
	if (good && bson_count_keys(&projection) > 0)
		BSON_APPEND_DOCUMENT(opts, "projection", &projection);
	bson_destroy(&projection);
	return good;
}

/* ---- insert ------------------------------------------------------------ */

struct docs {
	bson_t **doc;
	uint32_t n;
};

static void docs_fini(struct docs *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		bson_destroy(d->doc[i]);
	free(d->doc);
}

/* One document, with an _id if it has none. */
static bool add_doc(struct docs *d, struct cursor *c)
{
	bson_t *doc = bson_new();
	bson_oid_t oid;

	d->doc[d->n++] = doc;
	if (cursor_peek(c) != CURSOR_MAP || mongo_read_doc(c, doc, true) < 0)
		return false;
	if (!bson_has_field(doc, "_id")) {
		bson_oid_init(&oid, NULL);
		BSON_APPEND_OID(doc, "_id", &oid);
	}
	return true;
}

static bool read_docs(struct docs *d, struct cursor *c)
{
	bool many = cursor_peek(c) == CURSOR_ARRAY;
	uint32_t n = many ? cursor_array(c) : 1;

	if (n == 0 || n > PROVIDER_MAX_ROWS)
		return false;
	d->doc = calloc(n, sizeof(*d->doc));
	while (d->doc && d->n < n)
		if (!add_doc(d, c))
			return false;
	return d->doc != NULL;
}

static int answer_docs(struct job *job, const struct docs *d)
{
	if (d->n > 1)
		pack_array(&job->out, d->n);
	for (uint32_t i = 0; i < d->n; i++)
		if (mongo_answer_doc(job, d->doc[i]) < 0)
			break;
	return OK;
}

static int insert(struct mongo *m, struct job *job, mongoc_collection_t *coll)
{
	struct docs d = {0};
	bson_error_t error;
	int r;

	if (!read_docs(&d, &job->args))
		r = wrong(job, "insert needs a document or an array of "
			       "documents that BSON can hold");
	else if (mongoc_collection_insert_many(coll, (const bson_t **)d.doc,
					       d.n, NULL, NULL, &error))
		r = answer_docs(job, &d);
	else
		r = mongo_fail(m, job, &error);
	docs_fini(&d);
	return r;
}

/* ---- update, delete ---------------------------------------------------- */

/* {$set: doc} on the first match. */
static int update(struct mongo *m, struct job *job, mongoc_collection_t *coll)
{
	bson_t selector, doc, set = BSON_INITIALIZER;
	bson_error_t error;
	int r = OK;

	if (!read_arg(job, &selector, "selector"))
		return OK;
	if (!read_arg(job, &doc, "document")) {
		bson_destroy(&selector);
		return OK;
	}
	BSON_APPEND_DOCUMENT(&set, "$set", &doc);
	if (bson_empty(&selector) || bson_empty(&doc))
		r = wrong(job, "update needs a selector and a document that "
			       "are not empty");
	else if (mongoc_collection_update_one(coll, &selector, &set, NULL, NULL,
					      &error))
		pack_bool(&job->out, true);
	else
		r = mongo_fail(m, job, &error);
	bson_destroy(&set);
	bson_destroy(&doc);
	bson_destroy(&selector);
	return r;
}

/* All that match. */
static int delete (struct mongo *m, struct job *job, mongoc_collection_t *coll)
{
	bson_t selector;
	bson_error_t error;
	int r = OK;

	if (!read_arg(job, &selector, "selector"))
		return OK;
	if (mongoc_collection_delete_many(coll, &selector, NULL, NULL, &error))
		pack_bool(&job->out, true);
	else
		r = mongo_fail(m, job, &error);
	bson_destroy(&selector);
	return r;
}

/* ---- find -------------------------------------------------------------- */

/* The first document, or false. */
static int answer_one(struct mongo *m, struct job *job, mongoc_cursor_t *cursor)
{
	const bson_t *doc;
	bson_error_t error;
	int r = OK;

	if (mongoc_cursor_next(cursor, &doc))
		(void)!mongo_answer_doc(job, doc);
	else if (mongoc_cursor_error(cursor, &error))
		r = mongo_fail(m, job, &error);
	else
		pack_bool(&job->out, false);
	mongoc_cursor_destroy(cursor);
	return r;
}

/* The first documents come now, so that an error shows here. */
static int answer_cursor(struct mongo *m, struct job *job,
			 mongoc_cursor_t *cursor)
{
	const bson_t *ahead = NULL;
	bson_error_t error;
	struct buf name = {0};
	int r = OK;

	if (!mongoc_cursor_next(cursor, &ahead)) {
		if (mongoc_cursor_error(cursor, &error))
			r = mongo_fail(m, job, &error);
		mongoc_cursor_destroy(cursor);
		if (job->code != JOB_OK)
			return r;
		cursor = NULL;
		ahead = NULL;
	}
	if (mongo_cursor_add(m, cursor, ahead, &name) == OK)
		pack_text(&job->out, buf_slice(&name));
	else
		job_fail(job, JOB_UNAVAILABLE, "no memory");
	buf_fini(&name);
	return r;
}

static int find(struct mongo *m, struct job *job, mongoc_collection_t *coll)
{
	bool one = slice_is(job->op, "find_one");
	bson_t selector, opts = BSON_INITIALIZER;
	mongoc_read_prefs_t *prefs = NULL;
	mongoc_cursor_t *cursor;
	int r;

	if (!read_arg(job, &selector, "selector"))
		return OK;
	if (!read_options(job, &opts)) {
		r = wrong(job, "projector, skip or batchsize are of no use");
	} else {
		if (one) {
			BSON_APPEND_INT64(&opts, "limit", 1);
			prefs = mongoc_read_prefs_new(m->settings->read_mode);
		}
		cursor = mongoc_collection_find_with_opts(coll, &selector,
							  &opts, prefs);
		r = one ? answer_one(m, job, cursor)
			: answer_cursor(m, job, cursor);
		mongoc_read_prefs_destroy(prefs);
	}
	bson_destroy(&opts);
	bson_destroy(&selector);
	return r;
}

/* ---- all --------------------------------------------------------------- */

static const struct op {
	const char *name;
	uint32_t least; /* arguments */
	int (*run)(struct mongo *m, struct job *job, mongoc_collection_t *coll);
} ops[] = {
	{"find_one", 2, find}, {"find", 2, find},     {"insert", 2, insert},
	{"update", 3, update}, {"delete", 2, delete},
};

int mongo_op(struct mongo *m, struct job *job)
{
	mongoc_collection_t *coll;
	const struct op *op = NULL;
	int r;

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (slice_is(job->op, ops[i].name))
			op = &ops[i];
	if (!op || job->nargs < op->least)
		return wrong(job,
			     op ? "arguments are missing" : "no such function");
	coll = mongo_collection(m, cursor_text(&job->args));
	if (!coll)
		return wrong(job, "that is no name of a collection");
	r = op->run(m, job, coll);
	mongoc_collection_destroy(coll);
	return r;
}
