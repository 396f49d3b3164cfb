/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blake2: BLAKE2b with 64 bytes and BLAKE2s with 32, without a key (RFC 7693),
 * in one go. Our nettle has neither.
 */
#ifndef PF_WORKER_BLAKE2_H
#define PF_WORKER_BLAKE2_H

#include "lib/slice.h"

enum { BLAKE2B_BYTES = 64, BLAKE2S_BYTES = 32 };

void blake2b(struct slice data, uint8_t out[BLAKE2B_BYTES]);
void blake2s(struct slice data, uint8_t out[BLAKE2S_BYTES]);

#endif
