/* SPDX-License-Identifier: Apache-2.0 */
/*
 * obf: VerneMQ hands passwords to scripts obfuscated, and obf.decrypt turns
 * them back. Here they are plain text, which decrypt passes through; what
 * encrypt made, decrypt knows by its mark and its check. It keeps a value out
 * of sight in a log, no more: the key stands below.
 */
#include "worker/crypto.h"
#include "worker/libs.h"
#include "worker/mq.h"
#include "worker/out.h"

enum { MARK = 5, NONCE = 8, CHECK = 8, HEAD = MARK + NONCE + CHECK };

static const char mark[MARK] = {'\x1b', 'o', 'b', 'f', '1'};
static const char key[] = "pinfold obf 1";

/* n bytes, at most 32, of a stream of the nonce; `part` separates its uses. */
static void stream(const uint8_t *nonce, uint64_t part, struct slice data,
		   uint8_t out[CRYPTO_SHA256_BYTES])
{
	const struct slice parts[] = {
		slice_of(key, sizeof(key)),
		slice_of(nonce, NONCE),
		slice_of(&part, sizeof(part)),
		data,
	};

	crypto_sha256(parts, 4, out);
}

static void check_of(const uint8_t *nonce, struct slice plain,
		     uint8_t out[CRYPTO_SHA256_BYTES])
{
	stream(nonce, UINT64_MAX, plain, out);
}

/* Append `from`, turned; the same turns it back. */
static void add_turned(struct out *o, const uint8_t *nonce, struct slice from)
{
	uint8_t pad[CRYPTO_SHA256_BYTES];

	for (size_t i = 0; i < from.n; i++) {
		if (i % sizeof(pad) == 0)
			stream(nonce, i / sizeof(pad), slice_of("", 0), pad);
		if (i % 65536 == 0)
			vm_poll(o->L);
		out_byte(o, (char)(from.p[i] ^ pad[i % sizeof(pad)]));
	}
}

static int obf_encrypt(lua_State *L)
{
	struct slice plain = mq_text(L, 1);
	uint8_t nonce[NONCE], check[CRYPTO_SHA256_BYTES];
	struct out o;

	crypto_random(L, nonce, sizeof(nonce));
	check_of(nonce, plain, check);
	out_init(&o, L);
	out_add(&o, mark, MARK);
	out_add(&o, nonce, NONCE);
	out_add(&o, check, CHECK);
	add_turned(&o, nonce, plain);
	out_push(&o);
	return 1;
}

static int obf_decrypt(lua_State *L)
{
	struct slice blob = mq_text(L, 1), plain;
	uint8_t check[CRYPTO_SHA256_BYTES];
	const uint8_t *nonce = blob.p + MARK;
	struct out o;

	lua_settop(L, 1);
	if (blob.n < HEAD || memcmp(blob.p, mark, MARK) != 0)
		return 1;
	out_init(&o, L);
	add_turned(&o, nonce, slice_of(blob.p + HEAD, blob.n - HEAD));
	out_push(&o);
	plain.p = (const uint8_t *)lua_tolstring(L, -1, &plain.n);
	check_of(nonce, plain, check);
	if (memcmp(check, nonce + NONCE, CHECK) != 0)
		lua_settop(L, 1);
	return 1;
}

void mq_obf(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"encrypt", obf_encrypt},
		{"decrypt", obf_decrypt},
		{NULL, NULL},
	};

	luaL_setfuncs(L, functions, 0);
}
