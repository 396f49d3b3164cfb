/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postgres_value: MessagePack values as parameters, and PostgreSQL's text as
 * MessagePack values. Knows no connection.
 *
 * The numbers are the fixed object ids of the built-in types (pg_type).
 */
#include "gateway/provider/postgres.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	BOOL = 16,
	BYTEA = 17,
	NAME = 19,
	INT8 = 20,
	INT2 = 21,
	INT4 = 23,
	TEXT = 25,
	JSON = 114,
	XML = 142,
	FLOAT4 = 700,
	FLOAT8 = 701,
	UNKNOWN = 705,
	BPCHAR = 1042,
	VARCHAR = 1043,
	NUMERIC = 1700,
	UUID = 2950,
	JSONB = 3802,
};

/* ---- parameters -------------------------------------------------------- */

/* Types whose binary form is the very bytes of the text. */
static bool is_bytes(Oid type)
{
	switch (type) {
	case BYTEA:
	case NAME:
	case TEXT:
	case JSON:
	case XML:
	case UNKNOWN:
	case BPCHAR:
	case VARCHAR:
		return true;
	default:
		return false;
	}
}

/* The shortest text that reads back as the same number. */
static void add_float(struct buf *out, double d)
{
	char text[32];

	if (isnan(d) || isinf(d)) {
		buf_addf(out, "%s",
			 isnan(d) ? "NaN"
			 : d > 0  ? "Infinity"
				  : "-Infinity");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	buf_add_slice(out, slice_str(text));
}

/* A number, boolean or nil. false: it is something else. */
static bool add_plain(struct buf *out, struct cursor *c)
{
	switch (cursor_peek(c)) {
	case CURSOR_INT:
		buf_addf(out, "%" PRId64, cursor_int(c));
		return true;
	case CURSOR_FLOAT:
		add_float(out, cursor_number(c));
		return true;
	case CURSOR_BOOL:
		buf_addf(out, "%s", cursor_bool(c) ? "true" : "false");
		return true;
	default:
		return false;
	}
}

static bool has_nul(struct slice s)
{
	return s.n && memchr(s.p, 0, s.n);
}

static bool add_quoted(struct buf *out, struct slice s)
{
	if (has_nul(s))
		return false;
	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_add_byte(out, '\\');
		buf_add_byte(out, s.p[i]);
	}
	buf_add_byte(out, '"');
	return true;
}

/* {1,2,"three"}: an array as PostgreSQL writes it. */
static bool add_array(struct buf *out, struct cursor *c, unsigned depth)
{
	uint32_t n = cursor_array(c);
	bool good = depth < PG_ARRAY_DEPTH;

	buf_add_byte(out, '{');
	for (uint32_t i = 0; i < n && good && !c->error; i++) {
		enum cursor_type type = cursor_peek(c);

		if (i)
			buf_add_byte(out, ',');
		if (cursor_nil(c))
			buf_addf(out, "NULL");
		else if (type == CURSOR_ARRAY)
			good = add_array(out, c, depth + 1);
		else if (type == CURSOR_STR || type == CURSOR_BIN)
			good = add_quoted(out, cursor_text(c));
		else
			good = add_plain(out, c);
	}
	buf_add_byte(out, '}');
	return good && !c->error;
}

/* An empty table may come as a map. */
static bool add_table(struct buf *out, struct cursor *c)
{
	if (cursor_peek(c) == CURSOR_ARRAY)
		return add_array(out, c, 0);
	buf_addf(out, "{}");
	return cursor_map(c) == 0 && !c->error;
}

static bool read_one(struct pg_params *p, int i, Oid type, struct cursor *c)
{
	enum cursor_type kind = cursor_peek(c);
	struct slice s;

	p->value[i] = NULL;
	p->at[i] = p->text.n;
	p->format[i] = 0;
	if (kind == CURSOR_STR || kind == CURSOR_BIN) {
		s = cursor_text(c);
		if (is_bytes(type)) {
			p->value[i] = s.n ? (const char *)s.p : "";
			p->length[i] = (int)s.n;
			p->format[i] = 1;
			return true;
		}
		if (has_nul(s))
			return false;
		buf_add_slice(&p->text, s);
	} else if (cursor_nil(c)) {
		buf_addf(&p->text, "nil"); /* as VerneMQ has it */
	} else if (!add_plain(&p->text, c) && !add_table(&p->text, c)) {
		return false;
	}
	buf_add_byte(&p->text, 0);
	return !c->error;
}

int pg_params_read(struct pg_params *p, const Oid *types, struct job *job)
{
	buf_clear(&p->text);
	for (int i = 0; i < p->n; i++)
		if (!read_one(p, i, types[i], &job->args))
			return job_fail(job, JOB_BADARG,
					"parameter %d is nothing that the "
					"statement can take there",
					i + 1);
	if (buf_error(&p->text))
		return job_fail(job, JOB_TOO_LARGE, "the parameters");
	for (int i = 0; i < p->n; i++)
		if (!p->value[i])
			p->value[i] = (const char *)p->text.p + p->at[i];
	return JOB_OK;
}

/* ---- fields ------------------------------------------------------------ */

