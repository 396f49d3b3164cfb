/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect: what the two kinds of scripts do differently in a lane. The rest of
 * a run's life is lane.c's.
 *
 *   http  a folder of hook files, each run with the event as ctx and mut
 *   mqtt  one file, run once at load, with a table of hook functions
 */
#ifndef PF_WORKER_DIALECT_H
#define PF_WORKER_DIALECT_H

#include "worker/lane.h"

/* Parameters of `run`; all lie in one piece of memory that begins at base. */
struct run_bytes {
	const uint8_t *base;
	struct slice event, ops, extra;
};

struct dialect_ops {
	const struct vm_ops *vm;

	/* The libraries and globals of a new lane. */
	void (*open)(struct lane *l);

	/* The sources are there: compile what a lane needs to begin. ERR_FORMAT
	 * when that fails (lane_try() has told why before). */
	int (*compile)(struct lane *l);

	/* Put what shall run on l->co. ERR_FORMAT: the bytes make no sense. */
	int (*begin)(struct lane *l, const struct run_bytes *run);

	/* What lay on l->co has returned; is there more to run? */
	bool (*more)(struct lane *l);

	/* The run went well: append what it comes to, and say how many ops
	 * these are. Negative: more than a run may have. */
	int (*pack)(struct lane *l, struct buf *out);

	/* The run is over, well or not. The Lua stack is the dialect's. */
	void (*end)(struct lane *l);

	/* Lanes take turns, instead of the one that ran last being next. */
	bool turns;
};

extern const struct dialect_ops dialect_http, dialect_mqtt;

/* vm_ops of both: print(), require(), what is done while a run takes long
 * (what others were answered leaves), and when memory is short. */
void dialect_print(void *arg, struct slice line);
bool dialect_source(void *arg, struct slice module, struct slice *text,
		    const char **chunkname);
void dialect_look(void *arg);
void dialect_collect(void *arg);

/* Compile a file for good: its reference, or ERR_FORMAT. No file: LUA_NOREF. */
int dialect_compile(struct lane *l, const struct source_file *f,
		    int *ref) must_check;

#endif
