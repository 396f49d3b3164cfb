/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: the one script that a worker serves: its settings and the text of
 * its files, both from the broker's `load`. The text is kept, since lanes are
 * made later too.
 */
#ifndef PF_WORKER_SOURCE_H
#define PF_WORKER_SOURCE_H

#include "lib/buf.h"
#include "proto/proto.h"

enum { SOURCE_MAX_FILES = 512, SOURCE_MAX_NAME = 200, SOURCE_MAX_LANES = 1024 };

struct source_file {
	char *name;	 /* "before_request.lua", "sub/mod.lua" */
	char *chunkname; /* "@NAME/before_request.lua"; mqtt: "@auth/x.lua" */
	struct buf text;
	bool missing;	/* mqtt: the text could not be had */
	enum hook hook; /* HOOK_COUNT: none of the hook files */
};

struct script {
	char *name;
	bool keep_globals; /* globals: script */
	enum dialect dialect;
	bool nulls; /* a NULL from outside is a word ("null"), not nil */
	unsigned concurrency;
	uint64_t timeout_ms, load_timeout_ms, memory;
	size_t max_body, max_value, max_key, max_artifact;
	size_t max_ops, max_effects, max_effect_bytes; /* of one run */
	struct buf config; /* one MessagePack map, or empty */
	struct buf grants; /* likewise: kind -> prefixes; a kind that is absent
			    * is not limited */
	struct source_file *files;
	size_t nfiles;
	const struct source_file *hook[HOOK_COUNT]; /* NULL: no such file */
	const struct source_file *shared;	    /* _shared.lua or NULL */

	/* mqtt: what the script's globals may change, see loader.c */
	const struct source_file *main;
	unsigned workers, index; /* processes that share it; which is this */
	bool keep_state;
};

/*
 * The parameter map of `load` (raw bytes). Everything is copied; the texts
 * stay empty. ERR_FORMAT or ERR_RANGE when it makes no sense; then script_fini
 * is still due.
 */
int script_init(struct script *s, struct slice params) must_check;
void script_fini(struct script *s); /* accepts a zeroed script */

/* May the script touch that name? The kinds are those of broker/grants.h. The
 * broker has the last word; this is so that a refusal is told at the call. */
bool script_granted(const struct script *s, const char *kind,
		    struct slice name);

/* The file of module "a.b" (a/b.lua or a/b/init.lua), or NULL. */
const struct source_file *script_module(const struct script *s,
					struct slice module);

#endif
