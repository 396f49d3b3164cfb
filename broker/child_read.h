/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child_read: decoding what a worker answers to a run. Private to child.c.
 */
#ifndef PF_BROKER_CHILD_READ_H
#define PF_BROKER_CHILD_READ_H

#include "broker/run.h"

/* The result of a run that ended well. ERR_FORMAT, ERR_TYPE: it is none, or
 * its ops or its verdict are not fit for the hook. */
int child_read_result(struct slice result, enum hook hook,
		      struct outcome *out) must_check;

/* {code, message, traceback} of a failed one; a worker may only claim what is
 * its to claim. ERR_FORMAT: it is no map. */
int child_read_error(struct slice error, struct outcome *out) must_check;

#endif
