/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto: what lib_crypto.c, the only file that knows nettle, gives to others.
 */
#ifndef PF_WORKER_CRYPTO_H
#define PF_WORKER_CRYPTO_H

#include "worker/vm.h"

enum { CRYPTO_SHA256_BYTES = 32 };

/* SHA-256 of the parts, one behind the other. */
void crypto_sha256(const struct slice *parts, size_t n,
		   uint8_t out[CRYPTO_SHA256_BYTES]);

/* From the kernel. Raises when it has none. */
void crypto_random(lua_State *L, uint8_t *p, size_t n);

#endif
