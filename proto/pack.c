/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack: msgpack-c's packer, writing into a buf. The only file that knows
 * msgpack-c; it never unpacks (it allocates what a message declares).
 */
#include "proto/pack.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <msgpack/pack.h>
#pragma GCC diagnostic pop

#include "proto/proto.h"

static int on_bytes(void *data, const char *p, size_t n)
{
	buf_add(data, p, n);
	return 0; /* a failure sticks in the buf */
}

static msgpack_packer packer(struct buf *b)
{
	return (msgpack_packer){.data = b, .callback = on_bytes};
}

void pack_nil(struct buf *b)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_nil(&pk);
}

void pack_bool(struct buf *b, bool v)
{
	msgpack_packer pk = packer(b);

	if (v)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
}

void pack_uint(struct buf *b, uint64_t v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_uint64(&pk, v);
}

void pack_int(struct buf *b, int64_t v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_int64(&pk, v);
}

void pack_double(struct buf *b, double v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_double(&pk, v);
}

void pack_array(struct buf *b, uint32_t n)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_array(&pk, n);
}

void pack_map(struct buf *b, uint32_t n)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_map(&pk, n);
}

void pack_str(struct buf *b, struct slice s)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_str(&pk, s.n);
	buf_add_slice(b, s);
}

void pack_cstr(struct buf *b, const char *s)
{
	pack_str(b, slice_str(s));
}

void pack_bin(struct buf *b, struct slice s)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_bin(&pk, s.n);
	buf_add_slice(b, s);
}

void pack_ext(struct buf *b, int8_t type, struct slice s)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_ext(&pk, s.n, type);
	buf_add_slice(b, s);
}

void pack_text(struct buf *b, struct slice s)
{
	if (slice_is_utf8(s))
		pack_str(b, s);
	else
		pack_bin(b, s);
}

void pack_raw(struct buf *b, struct slice values)
{
	buf_add_slice(b, values);
}

void pack_lazy(struct buf *b, uint64_t len)
{
	uint8_t be[8];

	for (int i = 0; i < 8; i++)
		be[i] = (uint8_t)(len >> (56 - 8 * i));
	pack_ext(b, PROTO_EXT_LAZY, slice_of(be, sizeof(be)));
}
