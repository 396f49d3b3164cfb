/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_ets: ets.* of workers: the tables that scripts of the MQTT dialect
 * share. All at once, whatever becomes of the run.
 */
#include <stdio.h>

#include "broker/call/call.h"
#include "broker/ets.h"
#include "proto/pack.h"

/* For an ERR_* of ets.h. */
static int refuse(struct question *q, int error, struct slice name)
{
	char text[128];

	switch (error) {
	case ERR_ABSENT:
		snprintf(text, sizeof(text), "there is no table '%.*s'",
			 (int)(name.n < 64 ? name.n : 64),
			 name.n ? (const char *)name.p : "");
		return question_badarg(q, slice_str(text));
	case ERR_TYPE:
		return question_badarg(q, slice_str("a table with string keys "
						    "was expected, and at "
						    "least one of them"));
	case ERR_RANGE:
		return question_badarg(q, slice_str("a name, a key or a value "
						    "is too long, or nested "
						    "too deep"));
	case ERR_FULL:
		return question_refuse(q, CODE_TOO_LARGE,
				       "too_large: mqtt.tables_bytes is used "
				       "up");
	default:
		return question_refuse(q, CODE_OVERLOADED, "no memory");
	}
}

static int done(struct question *q, int r, struct slice name)
{
	if (r < 0)
		return refuse(q, r, name);
	pack_bool(question_answer(q), true);
	return OK;
}

int call_ets_ensure_table(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	enum ets_type type = ets_type_parse(cursor_text(&q->args));

	if (q->args.error)
		return ERR_FORMAT;
	if (type == ETS_TYPES)
		return question_badarg(
			q, slice_str("the type of a table is set, ordered_set, "
				     "bag or duplicate_bag"));
	return done(q,
		    ets_ensure(q->house->ets, name, type,
			       slice_str(q->script->name)),
		    name);
}

int call_ets_insert(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	struct slice map = cursor_raw(&q->args);

	if (q->args.error)
		return ERR_FORMAT;
	return done(q, ets_insert(q->house->ets, name, map), name);
}

int call_ets_insert_new(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	struct slice map = cursor_raw(&q->args);
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	r = ets_insert_new(q->house->ets, name, map);
	if (r < 0)
		return refuse(q, r, name);
	pack_bool(question_answer(q), r > 0);
	return OK;
}

int call_ets_lookup(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	struct slice key = cursor_text(&q->args);
	struct buf values = {0};
	int r;

	if (q->args.error)
		return ERR_FORMAT;
	r = ets_lookup(q->house->ets, name, key, &values);
	if (r == OK)
		pack_raw(question_answer(q), buf_slice(&values));
	else if (r == ERR_RANGE)
		question_refuse(q, CODE_TOO_LARGE,
				"too_large: the values of the key");
	else
		refuse(q, r, name);
	buf_fini(&values);
	return OK;
}

int call_ets_delete(struct question *q)
{
	struct slice name = cursor_text(&q->args);
	struct slice key = cursor_text(&q->args);

	if (q->args.error)
		return ERR_FORMAT;
	return done(q, ets_delete(q->house->ets, name, key), name);
}

int call_ets_delete_all(struct question *q)
{
	struct slice name = cursor_text(&q->args);

	if (q->args.error)
		return ERR_FORMAT;
	return done(q, ets_delete_all(q->house->ets, name), name);
}
