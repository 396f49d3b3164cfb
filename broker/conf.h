/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: the configuration file, checked and in plain C types.
 *
 * A wrong file yields one text, `FILE:LINE:COL: what, what was expected, the
 * nearest known key`, and nothing else: there is no half-read configuration.
 * A value that is null (`key:` with nothing behind it) counts as absent.
 * Unknown keys inside `luaplugin` are warned about, since that block is
 * shared with another program; unknown keys anywhere else are mistakes.
 *
 * Times are milliseconds, sizes bytes. Paths are absolute: a relative one is
 * taken from the directory of the configuration file.
 */
#ifndef PF_BROKER_CONF_H
#define PF_BROKER_CONF_H

#include "lib/buf.h"
#include "lib/log.h"
#include "proto/proto.h"

enum {
	CONF_NAME_MAX = 64,    /* bytes of a script's name */
	CONF_SOCKET_MAX = 107, /* bytes of a socket's path (sun_path) */
	CONF_CONFIG_DEPTH = 30 /* nesting of a script's `config` */
};

/* Owned strings in the order of the file. */
struct conf_list {
	char **item;
	size_t n;
};

/*
 * What a script may touch, as prefixes (of the bus the file may say `m.*`;
 * here that is `m.`). `given` false: the key is absent, and the default of
 * the script's dialect holds (for hook files everything but providers).
 * `given` and empty: nothing. Naming only one of kv.read and kv.write leaves
 * the other empty.
 */
struct conf_grant {
	bool given;
	struct conf_list allow;
};

struct conf_grants {
	struct conf_grant kv_read, kv_write, bus, artifacts, data, providers;
};

enum conf_policy {
	POLICY_DEFAULT, /* what the hook says: hook_table[].fail */
	POLICY_FAIL,
	POLICY_SKIP,
};

struct conf_script {
	char *name;    /* 1..CONF_NAME_MAX bytes, no '/', no ".." */
	uint32_t line; /* where the file names it, for logs */
	bool enabled;
	int64_t priority; /* lower runs first; ties in name order */
	uint64_t workers, concurrency;
	uint64_t timeout_ms, memory;
	enum conf_policy on_error[CODE_COUNT]; /* by cause */
	bool globals_script; /* kept between events: one worker, one lane */
	struct conf_grants grants;
	struct conf_list subscribe; /* bus names, `*` at the end matches */
	struct buf config;	    /* a packed map, empty when absent */
};

struct conf_listen {
	char *path;
	uint32_t mode;	/* of the socket; default 0660 */
	char *group;	/* name or number; NULL: leave it */
	uint32_t *uids; /* who may connect; none listed: the mode decides */
	size_t nuids;
};

/* Bounds on what scripts and peers may ask for: the keys of `limits`. */
struct conf_limits {
	uint64_t max_message, max_inflight, inline_body;
	uint64_t max_key, max_value, max_artifact;
	uint64_t list_rows, list_bytes;
	uint64_t ops, effects, effect_bytes; /* of one run */
	uint64_t bus_events, bus_age_ms;     /* key `bus_age` */
	uint64_t log_lines;		     /* a second, a script */
};

struct conf_sandbox {
	bool strict;  /* insist on the optional layers too */
	uint64_t uid; /* the first uid for workers of a root broker; 0: ours to
			 pick */
};

struct conf {
	char *file; /* as it was given */
	struct conf_listen listen;
	char *control; /* default: control.sock below data_dir; 0600 */
	char *data_dir;
	char *data_store; /* NULL: none */
	uint64_t hook_timeout_ms, load_timeout_ms, shutdown_timeout_ms;
	bool durable_disk; /* storage.durability: disk */
	uint64_t max_bytes;
	bool log_json;
	enum log_level log_level;
	struct conf_limits limits;
	struct conf_sandbox sandbox;
	char *worker; /* path of pinfold-worker; NULL: beside pinfoldd */
	bool plugin_enabled;
	int64_t plugin_priority; /* kept for show; nothing depends on it */
	char *script_dir;
	/* In priority order, ties by name; disabled ones too. An owner of a
	 * generation may take one by putting NULL in its place. */
	struct conf_script **scripts;
	size_t nscripts;
};

/*
 * Read and check a file. 0 and *out, to be freed by conf_free(); else *out is
 * NULL and `error` holds one line of text without newline. ERR_FORMAT: what
 * the file says is wrong. ERR_IO: it cannot be read. ERR_NOMEM.
 * Warnings go to the log.
 */
int conf_load(const char *path, struct conf **out,
	      struct buf *error) must_check;

/* The same on text: `file` is its name in errors, `dir` (absolute) what
 * relative paths start from. */
int conf_parse(const char *file, const char *dir, struct slice text,
	       struct conf **out, struct buf *error) must_check;

void conf_free(struct conf *conf); /* NULL is fine */
/* Everything but `line` and `enabled` is equal. */
bool conf_script_same(const struct conf_script *a, const struct conf_script *b);

void conf_script_free(struct conf_script *script); /* NULL is fine */

#endif
