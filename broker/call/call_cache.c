/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_cache: cache.insert and cache.match_* of workers: auth_cache in Lua.
 */
#include "broker/call/call.h"
#include "broker/mqtt.h"
#include "proto/acl_rule.h"
#include "proto/pack.h"

struct warnings {
	struct buf lines;
	uint32_t n;
};

static void on_warning(void *arg, struct slice line)
{
	struct warnings *w = arg;

	pack_text(&w->lines, line);
	w->n++;
}

static int refuse(struct question *q, int error)
{
	switch (error) {
	case ERR_TYPE:
		return question_badarg(
			q, slice_str("a list of rules is no array of tables"));
	case ERR_RANGE:
		return question_badarg(
			q, slice_str("an entry is too large, or has too many "
				     "rules"));
	default:
		return question_refuse(q, CODE_OVERLOADED, "no memory");
	}
}

int call_cache_insert(struct question *q)
{
	struct warnings w = {0};
	struct acl_source src;
	struct buf *out;
	int r;

	src = (struct acl_source){.mountpoint = cursor_text(&q->args)};
	src.client_id = cursor_text(&q->args);
	src.username = cursor_text(&q->args);
	src.publish = cursor_raw(&q->args);
	src.subscribe = cursor_raw(&q->args);
	src.ttl_ms = cursor_uint(&q->args);
	if (q->args.error)
		return ERR_FORMAT;
	r = mqtt_insert(q->house->mqtt, question_event(q->run), &src,
			on_warning, &w);
	if (r < 0) {
		refuse(q, r);
	} else {
		out = question_answer(q);
		pack_array(out, buf_error(&w.lines) < 0 ? 0 : w.n);
		if (buf_error(&w.lines) == OK)
			pack_raw(out, buf_slice(&w.lines));
	}
	buf_fini(&w.lines);
	return OK;
}

/* What a match has found; ERR_FORMAT: the topic is none. */
static int answer(struct question *q, int found, struct slice mods)
{
	if (found < 0)
		return question_badarg(q, slice_str("no valid topic"));
	if (found && mods.n)
		pack_raw(question_answer(q), mods);
	else
		pack_bool(question_answer(q), found);
	return OK;
}

int call_cache_match_publish(struct question *q)
{
	struct slice mountpoint = cursor_text(&q->args);
	struct slice client_id = cursor_text(&q->args);
	struct slice topic = cursor_text(&q->args), mods = {0};
	uint64_t qos = cursor_uint(&q->args);
	uint64_t payload = cursor_uint(&q->args);
	bool retain = cursor_bool(&q->args);
	const struct acl *acl;
	int r = 0;

	if (q->args.error)
		return ERR_FORMAT;
	if (!acl_is_topic(topic))
		return answer(q, ERR_FORMAT, mods);
	acl = auth_cache_find(q->house->mqtt->cache, mountpoint, client_id,
			      false);
	if (acl && qos <= 2)
		r = acl_publish_match(acl, topic, (unsigned)qos, payload,
				      retain, &mods);
	return answer(q, r, mods);
}

int call_cache_match_subscribe(struct question *q)
{
	struct slice mountpoint = cursor_text(&q->args);
	struct slice client_id = cursor_text(&q->args);
	struct slice filter = cursor_text(&q->args), mods = {0};
	uint64_t qos = cursor_uint(&q->args);
	const struct acl *acl;
	int r = 0;

	if (q->args.error)
		return ERR_FORMAT;
	if (!acl_is_filter(filter, 0))
		return answer(q, ERR_FORMAT, mods);
	acl = auth_cache_find(q->house->mqtt->cache, mountpoint, client_id,
			      false);
	if (acl && qos <= 2)
		r = acl_subscribe_match(acl, filter, (unsigned)qos, &mods);
	return answer(q, r, mods);
}
