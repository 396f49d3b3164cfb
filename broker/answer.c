/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer: shapes of PROTOCOL.md 2, 3 and 5.
 */
#include "broker/answer.h"

#include "broker/mqtt.h"
#include "proto/mods.h"
#include "proto/pack.h"
#include "proto/rpc.h"

#define EXHAUSTED "plugin_chain_exhausted"

static void pack_pair(struct buf *out, const char *key, const char *value)
{
	pack_cstr(out, key);
	pack_text(out, slice_str(value));
}

static void pack_failure(struct buf *out, const struct failure *f,
			 enum hook hook, bool with_traceback)
{
	with_traceback = with_traceback && f->traceback;
	pack_map(out, 4 + with_traceback);
	pack_pair(out, "code", code_name(f->code));
	pack_pair(out, "message", f->message ? f->message : "");
	pack_pair(out, "script", f->script->name);
	pack_pair(out, "hook", hook_table[hook].name);
	if (with_traceback)
		pack_pair(out, "traceback", f->traceback);
}

static void pack_errors(struct buf *out, const struct event *ev)
{
	pack_cstr(out, "errors");
	pack_array(out, (uint32_t)ev->nfailures);
	for (size_t i = 0; i < ev->nfailures; i++)
		pack_failure(out, &ev->failures[i], ev->hook, false);
}

/* {ops, finished, errors}: the ops are copied as they came, checked. */
static void pack_result(struct buf *out, const struct event *ev)
{
	pack_map(out, 3);
	pack_cstr(out, "ops");
	pack_array(out, ev->nops);
	pack_raw(out, buf_slice(&ev->ops));
	pack_cstr(out, "finished");
	pack_bool(out, ev->finish);
	pack_errors(out, ev);
}

void answer_verdict(struct buf *out, const struct event *ev)
{
	struct verdict_view v = {.verdict = VERDICT_NEXT};

	/* Checked when it came; what is none would be `next`, so: a denial. */
	if (ev->ops.n && verdict_read(buf_slice(&ev->ops), ev->hook, &v) < 0)
		v = (struct verdict_view){.verdict = VERDICT_DENY};
	if (v.verdict == VERDICT_NEXT && hook_table[ev->hook].auth)
		v.reason = slice_str(EXHAUSTED);
	pack_pair(out, "verdict", verdict_name(v.verdict));
	if (v.reason.n) {
		pack_cstr(out, "reason");
		pack_text(out, v.reason);
	}
	if (v.mods.n) {
		pack_cstr(out, "mods");
		if (ev->hook == HOOK_AUTH_ON_PUBLISH_M5)
			mods_merge_publish(ev->map, v.mods, out);
		else
			pack_raw(out, v.mods);
	}
}

uint32_t answer_verdict_pairs(const struct event *ev)
{
	struct verdict_view v = {.verdict = VERDICT_NEXT};

	if (ev->ops.n && verdict_read(buf_slice(&ev->ops), ev->hook, &v) < 0)
		return 1;
	if (v.verdict == VERDICT_NEXT && hook_table[ev->hook].auth)
		return 2;
	return 1u + (v.reason.n > 0) + (v.mods.n > 0);
}

/* {verdict, reason?, mods?, errors, acl?} */
static void pack_mqtt(struct buf *out, const struct event *ev)
{
	const struct client *c = ev->client;
	struct slice acl = {0};

	if (ev->acl && c->house->mqtt)
		acl = mqtt_acl(c->house->mqtt, ev);
	pack_map(out, answer_verdict_pairs(ev) + 1 + (acl.n > 0));
	answer_verdict(out, ev);
	pack_errors(out, ev);
	if (acl.n) {
		pack_cstr(out, "acl");
		pack_raw(out, acl);
	}
}

void answer_event(struct buf *out, const struct event *ev)
{
	const struct failure *error = event_error(ev);

	if (ev->expired) {
		answer_failure(out, ev->msgid, CODE_OVERLOADED,
			       "the hook's deadline passed behind another "
			       "event of its id");
		return;
	}
	if (!error) {
		rpc_result(out, ev->msgid);
		if (hook_table[ev->hook].dialect == DIALECT_MQTT)
			pack_mqtt(out, ev);
		else
			pack_result(out, ev);
		return;
	}
	rpc_failure(out, ev->msgid);
	pack_failure(out, error, ev->hook, true);
	rpc_failure_end(out);
}

void answer_nothing(struct buf *out, uint32_t id, enum hook hook)
{
	rpc_result(out, id);
	if (hook_table[hook].dialect == DIALECT_MQTT) {
		pack_map(out, 2 + hook_table[hook].auth);
		pack_pair(out, "verdict", verdict_name(VERDICT_NEXT));
		if (hook_table[hook].auth)
			pack_pair(out, "reason", EXHAUSTED);
		pack_cstr(out, "errors");
		pack_array(out, 0);
		return;
	}
	pack_map(out, 3);
	pack_cstr(out, "ops");
	pack_array(out, 0);
	pack_cstr(out, "finished");
	pack_bool(out, false);
	pack_cstr(out, "errors");
	pack_array(out, 0);
}

void answer_failure(struct buf *out, uint32_t id, enum code code,
		    const char *message)
{
	rpc_failure(out, id);
	pack_map(out, 2);
	pack_pair(out, "code", code_name(code));
	pack_pair(out, "message", message);
	rpc_failure_end(out);
}

static void pack_hooks(struct buf *out, const struct chain_house *chains)
{
	static const char *const reads[] = {"req", "req.body", "resp",
					    "resp.body", "ws"};
	uint32_t n = 0;

	for (int hook = 0; hook < HOOK_COUNT; hook++)
		n += hook_table[hook].wire &&
		     chain_serves(chains, (enum hook)hook);
	pack_map(out, n);
	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		if (!hook_table[hook].wire ||
		    !chain_serves(chains, (enum hook)hook))
			continue;
		pack_cstr(out, hook_table[hook].name);
		pack_map(out, 2);
		pack_pair(out, "mode",
			  hook_table[hook].decide ? "decide" : "observe");
		pack_cstr(out, "reads");
		if (hook_table[hook].dialect == DIALECT_MQTT) {
			pack_array(out, 1);
			pack_cstr(out, "*");
			continue;
		}
		pack_array(out, 5);
		for (size_t i = 0; i < 5; i++)
			pack_cstr(out, reads[i]);
	}
}

void answer_hello(struct buf *out, uint32_t id, const struct client *c)
{
	const struct conf_limits *limits = &c->house->conf->limits;

	rpc_result(out, id);
	pack_map(out, 7);
	pack_pair(out, "server", PROTO_SERVER);
	pack_pair(out, "version", PROTO_RELEASE);
	pack_pair(out, "session", c->house->session);
	pack_cstr(out, "protocol");
	pack_uint(out, PROTO_VERSION);
	pack_cstr(out, "caps");
	pack_array(out, (uint32_t)c->lazy + c->mqtt);
	if (c->lazy)
		pack_cstr(out, "lazy_body");
	if (c->mqtt)
		pack_cstr(out, "mqtt");
	pack_cstr(out, "limits");
	pack_map(out, 3);
	pack_cstr(out, "max_message");
	pack_uint(out, limits->max_message);
	pack_cstr(out, "max_inflight");
	pack_uint(out, limits->max_inflight);
	pack_cstr(out, "inline_body");
	pack_uint(out, limits->inline_body);
	pack_cstr(out, "hooks");
	pack_hooks(out, c->house->chains);
}

void answer_hooks(struct buf *out, const struct chain_house *chains)
{
	rpc_notification(out, "hooks", 1);
	pack_hooks(out, chains);
}
