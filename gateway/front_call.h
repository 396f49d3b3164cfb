/* SPDX-License-Identifier: Apache-2.0 */
/*
 * front_call: requests of the broker and how they are answered. Private to
 * front.c, which owns the socket and the clock.
 */
#ifndef PF_GATEWAY_FRONT_CALL_H
#define PF_GATEWAY_FRONT_CALL_H

#include "gateway/front.h"

/* One message: answered now, or by a task in flight. ERR_FORMAT: it is none
 * of the two requests. */
int front_request(struct front *f, struct slice msg) must_check;

/* A task is over: answer it, unless that was done, and free it. */
void front_finish(struct front *f, struct task *t);

/* It was answered, and is in flight no more. */
void front_answered(struct front *f, struct task *t);

void front_refuse(struct front *f, uint32_t id, const char *code,
		  const char *message);
void front_say(struct front *f, enum log_level level, struct slice line);

#endif
