/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_io: the socket of a wire. Private to wire.c.
 */
#ifndef PF_MOSQUITTO_WIRE_IO_H
#define PF_MOSQUITTO_WIRE_IO_H

#include "clients/mosquitto/wire.h"

enum { WIRE_CHUNK = 64 << 10 };

/* A connected socket, or -1 and errno. Never waits. */
int wire_connect(const char *path, int timeout_ms);

/* Write what can be written; a loss shows when reading. */
void wire_flush(struct wire *w);

/* Wait at most `ms` and read once: 1 something came, 0 nothing (or only room
 * to write). ERR_CLOSED: it is down now. */
int wire_wait(struct wire *w, int ms) must_check;

/* In wire.c: give the connection up; `why` and the errno (or 0) are for the
 * log. */
void wire_down(struct wire *w, const char *why, int error);

/* In wire.c: deal with what has been read. 1: the answer to `wanted` (may be
 * NULL) is *out. 0: more bytes are needed. ERR_CLOSED. */
int wire_serve(struct wire *w, const uint32_t *wanted,
	       struct pf_item *out) must_check;

#endif
