/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mysql_value: MessagePack values as parameters, and columns as MessagePack
 * values: what Emysql (provider mysql) and mysql-otp (mysql2) make of them.
 */
#include "gateway/provider/mysql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- parameters -------------------------------------------------------- */

static void bind_text(MYSQL_BIND *b, struct slice s)
{
	b->buffer_type = MYSQL_TYPE_STRING;
	b->buffer = s.n ? (void *)s.p : (void *)"";
	b->buffer_length = s.n;
}

/* Emysql writes words for what has no form in SQL; mysql-otp fails. */
static bool bind_word(const struct my *my, MYSQL_BIND *b, struct cursor *c)
{
	const char *word = "nil";

	if (!my->classic)
		return false;
	if (!cursor_nil(c))
		word = cursor_bool(c) ? "true" : "false";
	bind_text(b, slice_str(word));
	return !c->error;
}

static bool bind_one(struct my *my, unsigned i, struct cursor *c)
{
	MYSQL_BIND *b = &my->bind[i];

	*b = (MYSQL_BIND){0};
	switch (cursor_peek(c)) {
	case CURSOR_STR:
	case CURSOR_BIN:
		bind_text(b, cursor_text(c));
		break;
	case CURSOR_INT:
		my->number[i].i = cursor_int(c);
		b->buffer_type = MYSQL_TYPE_LONGLONG;
		b->buffer = &my->number[i];
		break;
	case CURSOR_FLOAT:
		my->number[i].d = cursor_number(c);
		b->buffer_type = MYSQL_TYPE_DOUBLE;
		b->buffer = &my->number[i];
		break;
	default:
		return bind_word(my, b, c);
	}
	return !c->error;
}

int my_params_read(struct my *my, struct job *job, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!bind_one(my, i, &job->args))
			return job_fail(job, JOB_BADARG,
					"parameter %u must be a string or a "
					"number",
					i + 1);
	return JOB_OK;
}

/* ---- columns ----------------------------------------------------------- */

bool my_is_decimal(const MYSQL_FIELD *field)
{
	return field->type == MYSQL_TYPE_DECIMAL ||
	       field->type == MYSQL_TYPE_NEWDECIMAL;
}

int my_bind_column(const struct my *my, const MYSQL_FIELD *field,
		   MYSQL_BIND *bind)
{
	switch (field->type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
	case MYSQL_TYPE_YEAR:
		bind->buffer_type = MYSQL_TYPE_LONGLONG;
		bind->is_unsigned = (field->flags & UNSIGNED_FLAG) != 0;
		return OK;
	case MYSQL_TYPE_FLOAT:
	case MYSQL_TYPE_DOUBLE:
		bind->buffer_type = MYSQL_TYPE_DOUBLE;
		return OK;
	case MYSQL_TYPE_DATE:
	case MYSQL_TYPE_NEWDATE:
	case MYSQL_TYPE_TIME:
	case MYSQL_TYPE_TIME2:
	case MYSQL_TYPE_DATETIME:
	case MYSQL_TYPE_DATETIME2:
	case MYSQL_TYPE_TIMESTAMP:
	case MYSQL_TYPE_TIMESTAMP2:
		bind->buffer_type = MYSQL_TYPE_STRING;
		return ERR_TYPE;
	case MYSQL_TYPE_BIT:
		bind->buffer_type = MYSQL_TYPE_BLOB;
		return my->classic || field->length % 8 == 0 ? OK : ERR_TYPE;
	default:
		bind->buffer_type = MYSQL_TYPE_BLOB;
		return OK;
	}
}

/* Six digits, as the server shows one. */
double my_round_float(double d)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", d);
	return strtod(text, NULL);
}

/* false: it is no integer that a number can hold. */
static bool pack_integer(struct buf *out, const char *text)
{
	unsigned long long u;
	long long i;
	char *end;

	errno = 0;
	i = strtoll(text, &end, 10);
	if (*end || end == text)
		return false;
	if (errno == 0) {
		pack_int(out, i);
		return true;
	}
	errno = 0;
	u = strtoull(text, &end, 10);
	if (text[0] == '-' || errno)
		return false;
	pack_uint(out, u);
	return true;
}

/* Digits of DECIMAL(P,S): its length counts the sign and the point too. */
static unsigned long precision(const MYSQL_FIELD *field)
{
	unsigned long extra = (field->flags & UNSIGNED_FLAG ? 0UL : 1UL) +
			      (field->decimals ? 1UL : 0UL);

	return field->length > extra ? field->length - extra : 0;
}

/* Emysql: a float always. mysql-otp: a number where none of the digits that
 * the column may have is lost, else the text. */
void my_pack_decimal(struct buf *out, const struct my *my,
		     const MYSQL_FIELD *field, struct slice text)
{
	char copy[80];

	if (text.n >= sizeof(copy)) {
		pack_text(out, text);
		return;
	}
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (my->classic)
		pack_double(out, strtod(copy, NULL));
	else if (field->decimals == 0 && pack_integer(out, copy))
		return;
	else if (field->decimals > 0 && precision(field) <= 15)
		pack_double(out, strtod(copy, NULL));
	else
		pack_text(out, text);
}
