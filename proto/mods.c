/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mods: which modifiers each MQTT hook may answer with, as tables, and the
 * walk that checks them. A walk with an output copies as it goes, rounding
 * floats; one without takes nothing on trust. Start at walk_mods().
 */
#include "proto/mods.h"

#include "proto/mods_value.h"
#include "proto/pack.h"

/* --- the tables --- */

#define KEYS(list) list, sizeof(list) / sizeof(*(list))

static const struct mods_key subscriber_id[] = {
	{"mountpoint", MODS_TEXT, true, NULL},
	{"client_id", MODS_TEXT, true, NULL},
};

static const struct mods_map subscriber_id_map = {KEYS(subscriber_id)};

static const struct mods_key register_properties[] = {
	{"p_user_property", MODS_USER, false, NULL},
	{"p_session_expiry_interval", MODS_U32, false, NULL},
};

static const struct mods_key publish_properties[] = {
	{"p_user_property", MODS_USER, false, NULL},
	{"p_message_expiry_interval", MODS_U32, false, NULL},
	{"p_content_type", MODS_TEXT, false, NULL},
	{"p_payload_format_indicator", MODS_FORMAT, false, NULL},
	{"p_response_topic", MODS_TEXT, false, NULL},
	{"p_correlation_data", MODS_TEXT, false, NULL},
	{"p_will_delay_interval", MODS_U32, false, NULL},
};

static const struct mods_key deliver_properties[] = {
	{"p_content_type", MODS_TEXT, false, NULL},
	{"p_payload_format_indicator", MODS_FORMAT, false, NULL},
	{"p_user_property", MODS_USER, false, NULL},
	{"p_response_topic", MODS_TEXT, false, NULL},
	{"p_correlation_data", MODS_TEXT, false, NULL},
};

static const struct mods_key auth_properties[] = {
	{"p_authentication_method", MODS_TEXT, false, NULL},
	{"p_authentication_data", MODS_TEXT, false, NULL},
};

static const struct mods_map register_properties_map = {
	KEYS(register_properties)};
static const struct mods_map publish_properties_map = {
	KEYS(publish_properties)};
static const struct mods_map deliver_properties_map = {
	KEYS(deliver_properties)};
static const struct mods_map auth_properties_map = {KEYS(auth_properties)};

/* The last row is for MQTT 5 only, here and in the lists of other hooks. */
static const struct mods_key on_register[] = {
	{"allow_register", MODS_BOOL, false, NULL},
	{"allow_publish", MODS_BOOL, false, NULL},
	{"allow_subscribe", MODS_BOOL, false, NULL},
	{"allow_unsubscribe", MODS_BOOL, false, NULL},
	{"clean_session", MODS_BOOL, false, NULL},
	{"upgrade_qos", MODS_BOOL, false, NULL},
	{"max_message_size", MODS_INT, false, NULL},
	{"max_connection_lifetime", MODS_INT, false, NULL},
	{"max_message_rate", MODS_INT, false, NULL},
	{"max_inflight_messages", MODS_INT, false, NULL},
	{"retry_interval", MODS_INT, false, NULL},
	{"max_online_messages", MODS_INT, false, NULL},
	{"max_offline_messages", MODS_INT, false, NULL},
	{"max_drain_time", MODS_INT, false, NULL},
	{"max_msgs_per_drain_step", MODS_INT, false, NULL},
	{"username", MODS_TEXT, false, NULL},
	{"shared_subscription_policy", MODS_TEXT, false, NULL},
	{"queue_type", MODS_TEXT, false, NULL},
	{"subscriber_id", MODS_MAP, false, &subscriber_id_map},
	{"properties", MODS_MAP, false, &register_properties_map},
};

static const struct mods_key on_publish[] = {
	{"topic", MODS_TOPIC, false, NULL},
	{"payload", MODS_TEXT, false, NULL},
	{"qos", MODS_QOS, false, NULL},
	{"retain", MODS_BOOL, false, NULL},
	{"mountpoint", MODS_TEXT, false, NULL},
	{"throttle", MODS_INT, false, NULL},
	{"properties", MODS_MAP, false, &publish_properties_map},
};

static const struct mods_key on_deliver[] = {
	{"topic", MODS_TOPIC, false, NULL},
	{"payload", MODS_TEXT, false, NULL},
	{"properties", MODS_MAP, false, &deliver_properties_map},
};

static const struct mods_key on_auth[] = {
	{"reason_code", MODS_BYTE, false, NULL},
	{"properties", MODS_MAP, false, &auth_properties_map},
};

static const struct mods_key on_subscribe_m5[] = {
	{"topics", MODS_SUBSCRIPTIONS_M5, true, NULL},
};

