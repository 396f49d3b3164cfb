/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64: the standard alphabet with padding (RFC 4648 4). Line ends are
 * skipped when decoding; anything else that is out of place is an error.
 */
#ifndef PF_LIB_BASE64_H
#define PF_LIB_BASE64_H

#include "lib/slice.h"

/* Bytes that n bytes have when they are encoded. */
static inline size_t base64_size(size_t n)
{
	return (n + 2) / 3 * 4;
}

/* Bytes that decoding n bytes needs at most. */
static inline size_t base64_room(size_t n)
{
	return n / 4 * 3 + 3;
}

/* Writes base64_size(in.n) bytes, no NUL. */
void base64_encode(struct slice in, char *out);

/*
 * Writes at most base64_room(in.n) bytes and returns how many. -1: *wrong is
 * the offset of the byte that is wrong, as Go's decoder counts it, since
 * scripts were written against that.
 */
ptrdiff_t base64_decode(struct slice in, uint8_t *out, ptrdiff_t *wrong);

#endif
