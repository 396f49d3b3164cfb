/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto: the names and numbers that two processes must agree on, as tables.
 * The prose is in PROTOCOL.md.
 */
#ifndef PF_PROTO_PROTO_H
#define PF_PROTO_PROTO_H

#include "lib/err.h"
#include "lib/slice.h"

#define PROTO_SERVER  "pinfold"
#define PROTO_RELEASE "0.1.0"

enum { PROTO_VERSION = 1 };

/* Limits of the wire (PROTOCOL.md 1) and defaults of configurable ones. */
enum {
	PROTO_MAX_MESSAGE = 16 << 20,
	/* between broker and worker: a message plus what the broker adds */
	PROTO_MAX_INTERNAL = (16 << 20) + (1 << 20),
	PROTO_MAX_INFLIGHT = 1024,
	PROTO_INLINE_BODY = 16 << 10,
	PROTO_RANGE = 1 << 20, /* of a lazy body or an artifact, at a time */
	PROTO_MAX_OPS = 10000, /* of one run */
	PROTO_MAX_EFFECTS = 1000,
	PROTO_MAX_EFFECT_BYTES = 4 << 20,
	PROTO_MAX_KEY = 1 << 10,
	PROTO_MAX_VALUE = 1 << 20,
	PROTO_MAX_SOURCE = 256 << 10, /* one source file */
	PROTO_EXT_LAZY = 1,
};

/* Failure codes, PROTOCOL.md 5. On the wire they are the words. */
enum code {
	CODE_OK = 0,
	CODE_PROTOCOL,
	CODE_UNKNOWN_METHOD,
	CODE_BAD_EVENT,
	CODE_TOO_LARGE,
	CODE_BODY_UNAVAILABLE,
	CODE_OVERLOADED,
	CODE_TIMEOUT,
	CODE_SCRIPT_ERROR,
	CODE_MEMORY,
	CODE_CRASHED,
	CODE_UNAVAILABLE,
	CODE_DENIED,
	CODE_STORAGE,
	CODE_SHUTTING_DOWN,
	CODE_COUNT,
};

const char *code_name(enum code code);	 /* "ok" for CODE_OK */
enum code code_parse(struct slice name); /* CODE_COUNT when unknown */

/* Hooks. The numbers travel between broker and worker. */
enum hook {
	HOOK_FLUSH,
	HOOK_CONNECT,
	HOOK_BEFORE_REQUEST,
	HOOK_AFTER_REQUEST,
	HOOK_BEFORE_RESPONSE,
	HOOK_AFTER_RESPONSE,
	HOOK_ERROR,
	HOOK_CLOSE,
	HOOK_WS_OPEN,
	HOOK_WS_MSG,
	HOOK_WS_CLOSE,
	HOOK_BUS, /* not on the wire to proxies: fed by bus events */
	/* MQTT; _M5 are the twins for MQTT 5. Decide: */
	HOOK_AUTH_ON_REGISTER,
	HOOK_AUTH_ON_REGISTER_M5,
	HOOK_AUTH_ON_PUBLISH,
	HOOK_AUTH_ON_PUBLISH_M5,
	HOOK_AUTH_ON_SUBSCRIBE,
	HOOK_AUTH_ON_SUBSCRIBE_M5,
	HOOK_ON_AUTH_M5,
	HOOK_ON_UNSUBSCRIBE,
	HOOK_ON_UNSUBSCRIBE_M5,
	HOOK_ON_DELIVER,
	HOOK_ON_DELIVER_M5,
	/* observe: */
	HOOK_ON_REGISTER,
	HOOK_ON_REGISTER_M5,
	HOOK_ON_PUBLISH,
	HOOK_ON_PUBLISH_M5,
	HOOK_ON_SUBSCRIBE,
	HOOK_ON_SUBSCRIBE_M5,
	HOOK_ON_OFFLINE_MESSAGE,
	HOOK_ON_CLIENT_WAKEUP,
	HOOK_ON_CLIENT_OFFLINE,
	HOOK_ON_CLIENT_GONE,
	HOOK_ON_SESSION_EXPIRED,
	HOOK_COUNT,
};

/* Which kind of script serves a hook. */
enum dialect {
	DIALECT_HTTP, /* a folder of hook files */
	DIALECT_MQTT, /* one file with a table `hooks` */
	DIALECT_COUNT,
};

const char *dialect_name(enum dialect dialect); /* "http", "mqtt" */

struct hook_info {
	const char *name; /* method name and file name without .lua */
	size_t len;	  /* of name */
	bool decide;	  /* else observe: never fails the caller */
	bool wire;	  /* a proxy may send it */
	bool needs_id;	  /* the event must carry `id` (MQTT: client_id) */
	bool fail;	  /* default policy: fail (else skip) */
	enum dialect dialect;
	bool auth; /* a question of rights: what nobody answers is denied */
};

extern const struct hook_info hook_table[HOOK_COUNT];

/* HOOK_COUNT when there is none of that name. */
enum hook hook_parse(struct slice name);

/* Exit codes of a worker; the broker reads causes from them. */
enum {
	EXIT_WORKER_MEMORY = 77,  /* the memory limit: fail-stop */
	EXIT_WORKER_SANDBOX = 78, /* a mandatory layer does not hold */
	EXIT_WORKER_PROTOCOL = 79 /* the broker's bytes made no sense */
};

#endif
