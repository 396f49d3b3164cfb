/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow: what the commands share that subscribe to something and print what
 * comes: bus tail, logs, record.
 */
#ifndef PF_CTL_FOLLOW_H
#define PF_CTL_FOLLOW_H

#include "ctl/ctl.h"

struct follow {
	struct ctl *ctl;
	int64_t left; /* how many more are wanted; -1: no end */
	int rc;	      /* not CTL_OK: it ends with that */
	struct buf line;
	/* A notification of any kind, as long as `left` is not 0. */
	void (*on)(struct follow *f, const struct pf_item *item);
	void *arg;
};

/* `left` from --number, else -1. CTL_OK or CTL_USAGE with a message. */
int follow_init(struct follow *f, struct ctl *ctl) must_check;

/* Subscribe by that method, whose one parameter is in args (its memory is
 * given back), and serve until `left` is 0 or rc is set. */
int follow_run(struct follow *f, const char *method,
	       struct buf *args) must_check;

/* One was taken. */
void follow_count(struct follow *f);

int bus_tail(struct ctl *ctl);
int logs(struct ctl *ctl);
int record(struct ctl *ctl);

#endif
