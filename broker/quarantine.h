/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quarantine: events that have ended workers of a script, known by a
 * fingerprint. One that does so twice within a minute is kept from the script
 * for a minute, and for twice as long each time that it does so again soon
 * after, ten minutes at most.
 *
 * It belongs to one generation of a script, so a reload forgets it all. Times
 * are milliseconds of the loop. Zeroed memory is an empty one.
 */
#ifndef PF_BROKER_QUARANTINE_H
#define PF_BROKER_QUARANTINE_H

#include "lib/list.h"
#include "lib/map.h"

enum {
	QUARANTINE_WHY = 80,
	QUARANTINE_EVENTS = 4096,	/* that are known; the oldest goes */
	QUARANTINE_MS = 60 * 1000,	/* the first time */
	QUARANTINE_MAX_MS = 600 * 1000, /* at most; and what "soon" means */
};

struct run;

struct quarantine {
	struct map by_print;
	struct list known; /* struct suspect, the newest last */
	uint64_t until_ms; /* when the last that is kept out is let in */
};

struct suspect {
	struct list node;
	uint64_t print;	   /* the key */
	uint64_t last_ms;  /* when it has ended a worker last */
	uint64_t until_ms; /* kept out until then */
	unsigned times;	   /* that it was kept out, each soon after the other */
	unsigned deaths;
};

void quarantine_fini(struct quarantine *q);

/*
 * What makes the event of a run what it is, with the ops of earlier scripts:
 * the same for one that comes again with another id, time or address. 0: it has
 * nothing of its own.
 */
uint64_t quarantine_print(const struct run *run);

/* Its event has ended a worker of `script` (for the log). Returns for how many
 * seconds it is kept out from now on; 0: not yet, or it was already, or memory
 * is short. */
unsigned quarantine_strike(struct quarantine *q, const struct run *run,
			   const char *script, uint64_t now_ms);

/* Is its event kept out? Then why, in words. */
bool quarantine_holds(const struct quarantine *q, const struct run *run,
		      uint64_t now_ms, char why[QUARANTINE_WHY]);

#endif