static const struct mods_key on_unsubscribe_m5[] = {
	{"topics", MODS_FILTERS, true, NULL},
};

#define MAP(list)                                                              \
	MODS_MAP,                                                              \
	{                                                                      \
		KEYS(list)                                                     \
	}
#define MAP_V3(list)                                                           \
	MODS_MAP,                                                              \
	{                                                                      \
		list, sizeof(list) / sizeof(*(list)) - 1                       \
	}

/* What the whole answer is. A hook that is not here has no modifiers. */
static const struct shape {
	enum mods_kind kind;
	struct mods_map map;
} shapes[HOOK_COUNT] = {
	[HOOK_AUTH_ON_REGISTER] = {MAP_V3(on_register)},
	[HOOK_AUTH_ON_REGISTER_M5] = {MAP(on_register)},
	[HOOK_AUTH_ON_PUBLISH] = {MAP_V3(on_publish)},
	[HOOK_AUTH_ON_PUBLISH_M5] = {MAP(on_publish)},
	[HOOK_AUTH_ON_SUBSCRIBE] = {MODS_SUBSCRIPTIONS, {0}},
	[HOOK_AUTH_ON_SUBSCRIBE_M5] = {MAP(on_subscribe_m5)},
	[HOOK_ON_AUTH_M5] = {MAP(on_auth)},
	[HOOK_ON_UNSUBSCRIBE] = {MODS_FILTERS, {0}},
	[HOOK_ON_UNSUBSCRIBE_M5] = {MAP(on_unsubscribe_m5)},
	[HOOK_ON_DELIVER] = {MAP_V3(on_deliver)},
	[HOOK_ON_DELIVER_M5] = {MAP(on_deliver)},
};

/* --- modifiers --- */

static int walk_mods(enum hook hook, struct slice mods, struct buf *out,
		     struct buf *why)
{
	struct mods_walk w = {.c = cursor_of(mods), .out = out, .why = why};
	const struct shape *shape;

	must(hook < HOOK_COUNT);
	shape = &shapes[hook];
	if (shape->kind == MODS_NONE)
		return mods_fail(&w, "this hook has no modifiers");
	if (shape->kind == MODS_MAP)
		mods_walk_map(&w, &shape->map, true);
	else
		mods_walk_value(&w, shape->kind, NULL);
	if (!w.error && w.c.error)
		return mods_fail(&w, "no such value");
	if (!w.error && w.c.p != w.c.end)
		return mods_fail(&w, "more than one value");
	return w.error;
}

int mods_check(enum hook hook, struct slice mods, struct buf *why)
{
	return walk_mods(hook, mods, NULL, why);
}

int mods_clean(enum hook hook, struct slice in, struct buf *out,
	       struct buf *why)
{
	size_t start = out->n;
	int r = walk_mods(hook, in, out, why);

	if (r == OK && buf_error(out))
		r = buf_error(out);
	if (r < 0 && !buf_error(out))
		out->n = start;
	return r;
}

/* --- verdicts --- */

static const char *const names[VERDICT_COUNT] = {
	[VERDICT_NEXT] = "next",
	[VERDICT_OK] = "ok",
	[VERDICT_DENY] = "deny",
};

const char *verdict_name(enum verdict verdict)
{
	must(verdict < VERDICT_COUNT);
	return names[verdict];
}

void verdict_pack(struct buf *out, const struct verdict_view *v)
{
	pack_array(out, 3);
	pack_uint(out, v->verdict);
	if (v->reason.n)
		pack_text(out, v->reason);
	else
		pack_nil(out);
	if (v->mods.n)
		pack_raw(out, v->mods);
	else
		pack_nil(out);
}

int verdict_read(struct slice bytes, enum hook hook, struct verdict_view *out)
{
	struct cursor c = cursor_of(bytes);
	uint64_t verdict;

	*out = (struct verdict_view){0};
	if (cursor_array(&c) != 3)
		return ERR_FORMAT;
	verdict = cursor_uint(&c);
	if (!cursor_nil(&c)) {
		if (cursor_peek(&c) != CURSOR_STR)
			return ERR_TYPE;
		out->reason = cursor_text(&c);
	}
	if (!cursor_nil(&c))
		out->mods = cursor_raw(&c);
	if (c.error || c.p != c.end || verdict >= VERDICT_COUNT)
		return ERR_FORMAT;
	out->verdict = (enum verdict)verdict;
	if (!slice_is_utf8(out->reason))
		return ERR_FORMAT;
	if (!out->mods.n)
		return OK;
	if (out->verdict != VERDICT_OK)
		return ERR_TYPE;
	return mods_check(hook, out->mods, NULL);
}
