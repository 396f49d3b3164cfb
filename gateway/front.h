/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front: the gateway's conversation with the broker, on one stream socket,
 * MessagePack-RPC as everywhere. It runs on the main thread, which never
 * waits for a server.
 *
 *   broker -> gateway
 *     config [{PROVIDER={...}}]       notification, first and once: what is
 *                                     configured, passwords too
 *     ensure_pool [provider, pool|nil, settings|nil, grants|nil] -> true
 *     call [provider, op, pool|nil, args, timeout_ms, grants|nil] -> a value
 *   gateway -> broker, all notifications
 *     ready [{sandbox=[...], missing=[...]}]    as a worker's
 *     log [level, text]
 *     pools [[{provider, name, target, size, connected, calls, errors,
 *              queue, down}]]         at most every half second, when changed
 *
 * A failure is {code, message}: badarg (of the caller's making), unavailable,
 * timeout, too_large, denied, overloaded. Every request is answered once, a
 * call soon after its timeout whatever its server does. grants: prefixes of
 * "PROVIDER:HOST:PORT", nil for all but link-local addresses.
 */
#ifndef PF_GATEWAY_FRONT_H
#define PF_GATEWAY_FRONT_H

#include "gateway/pool.h"
#include "gateway/sandbox.h"
#include "lib/log.h"
#include "proto/rpc.h"
#include "proto/scan.h"

enum {
	FRONT_INFLIGHT = 8192, /* the broker has a lower limit of its own */
	FRONT_POOLS = 256,
	FRONT_GRACE_MS = 100, /* for a running job to tell by itself */
	FRONT_CLOSE_MS = 1000,
	FRONT_CONFIG_MS = 10000,
};

struct front {
	int fd;
	struct scan scan;
	struct buf in, out;
	struct buf config; /* raw map, or empty */
	struct done done;
	struct list pools, inflight;
	size_t npools, ninflight;
	uint64_t next_ms; /* no job in flight is late before this */
	uint64_t told_ms; /* when `pools` was last sent */
	bool changed;
	uint64_t notes_ms; /* the second that notes are counted in */
	unsigned notes;
	uint64_t hidden;
};

int front_init(struct front *f, int fd) must_check;

/* Wait for the first message, which must be `config`. */
int front_read_config(struct front *f) must_check;

/* Say that it is locked. Opens what it needs for its threads. */
int front_ready(struct front *f, const struct sandbox_report *r) must_check;

/* Serve until the broker closes its end: OK, or ERR_FORMAT: its bytes made no
 * sense. */
int front_run(struct front *f) must_check;

/* True when all threads have ended and everything is freed. */
bool front_close(struct front *f) must_check;

#endif
