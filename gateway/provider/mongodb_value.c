/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mongodb_value: MessagePack maps as documents, and back. Knows libbson only.
 */
#include "gateway/provider/mongodb.h"

static const char objid[] = "vmq-objid";

enum { OBJID = sizeof(objid) - 1, OID_BYTES = 12 };

/* ---- to BSON ----------------------------------------------------------- */

/* Where a value goes: into doc, under key. */
struct slot {
	bson_t *doc;
	struct slice key;
	unsigned depth;
};

static int read_value(struct cursor *c, struct slot at);

static int read_pairs(struct cursor *c, bson_t *doc, unsigned depth)
{
	uint32_t n = cursor_map(c);
	int r = OK;

	while (n-- > 0 && r == OK) {
		struct slice key = cursor_text(c);

		if (c->error || (key.n && memchr(key.p, 0, key.n)))
			return ERR_TYPE;
		r = read_value(c, (struct slot){doc, key, depth});
	}
	return c->error ? ERR_TYPE : r;
}

static int read_elements(struct cursor *c, bson_t *doc, unsigned depth)
{
	uint32_t n = cursor_array(c);
	char room[16];
	const char *key;
	int r = OK;

	for (uint32_t i = 0; i < n && r == OK; i++) {
		size_t len = bson_uint32_to_string(i, &key, room, sizeof(room));

		r = read_value(c,
			       (struct slot){doc, slice_of(key, len), depth});
	}
	return c->error ? ERR_TYPE : r;
}

static int read_nested(struct cursor *c, struct slot at)
{
	const char *key = (const char *)at.key.p;
	struct cursor look = *c;
	bson_t child;
	bool array;
	int r;

	/* An empty table is an empty array. */
	array = cursor_peek(c) == CURSOR_ARRAY || cursor_map(&look) == 0;
	if (at.depth >= MONGO_DEPTH)
		return ERR_TYPE;
	if (array ? !bson_append_array_begin(at.doc, key, (int)at.key.n, &child)
		  : !bson_append_document_begin(at.doc, key, (int)at.key.n,
						&child))
		return ERR_TYPE;
	if (cursor_peek(c) == CURSOR_ARRAY)
		r = read_elements(c, &child, at.depth + 1);
	else
		r = read_pairs(c, &child, at.depth + 1);
	if (array)
		bson_append_array_end(at.doc, &child);
	else
		bson_append_document_end(at.doc, &child);
	return r;
}

static bool append_int(struct slot at, int64_t i)
{
	const char *key = (const char *)at.key.p;

	if (i >= INT32_MIN && i <= INT32_MAX)
		return bson_append_int32(at.doc, key, (int)at.key.n,
					 (int32_t)i);
	return bson_append_int64(at.doc, key, (int)at.key.n, i);
}

static int read_value(struct cursor *c, struct slot at)
{
	const char *key = (const char *)at.key.p;
	int len = (int)at.key.n;
	struct slice s;
	bool good;

	switch (cursor_peek(c)) {
	case CURSOR_NIL:
		cursor_skip(c);
		good = bson_append_null(at.doc, key, len);
		break;
	case CURSOR_BOOL:
		good = bson_append_bool(at.doc, key, len, cursor_bool(c));
		break;
	case CURSOR_INT:
		good = append_int(at, cursor_int(c));
		break;
	case CURSOR_FLOAT:
		good = bson_append_double(at.doc, key, len, cursor_number(c));
		break;
	case CURSOR_STR:
	case CURSOR_BIN:
		s = cursor_text(c);
		good = bson_append_utf8(at.doc, key, len,
					s.n ? (const char *)s.p : "", (int)s.n);
		break;
	case CURSOR_ARRAY:
	case CURSOR_MAP:
		return read_nested(c, at);
	default:
		return ERR_TYPE;
	}
	return good && !c->error ? OK : ERR_TYPE;
}

/* "_id" with the text of an ObjectId? Consumes the pair then. */
static bool read_id(struct cursor *c, bson_t *doc)
{
	struct cursor look = *c;
	struct slice key = cursor_text(&look), s = cursor_text(&look);
	bson_oid_t oid;

	if (look.error || !slice_is(key, "_id") || s.n != OBJID + OID_BYTES ||
	    memcmp(s.p, objid, OBJID) != 0)
		return false;
	bson_oid_init_from_data(&oid, s.p + OBJID);
	*c = look;
	return bson_append_oid(doc, "_id", 3, &oid);
}

int mongo_read_doc(struct cursor *c, bson_t *doc, bool id)
{
	uint32_t n;

	if (cursor_peek(c) == CURSOR_ARRAY) /* an empty table */
		return cursor_array(c) == 0 && !c->error ? OK : ERR_TYPE;
	n = cursor_map(c);
	while (n-- > 0 && !c->error) {
		struct slice key;
		int r;

		if (id && read_id(c, doc))
			continue;
		key = cursor_text(c);
		if (c->error || (key.n && memchr(key.p, 0, key.n)))
			return ERR_TYPE;
		r = read_value(c, (struct slot){doc, key, 1});
		if (r < 0)
			return r;
	}
	return c->error ? ERR_TYPE : OK;
}

