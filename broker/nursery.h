/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nursery: where workers come from and where they end. It spawns them, keeps
 * one locked and unscripted spare warm, reaps every process, and frees what
 * has died.
 */
#ifndef PF_BROKER_NURSERY_H
#define PF_BROKER_NURSERY_H

#include "broker/child.h"
#include "broker/spawn.h"

struct nursery_options {
	const char *worker; /* path of the program */
	size_t memory;	    /* of the spare; other sizes are spawned cold */
	unsigned uid_base;  /* 0: ours to pick */
};

struct nursery {
	struct child_house house;
	struct affinity affinity; /* of every worker */
	struct nursery_options options;
	struct spawn_uids uids;
	bool drop_uid; /* we are root */
	bool stopping;
	struct list children; /* all that live */
	size_t nchildren;
	struct child *spare; /* starting or ready, or NULL */
	struct wheel_timer respawn;
	unsigned failures; /* spares that died in a row */
	uv_signal_t sigchld;
	void (*tried)(void *arg, const char *why); /* NULL once called */
	void *tried_arg;
	void (*empty)(void *arg); /* the last child is gone; may be NULL */
	void *arg;
};

/* `why` gets a line of text on failure. */
int nursery_init(struct nursery *n, const struct child_house *house,
		 const struct nursery_options *options,
		 struct buf *why) must_check;

/*
 * Begin to keep a spare. `tried` is called once, when the first one is locked
 * (why NULL), or has ended before it was: the sandbox does not hold here, and
 * nothing should be served.
 */
void nursery_warm(struct nursery *n, void (*tried)(void *arg, const char *why),
		  void *arg);

/* A worker for a script with that much memory: the spare, or a new one that
 * is still starting. NULL when none can be had now (logged). The caller
 * adopts it and gives it back by nursery_bury() once it is dead. */
struct child *nursery_take(struct nursery *n, size_t memory);
void nursery_bury(struct nursery *n, struct child *c);

/* Kill the spare, spawn none. `empty` is called when all are gone, possibly
 * at once. */
void nursery_stop(struct nursery *n, void (*empty)(void *arg), void *arg);
void nursery_close(struct nursery *n);

#endif
