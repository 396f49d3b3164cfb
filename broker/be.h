/* SPDX-License-Identifier: Apache-2.0 */
/*
 * be: big-endian numbers, so that keys sort as the numbers do.
 */
#ifndef PF_BROKER_BE_H
#define PF_BROKER_BE_H

#include <stdint.h>

static inline void be_put64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static inline uint64_t be_get64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

#endif
