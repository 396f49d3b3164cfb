/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mysql_rows: reading the answer of an executed statement, row by row, so that
 * an endless one is stopped at the limit.
 */
#include "gateway/provider/mysql.h"

#include <stdlib.h>

/* Where libmariadb puts a field of the row that was fetched. Numbers come into
 * `number`; of anything else only the length comes, and the bytes are fetched
 * when there is room for them. */
struct cell {
	union my_number number;
	unsigned long length;
	my_bool null, error;
	bool refused;
};

struct answer {
	struct my *my;
	struct job *job;
	MYSQL_STMT *stmt;
	MYSQL_BIND *bind;
	struct cell *cell;
	unsigned columns;
	uint32_t rows;
	size_t head;	  /* of the array, in job->out */
	struct buf bytes; /* of the field that is read */
};

static int too_large(struct job *job)
{
	job_fail(job, JOB_TOO_LARGE, "the answer is over %d rows or %d bytes",
		 PROVIDER_MAX_ROWS, PROVIDER_MAX_BYTES);
	return ERR_CLOSED;
}

static void bind_columns(struct answer *a)
{
	for (unsigned i = 0; i < a->columns; i++) {
		MYSQL_BIND *b = &a->bind[i];
		struct cell *cell = &a->cell[i];

		cell->refused =
			my_bind_column(a->my, &a->stmt->fields[i], b) < 0;
		b->length = &cell->length;
		b->is_null = &cell->null;
		b->error = &cell->error;
		b->buffer = &cell->number;
		if (b->buffer_type == MYSQL_TYPE_LONGLONG ||
		    b->buffer_type == MYSQL_TYPE_DOUBLE)
			b->buffer_length = sizeof(cell->number);
	}
}

static int add_bytes(struct answer *a, unsigned i)
{
	const MYSQL_FIELD *field = &a->stmt->fields[i];
	unsigned long length = a->cell[i].length;
	MYSQL_BIND b = {.buffer_type = a->bind[i].buffer_type,
			.buffer_length = length};
	uint8_t *room;

	buf_clear(&a->bytes);
	if (length > PROVIDER_MAX_BYTES ||
	    buf_reserve(&a->bytes, length + 1, &room) < 0)
		return ERR_RANGE;
	b.buffer = room;
	if (length && mysql_stmt_fetch_column(a->stmt, &b, i, 0) != 0)
		return ERR_RANGE;
	if (my_is_decimal(field))
		my_pack_decimal(&a->job->out, a->my, field,
				slice_of(room, length));
	else
		pack_text(&a->job->out, slice_of(room, length));
	return OK;
}

static int add_field(struct answer *a, unsigned i)
{
	const MYSQL_FIELD *field = &a->stmt->fields[i];
	const struct cell *cell = &a->cell[i];
	struct buf *out = &a->job->out;

	pack_text(out, slice_of(field->name, field->name_length));
	if (cell->null) {
		pack_nil(out);
		return OK;
	}
	if (cell->refused)
		return ERR_TYPE;
	switch (a->bind[i].buffer_type) {
	case MYSQL_TYPE_LONGLONG:
		if (a->bind[i].is_unsigned)
			pack_uint(out, (uint64_t)cell->number.i);
		else
			pack_int(out, cell->number.i);
		return OK;
	case MYSQL_TYPE_DOUBLE:
		pack_double(out, field->type == MYSQL_TYPE_FLOAT
					 ? my_round_float(cell->number.d)
					 : cell->number.d);
		return OK;
	default:
		return add_bytes(a, i);
	}
}

static int add_row(struct answer *a)
{
	struct job *job = a->job;
	int r;

	if (++a->rows > PROVIDER_MAX_ROWS)
		return too_large(job);
	if (job->code != JOB_OK) /* of a column that was refused */
		return OK;
	pack_map(&job->out, a->columns);
	for (unsigned i = 0; i < a->columns; i++) {
		r = add_field(a, i);
		if (r == ERR_TYPE) {
			const char *name = a->stmt->fields[i].name;

			job_fail(job, JOB_BADARG,
				 "column %s has a type that scripts do not "
				 "get: cast it to text (CAST(%s AS CHAR))",
				 name, name);
			return OK;
		}
		if (r < 0)
			return too_large(job);
	}
	return buf_error(&job->out) ? too_large(job) : OK;
}

static int read_rows(struct answer *a)
{
	int got;

	if (mysql_stmt_bind_result(a->stmt, a->bind) != 0)
		return my_refuse_stmt(a->my, a->job, a->stmt);
	while ((got = my_fetch_stmt(a->my, a->stmt)) == 0 ||
	       got == MYSQL_DATA_TRUNCATED)
		if (add_row(a) < 0)
			return ERR_CLOSED;
	if (got != MYSQL_NO_DATA)
		return my_refuse_stmt(a->my, a->job, a->stmt);
	if (a->job->code == JOB_OK)
		for (int i = 0; i < 4; i++)
			a->job->out.p[a->head + 1 + (size_t)i] =
				(uint8_t)(a->rows >> (24 - 8 * i));
	return OK;
}

static int answer_rows(struct answer *a)
{
	/* array 32, so that the count can be written when it is known */
	static const uint8_t head[5] = {0xdd};
	int r = ERR_CLOSED;

	a->bind = calloc(a->columns, sizeof(*a->bind));
	a->cell = calloc(a->columns, sizeof(*a->cell));
	if (a->bind && a->cell) {
		bind_columns(a);
		a->head = a->job->out.n;
		buf_add(&a->job->out, head, sizeof(head));
		r = read_rows(a);
	} else {
		job_fail(a->job, JOB_UNAVAILABLE, "no memory");
	}
	buf_fini(&a->bytes);
	free(a->bind);
	free(a->cell);
	return r;
}

/* A procedure gives several; the first counts. */
static int drop_results(struct my *my, struct job *job, MYSQL_STMT *stmt)
{
	int got;

	my_free_result(my, stmt);
	while (mysql_stmt_more_results(stmt)) {
		got = my_next_result(my, stmt);
		if (got > 0)
			return my_refuse_stmt(my, job, stmt);
		if (got < 0)
			break;
		my_free_result(my, stmt);
	}
	if (my->late || my->endless)
		return my_refuse_stmt(my, job, stmt);
	return OK;
}

int my_answer(struct my *my, struct job *job, MYSQL_STMT *stmt)
{
	struct answer a = {.my = my,
			   .job = job,
			   .stmt = stmt,
			   .columns = mysql_stmt_field_count(stmt)};
	int r;

	if (a.columns == 0) {
		pack_bool(&job->out, true);
		return OK;
	}
	r = answer_rows(&a);
	return r < 0 ? r : drop_results(my, job, stmt);
}
