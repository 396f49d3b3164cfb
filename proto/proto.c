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

#define NAME(text) text, sizeof(text) - 1

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
