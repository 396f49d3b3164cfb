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
	CONF_NAME_MAX = 64,	/* bytes of a script's name */
	CONF_SOCKET_MAX = 107,	/* bytes of a socket's path (sun_path) */
	CONF_CONFIG_DEPTH = 30, /* nesting of a script's `config` */
	CONF_SECRETS = 256	/* passwords, over all reloads */
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
	enum dialect dialect;
	char *name;    /* 1..CONF_NAME_MAX bytes, no '/', no ".." */
	char *file;    /* DIALECT_MQTT: its path; else NULL */
	char *root;    /* DIALECT_MQTT: the folder that `require` reads, of
			* which `file` may be a part */
	bool shallow;  /* that is no script_dir, just where `file` is: it may
			* be anything, and folders in it are not read */
	uint32_t line; /* where the file names it, for logs; 0: found in
			* script_dir, or named by a command */
	bool enabled;
	int64_t priority; /* lower runs first; ties in name order */
	uint64_t workers, concurrency;
	uint64_t timeout_ms, memory;
	enum conf_policy on_error[CODE_COUNT]; /* by cause */
	bool globals_script; /* kept between events: one worker, one lane */
	struct conf_grants grants;
	struct conf_list subscribe; /* bus names, `*` at the end matches */
	struct buf config;	    /* a packed map, empty when absent */
	/* DIALECT_MQTT: its place among those of equal priority: what
	 * script_dir holds, then `scripts`, both by name, then auth_*. */
	enum conf_origin {
		CONF_FOUND,
		CONF_NAMED,
		CONF_BUNDLED,
		CONF_COMMAND,
	} origin;
	uint32_t place; /* among the bundled ones, or those by command */
};

/* The block `mqtt`; its scripts are in struct conf. */
struct conf_mqtt {
	bool given;
	char *script_dir; /* NULL: none */
	uint32_t script_dir_line, script_dir_column;
	char *bundled;	/* where scripts/auth is; NULL: beside us */
	bool nulls_nil; /* nulls: nil */
	uint64_t num_states;
	bool keep_state;
	uint64_t cache_ttl_ms; /* of the auth cache; 0: none */
	uint64_t tables_bytes; /* of all ETS tables together */
	/* Settings of providers: one packed map from provider to map, as it
	 * goes to the gateway. The passwords in it also stand in `secrets`,
	 * for redact.h; that list only ever grows, in place, since every
	 * thread that logs reads it. */
	struct buf providers;
	struct conf_list secrets;
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
	char *worker;  /* path of pinfold-worker; NULL: beside pinfoldd */
	char *gateway; /* likewise pinfold-gateway */
	struct conf_mqtt mqtt;
	bool plugin_enabled;
	int64_t plugin_priority; /* kept for show; nothing depends on it */
	char *script_dir;
	/* First the hook-file scripts, in priority order, ties by name, then
	 * those of `mqtt`, see conf_script.origin; disabled ones too. An owner
	 * of a generation may take one by putting NULL in its place. Names are
	 * unique over both. */
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
 * relative paths start from. Scripts that only script_dir names are not
 * there. */
int conf_parse(const char *file, const char *dir, struct slice text,
	       struct conf **out, struct buf *error) must_check;

void conf_free(struct conf *conf); /* NULL is fine */
/* Everything but `line` and `enabled` is equal. */
bool conf_script_same(const struct conf_script *a, const struct conf_script *b);

void conf_script_free(struct conf_script *script); /* NULL is fine */

/* May this script run, as far as the configuration tells? */
bool conf_script_wanted(const struct conf *conf, const struct conf_script *s);

/*
 * Add a script of the MQTT dialect that a command names: `path` is absolute.
 * Its name is the file's without .lua; settings are the defaults. ERR_EXISTS:
 * a script of that name or file is there. ERR_RANGE: a name that is none.
 */
int conf_add_command(struct conf *conf, const char *path,
		     uint32_t place) must_check;

/* Take over the passwords of another configuration, so that redact.h knows
 * them too. The CONF_SECRETS'th is the last. */
void conf_learn_secrets(struct conf *conf, const struct conf *other);

/* Do two paths lead to the same file, or are they equal? */
bool conf_same_file(const char *a, const char *b);

/* The script of that file (the same one on disk), or NULL. */
struct conf_script *conf_find_file(const struct conf *conf, const char *path);

#endif
