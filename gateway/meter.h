/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter: how much a socket has brought since a job began. The libraries buffer
 * whole rows and messages before they show any; this stops a server that
 * sends one without end.
 */
#ifndef PF_GATEWAY_METER_H
#define PF_GATEWAY_METER_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes on the wire for one answer: what is packed may be shorter than what
 * was sent (bytes as hexadecimal text). */
enum { METER_MAX = 64 << 20 };

struct meter {
	int fd;
	bool started;
	uint64_t from;
};

/* Costs nothing: the count begins when the first wait is over. */
static inline void meter_start(struct meter *m, int fd)
{
	*m = (struct meter){.fd = fd};
}

/* After each wait for bytes: false when it is too much. */
bool meter_holds(struct meter *m);

#endif
