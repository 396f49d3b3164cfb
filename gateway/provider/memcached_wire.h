/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcached_wire: are these bytes answers as memcached gives them? Asked of
 * all that arrives, before libmemcached reads it: that takes a strange answer
 * for one of its own (a bare "VERSION" is the end of its process).
 */
#ifndef PF_GATEWAY_PROVIDER_MEMCACHED_WIRE_H
#define PF_GATEWAY_PROVIDER_MEMCACHED_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_LINE = 1024 };

/* Zeroed before each command. */
struct wire {
	char line[WIRE_LINE];
	size_t n;    /* of the line that has begun */
	size_t skip; /* bytes of a value that are still to come */
};

/* The next bytes, as they came. False: no memcached. */
bool wire_take(struct wire *w, const void *p, size_t n);

#endif
