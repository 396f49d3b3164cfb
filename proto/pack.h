/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack: MessagePack writer over a buf. Failures stick in the buf, so a run of
 * calls is checked once, by buf_error(). (A thin face over msgpack-c's packer.)
 */
#ifndef PF_PROTO_PACK_H
#define PF_PROTO_PACK_H

#include "lib/buf.h"

void pack_nil(struct buf *b);
void pack_bool(struct buf *b, bool v);
void pack_uint(struct buf *b, uint64_t v);
void pack_int(struct buf *b, int64_t v);
void pack_double(struct buf *b, double v);
void pack_array(struct buf *b, uint32_t n); /* then n values */
void pack_map(struct buf *b, uint32_t n);   /* then n times key, value */
void pack_str(struct buf *b, struct slice s);
void pack_cstr(struct buf *b, const char *s);
void pack_bin(struct buf *b, struct slice s);
void pack_ext(struct buf *b, int8_t type, struct slice s);

/* str where the bytes are valid UTF-8, bin otherwise (PROTOCOL.md 1). */
void pack_text(struct buf *b, struct slice s);

/* Bytes that are whole values already. */
void pack_raw(struct buf *b, struct slice values);

/* Extension type 1: a body of `len` bytes that is kept elsewhere. */
void pack_lazy(struct buf *b, uint64_t len);

#endif