static Oid element_of(Oid type)
{
	static const Oid arrays[][2] = {
		{1000, BOOL},	{1001, BYTEA},	{1005, INT2},	 {1007, INT4},
		{1009, TEXT},	{1014, BPCHAR}, {1015, VARCHAR}, {1016, INT8},
		{1021, FLOAT4}, {1022, FLOAT8}, {1231, NUMERIC}, {199, JSON},
		{2951, UUID},	{3807, JSONB},	{1115, 1114},	 {1182, 1082},
		{1183, 1083},	{1185, 1184},	{1187, 1186},	 {1270, 1266},
		{1041, 869},	{651, 650},	{1017, 600},
	};

	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		if (arrays[i][0] == type)
			return arrays[i][1];
	return 0;
}

/* Dates and times, addresses, points, ranges: VerneMQ's scripts never could
 * have them, and must cast them to text. */
static bool is_refused(Oid type)
{
	static const Oid refused[] = {
		600,  650,  774,  829,	869,  1082, 1083, 1114,
		1184, 1186, 1266, 3904, 3908, 3910, 3912, 3926,
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (refused[i] == type)
			return true;
	return false;
}

static int hex(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
				      : 0;
}

static void pack_bytea(struct buf *out, struct slice s)
{
	uint8_t *room;
	size_t n;

	if (s.n < 2 || s.p[0] != '\\' || s.p[1] != 'x') { /* bytea_output */
		uint8_t *plain = PQunescapeBytea(s.p, &n);

		pack_bin(out, slice_of(plain, plain ? n : 0));
		PQfreemem(plain);
		return;
	}
	n = s.n / 2 - 1;
	room = malloc(n + 1);
	if (!room) {
		out->error = ERR_NOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++)
		room[i] = (uint8_t)(hex(s.p[2 + 2 * i]) << 4 |
				    hex(s.p[3 + 2 * i]));
	pack_bin(out, slice_of(room, n));
	free(room);
}

/* Text from libpq has a NUL behind it; so have elements of arrays. */
static int pack_one(struct buf *out, Oid type, struct slice s)
{
	const char *text = (const char *)s.p;

	switch (type) {
	case BOOL:
		pack_bool(out, s.n && s.p[0] == 't');
		return OK;
	case INT2:
	case INT4:
	case INT8:
		pack_int(out, strtoll(text, NULL, 10));
		return OK;
	case FLOAT4:
	case FLOAT8:
		pack_double(out, strtod(text, NULL));
		return OK;
	case BYTEA:
		pack_bytea(out, s);
		return OK;
	default:
		if (is_refused(type))
			return ERR_TYPE;
		pack_text(out, s);
		return OK;
	}
}

/* One level of an array: text from behind '{' to its '}'. */
struct level {
	const uint8_t *p, *end;
	Oid element;
	struct buf word; /* of the element that is read */
};

/* Behind an element that begins at p. */
static const uint8_t *skip(const uint8_t *p, const uint8_t *end)
{
	unsigned depth = 0;
	bool quoted = false;

	for (; p < end; p++) {
		if (*p == '\\')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (*p == '{')
			depth++;
		else if ((*p == '}' || *p == ',') && depth == 0)
			break;
		else if (*p == '}')
			depth--;
	}
	return p < end ? p : end;
}

static uint32_t count(const uint8_t *p, const uint8_t *end)
{
	uint32_t n = 0;

	if (p < end && *p == '}')
		return 0;
	for (; p < end; p++) {
		p = skip(p, end);
		n++;
		if (p < end && *p == '}')
			break;
	}
	return n;
}

static int pack_element(struct buf *out, struct level *l, const uint8_t *end)
{
	bool quoted = *l->p == '"';

	if (!quoted && end - l->p == 4 && memcmp(l->p, "NULL", 4) == 0) {
		pack_nil(out);
		return OK;
	}
	buf_clear(&l->word);
	for (const uint8_t *p = l->p; p < end; p++) {
		if (*p == '\\' && p + 1 < end)
			p++;
		else if (*p == '"')
			continue;
		buf_add_byte(&l->word, *p);
	}
	buf_add_byte(&l->word, 0);
	if (buf_error(&l->word))
		return buf_error(&l->word);
	return pack_one(out, l->element, slice_of(l->word.p, l->word.n - 1));
}

static int pack_level(struct buf *out, struct level *l, unsigned depth)
{
	uint32_t n = count(l->p, l->end);
	int r = OK;

	pack_array(out, n);
	for (uint32_t i = 0; i < n && r == OK; i++) {
		const uint8_t *end = skip(l->p, l->end);

		if (l->p == l->end || depth > PG_ARRAY_DEPTH)
			return ERR_FORMAT;
		if (*l->p == '{') {
			l->p++;
			r = pack_level(out, l, depth + 1);
		} else {
			r = pack_element(out, l, end);
		}
		l->p = end < l->end ? end + 1 : end;
	}
	return r;
}

static int pack_array_text(struct buf *out, Oid element, struct slice s)
{
	const uint8_t *open = memchr(s.p, '{', s.n); /* behind "[0:1]=" */
	struct level l = {.element = element};
	int r;

	if (!open)
		return ERR_FORMAT;
	l.p = open + 1;
	l.end = s.p + s.n;
	r = pack_level(out, &l, 0);
	buf_fini(&l.word);
	return r;
}

int pg_pack_field(struct buf *out, Oid type, struct slice text)
{
	Oid element = element_of(type);

	return element ? pack_array_text(out, element, text)
		       : pack_one(out, type, text);
}
