/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto: the tables of proto.h.
 */
#include "proto/proto.h"

static const char *const codes[CODE_COUNT] = {
	[CODE_OK] = "ok",
	[CODE_PROTOCOL] = "protocol",
	[CODE_UNKNOWN_METHOD] = "unknown_method",
	[CODE_BAD_EVENT] = "bad_event",
	[CODE_TOO_LARGE] = "too_large",
	[CODE_BODY_UNAVAILABLE] = "body_unavailable",
	[CODE_OVERLOADED] = "overloaded",
	[CODE_TIMEOUT] = "timeout",
	[CODE_SCRIPT_ERROR] = "script_error",
	[CODE_MEMORY] = "memory",
	[CODE_CRASHED] = "crashed",
	[CODE_UNAVAILABLE] = "unavailable",
	[CODE_DENIED] = "denied",
	[CODE_STORAGE] = "storage",
	[CODE_SHUTTING_DOWN] = "shutting_down",
};

const char *code_name(enum code code)
{
	must(code < CODE_COUNT);
	return codes[code];
}

enum code code_parse(struct slice name)
{
	int i;

	for (i = 0; i < CODE_COUNT; i++)
		if (slice_is(name, codes[i]))
			break;
	return (enum code)i;
}

static const char *const dialects[DIALECT_COUNT] = {
	[DIALECT_HTTP] = "http",
	[DIALECT_MQTT] = "mqtt",
};

const char *dialect_name(enum dialect dialect)
{
	must(dialect < DIALECT_COUNT);
	return dialects[dialect];
}

#define NAME(text) text, sizeof(text) - 1

/* MQTT hooks: what no script answers is `next`, never the whole hook's
 * failure (on_error: skip). */
#define AUTH(text)                                                             \
	{                                                                      \
		NAME(text), true, true, true, false, DIALECT_MQTT, true        \
	}
#define DECIDE(text)                                                           \
	{                                                                      \
		NAME(text), true, true, true, false, DIALECT_MQTT, false       \
	}
#define OBSERVE(text)                                                          \
	{                                                                      \
		NAME(text), false, true, true, false, DIALECT_MQTT, false      \
	}

const struct hook_info hook_table[HOOK_COUNT] = {
	[HOOK_FLUSH] = {NAME("flush"), false, true, false, false},
	[HOOK_CONNECT] = {NAME("connect"), true, true, true, true},
	[HOOK_BEFORE_REQUEST] = {NAME("before_request"), true, true, true,
				 true},
	[HOOK_AFTER_REQUEST] = {NAME("after_request"), true, true, true, true},
	[HOOK_BEFORE_RESPONSE] = {NAME("before_response"), true, true, true,
				  true},
	[HOOK_AFTER_RESPONSE] = {NAME("after_response"), false, true, true,
				 false},
	[HOOK_ERROR] = {NAME("error"), false, true, true, false},
	[HOOK_CLOSE] = {NAME("close"), false, true, true, false},
	[HOOK_WS_OPEN] = {NAME("ws_open"), false, true, true, false},
	[HOOK_WS_MSG] = {NAME("ws_msg"), true, true, true, false},
	[HOOK_WS_CLOSE] = {NAME("ws_close"), false, true, true, false},
	[HOOK_BUS] = {NAME("bus"), false, false, false, false},
	[HOOK_AUTH_ON_REGISTER] = AUTH("auth_on_register"),
	[HOOK_AUTH_ON_REGISTER_M5] = AUTH("auth_on_register_m5"),
	[HOOK_AUTH_ON_PUBLISH] = AUTH("auth_on_publish"),
	[HOOK_AUTH_ON_PUBLISH_M5] = AUTH("auth_on_publish_m5"),
	[HOOK_AUTH_ON_SUBSCRIBE] = AUTH("auth_on_subscribe"),
	[HOOK_AUTH_ON_SUBSCRIBE_M5] = AUTH("auth_on_subscribe_m5"),
	[HOOK_ON_AUTH_M5] = AUTH("on_auth_m5"),
	[HOOK_ON_UNSUBSCRIBE] = DECIDE("on_unsubscribe"),
	[HOOK_ON_UNSUBSCRIBE_M5] = DECIDE("on_unsubscribe_m5"),
	[HOOK_ON_DELIVER] = DECIDE("on_deliver"),
	[HOOK_ON_DELIVER_M5] = DECIDE("on_deliver_m5"),
	[HOOK_ON_REGISTER] = OBSERVE("on_register"),
	[HOOK_ON_REGISTER_M5] = OBSERVE("on_register_m5"),
	[HOOK_ON_PUBLISH] = OBSERVE("on_publish"),
	[HOOK_ON_PUBLISH_M5] = OBSERVE("on_publish_m5"),
	[HOOK_ON_SUBSCRIBE] = OBSERVE("on_subscribe"),
	[HOOK_ON_SUBSCRIBE_M5] = OBSERVE("on_subscribe_m5"),
	[HOOK_ON_OFFLINE_MESSAGE] = OBSERVE("on_offline_message"),
	[HOOK_ON_CLIENT_WAKEUP] = OBSERVE("on_client_wakeup"),
	[HOOK_ON_CLIENT_OFFLINE] = OBSERVE("on_client_offline"),
	[HOOK_ON_CLIENT_GONE] = OBSERVE("on_client_gone"),
	[HOOK_ON_SESSION_EXPIRED] = OBSERVE("on_session_expired"),
};

enum hook hook_parse(struct slice name)
{
	int i;

	for (i = 0; i < HOOK_COUNT; i++)
		if (name.n == hook_table[i].len &&
		    memcmp(name.p, hook_table[i].name, name.n) == 0)
			break;
	return (enum hook)i;
}