/* ---- from BSON --------------------------------------------------------- */

/* What is on the way down, and where it ended. */
struct walk {
	struct buf *out;
	const char *field; /* that was refused */
};

static int pack_value(struct walk *w, const bson_iter_t *it, unsigned depth);

static uint32_t count(const bson_iter_t *from)
{
	bson_iter_t it = *from;
	uint32_t n = 0;

	while (bson_iter_next(&it))
		n++;
	return n;
}

static int pack_pairs(struct walk *w, bson_iter_t *it, unsigned depth)
{
	int r = OK;

	pack_map(w->out, count(it));
	while (r == OK && bson_iter_next(it)) {
		pack_text(w->out,
			  slice_of(bson_iter_key(it), bson_iter_key_len(it)));
		r = pack_value(w, it, depth);
	}
	return r;
}

static int pack_elements(struct walk *w, bson_iter_t *it, unsigned depth)
{
	int r = OK;

	pack_array(w->out, count(it));
	while (r == OK && bson_iter_next(it))
		r = pack_value(w, it, depth);
	return r;
}

static int pack_nested(struct walk *w, const bson_iter_t *it, unsigned depth)
{
	bson_iter_t child;

	if (depth >= MONGO_DEPTH)
		return ERR_RANGE;
	if (!bson_iter_recurse(it, &child))
		return ERR_FORMAT;
	return BSON_ITER_HOLDS_ARRAY(it) ? pack_elements(w, &child, depth + 1)
					 : pack_pairs(w, &child, depth + 1);
}

/* Only as the document's own _id. */
static int pack_id(struct walk *w, const bson_iter_t *it, unsigned depth)
{
	uint8_t text[OBJID + OID_BYTES];
	bson_subtype_t subtype;
	const uint8_t *data;
	uint32_t n;

	if (depth > 1 || strcmp(bson_iter_key(it), "_id") != 0) {
		w->field = bson_iter_key(it);
		return ERR_TYPE;
	}
	if (BSON_ITER_HOLDS_BINARY(it)) {
		bson_iter_binary(it, &subtype, &n, &data);
		pack_text(w->out, slice_of(data, n));
		return OK;
	}
	memcpy(text, objid, OBJID);
	memcpy(text + OBJID, bson_iter_oid(it)->bytes, OID_BYTES);
	pack_text(w->out, slice_of(text, sizeof(text)));
	return OK;
}

static int pack_value(struct walk *w, const bson_iter_t *it, unsigned depth)
{
	const char *text;
	uint32_t n;

	switch (bson_iter_type(it)) {
	case BSON_TYPE_DOUBLE:
		pack_double(w->out, bson_iter_double(it));
		return OK;
	case BSON_TYPE_UTF8:
		text = bson_iter_utf8(it, &n);
		pack_text(w->out, slice_of(text, n));
		return OK;
	case BSON_TYPE_SYMBOL:
		text = bson_iter_symbol(it, &n);
		pack_text(w->out, slice_of(text, n));
		return OK;
	case BSON_TYPE_DOCUMENT:
	case BSON_TYPE_ARRAY:
		return pack_nested(w, it, depth);
	case BSON_TYPE_OID:
	case BSON_TYPE_BINARY:
		return pack_id(w, it, depth);
	case BSON_TYPE_BOOL:
		pack_bool(w->out, bson_iter_bool(it));
		return OK;
	case BSON_TYPE_DATE_TIME: /* ms since 1970 */
		pack_int(w->out, bson_iter_date_time(it));
		return OK;
	case BSON_TYPE_INT32:
		pack_int(w->out, bson_iter_int32(it));
		return OK;
	case BSON_TYPE_INT64:
		pack_int(w->out, bson_iter_int64(it));
		return OK;
	case BSON_TYPE_NULL:
	case BSON_TYPE_UNDEFINED:
		pack_nil(w->out);
		return OK;
	default:
		w->field = bson_iter_key(it);
		return ERR_TYPE;
	}
}

int mongo_pack_doc(struct buf *out, const bson_t *doc, const char **field)
{
	struct walk w = {.out = out};
	bson_iter_t it;
	int r = ERR_FORMAT;

	/* mongodb_check.c has looked at it. */
	if (bson_iter_init(&it, doc))
		r = pack_pairs(&w, &it, 1);
	*field = w.field;
	return r;
}

int mongo_answer_doc(struct job *job, const bson_t *doc)
{
	const char *field;
	int r = mongo_pack_doc(&job->out, doc, &field);

	if (r == ERR_TYPE)
		job_fail(job, JOB_BADARG,
			 "field %s is of a type that scripts do not get",
			 field);
	else if (r == ERR_RANGE)
		job_fail(job, JOB_TOO_LARGE, "a document nests over %d deep",
			 MONGO_DEPTH);
	else if (r < 0)
		job_fail(job, JOB_UNAVAILABLE, "a broken document came");
	else if (buf_error(&job->out) != OK)
		job_fail(job, JOB_TOO_LARGE, "the answer is over %d bytes",
			 PROVIDER_MAX_BYTES);
	return job->code == JOB_OK ? OK : ERR_TYPE;
}
