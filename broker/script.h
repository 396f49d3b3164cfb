/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script: one immutable generation of a script: its sources, settings, hooks
 * and grants, read once. A reload makes a new one; events in flight keep the
 * one that they began with (the only reference count in the house).
 */
#ifndef PF_BROKER_SCRIPT_H
#define PF_BROKER_SCRIPT_H

#include "broker/conf/conf.h"
#include "broker/grants.h"
#include "broker/learn.h"
#include "broker/quarantine.h"
#include "broker/stats.h"
#include "lib/buf.h"

enum {
	SCRIPT_MAX_FILES = 256,
	SCRIPT_MAX_BYTES = 4 << 20, /* of all sources together */
};

struct script_file {
	char *name; /* relative: "before_request.lua", "sub/mod.lua" */
	struct buf text;
};

enum script_state {
	SCRIPT_LOADING,
	SCRIPT_READY,
	SCRIPT_UNAVAILABLE, /* its sources do not load */
};

struct script {
	struct conf_script *conf; /* owned */
	const char *name;	  /* conf's */
	enum dialect dialect;
	char *main; /* DIALECT_MQTT: the name of its own file */
	uint64_t generation;
	enum script_state state;
	char *why; /* of SCRIPT_UNAVAILABLE, or NULL */
	struct script_file *files;
	size_t nfiles;
	struct grants grants;
	struct learn learn;	      /* what it has used of them */
	struct quarantine quarantine; /* events that have ended its workers */
	struct slice *grant_prefixes; /* owned; what grants refers to */
	/* Bit per enum hook that it serves: those that have a file; of a
	 * one-file script what its table `hooks` held when it was loaded,
	 * none before. */
	uint64_t hooks;
	struct stats stats;
	struct stats *hook_stats[HOOK_COUNT]; /* DIALECT_MQTT; owned; NULL:
					       * nothing ran */
	struct crew *crew;		      /* who runs it; not owned */
	struct feed *feed; /* its bus events, or NULL; not owned */
	unsigned refs;	   /* rosters that list it */

	/* its allowance of log lines */
	uint64_t log_second;
	uint64_t log_lines, log_lost;
};

/*
 * Read the folder `dir`/NAME, or the file that conf names (DIALECT_MQTT; then
 * dir is not used). Takes `conf` when it succeeds. On failure `why`
 * has a line of text: the file and what is wrong with it. A folder without
 * any hook file is fine (a warning).
 */
int script_open(struct conf_script *conf, const char *dir, uint64_t generation,
		struct script **out, struct buf *why) must_check;
void script_free(struct script *s);

static inline bool script_serves(const struct script *s, enum hook hook)
{
	return s->hooks >> hook & 1;
}

/* Numbers of one hook; NULL for hook files, or without memory. */
struct stats *script_hook_stats(struct script *s, enum hook hook);

/* A one-file script that does not load: nobody knows its hooks, so it serves,
 * and fails, every question of rights. Nothing for hook files. */
void script_deny(struct script *s);

/* The same settings and the same sources? */
bool script_same(const struct script *a, const struct script *b);

/* The text of a file, or NULL. */
const struct script_file *script_file(const struct script *s,
				      struct slice name);

/* Pack the one map of the worker's load request. */
void script_pack_load(const struct script *s, const struct conf *conf,
		      struct buf *out);

/* What policy says of a failure in this hook: true = the hook fails. */
bool script_fails(const struct script *s, enum hook hook, enum code code);

/* A log record of the script: true when it may be written (limits.log_lines
 * a second; what was lost is told once a second). */
bool script_may_log(struct script *s, uint64_t now_ms, uint64_t limit);

/*
 * roster: which scripts serve which hook, in the order in which they run.
 * Immutable; every event holds the one that it started with.
 */
struct roster {
	struct script **scripts; /* all enabled ones, in order */
	size_t n;
	struct script **hook[HOOK_COUNT];
	size_t nhook[HOOK_COUNT];
	unsigned refs;
};

/* Takes the array (not the scripts: it refers to them). Refs start at 1. */
int roster_new(struct script **scripts, size_t n,
	       struct roster **out) must_check;
struct roster *roster_ref(struct roster *r);

/* `gone` is called for every script that no roster lists any more. */
void roster_unref(struct roster *r, void (*gone)(void *arg, struct script *s),
		  void *arg);

#endif
