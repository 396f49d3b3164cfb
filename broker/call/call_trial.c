/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_trial: answers for a loading that must have no effect and has no data:
 * no database is open, no server is asked. A table from method to answer.
 */
#include "broker/call/call.h"
#include "proto/pack.h"

enum made_up { REFUSED, NIL, TRUE, FALSE, LIST, MAP, ABSENT, POOL };

static const struct {
	const char *method;
	enum made_up answer;
} answers[] = {
	{"kv.get", NIL},
	{"kv.list", MAP},
	{"artifact.stat", NIL},
	{"artifact.list", LIST},
	{"data.list", LIST},
	{"data.exists", FALSE},
	{"ets.ensure_table", TRUE},
	{"ets.insert", TRUE},
	{"ets.insert_new", TRUE},
	{"ets.lookup", LIST},
	{"ets.delete", TRUE},
	{"ets.delete_all", TRUE},
	{"cache.insert", LIST},
	{"cache.match_publish", FALSE},
	{"cache.match_subscribe", FALSE},
	{"mqtt.disconnect", ABSENT},
	{"mqtt.reauthorize", ABSENT},
	{"mqtt.publish", ABSENT},
	{"provider.call", POOL},
};

/* [run, provider, op, ...]: a pool is as good as made, its servers unknown. */
static bool makes_pool(const struct rpc *rpc)
{
	struct cursor c = cursor_of(rpc->params);

	cursor_array(&c);
	cursor_skip(&c);
	cursor_skip(&c);
	return slice_is(cursor_text(&c), "ensure_pool");
}

static enum made_up made_up(const struct rpc *rpc)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (slice_is(rpc->method, answers[i].method))
			return answers[i].answer;
	return REFUSED;
}

int call_trial(struct call_house *h, struct script *script, struct child *c,
	       const struct rpc *rpc, bool *refused)
{
	enum made_up answer = made_up(rpc);
	struct buf *out;

	if (slice_is(rpc->method, "source.get"))
		return call_answer(h, script, c, &c->load, rpc);
	if (answer == POOL)
		answer = makes_pool(rpc) ? TRUE : REFUSED;
	if (answer == REFUSED) {
		*refused = true;
		child_refuse(c, &c->load, rpc->id, CODE_UNAVAILABLE,
			     "unavailable: this is a trial of loading, without "
			     "data and servers");
		return OK;
	}
	out = child_answer(c, &c->load, rpc->id);
	if (answer == NIL)
		pack_nil(out);
	else if (answer == TRUE || answer == FALSE)
		pack_bool(out, answer == TRUE);
	else if (answer == LIST)
		pack_array(out, 0);
	else if (answer == MAP)
		pack_map(out, 0);
	else
		pack_cstr(out, "not_found");
	return OK;
}
