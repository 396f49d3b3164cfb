/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader: the request `load`: fetches the sources, compiles them, makes the
 * first lane (mqtt: all of them, and runs the script in each), and answers.
 */
#ifndef PF_WORKER_LOADER_H
#define PF_WORKER_LOADER_H

#include "worker/sched.h"

/* Answers msg, well or not. Bytes without sense end the process. */
void loader_load(struct sched *s, const struct rpc *msg);

#endif
