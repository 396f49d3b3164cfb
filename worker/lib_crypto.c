/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto: hash(alg, data) and hmac(alg, key, data) in hexadecimal, random(n)
 * bytes and uuid() from the kernel; for VerneMQ's scripts (mq_crypto) hash
 * gives bytes and has their names. The only file that knows nettle.
 */
#include "worker/blake2.h"
#include "worker/crypto.h"
#include "worker/libs.h"
#include "worker/mq.h"

#include <nettle/hmac.h>
#include <nettle/md4.h>
#include <nettle/nettle-meta.h>
#include <nettle/ripemd160.h>
#include <nettle/sha3.h>
#include <sys/random.h>

enum { MAX_RANDOM = 1 << 20, MAX_CONTEXT = 1024, MAX_DIGEST = 64 };

/* Room for a hash's state, aligned for all of them. */
union context {
	uint8_t bytes[MAX_CONTEXT];
	uint64_t aligned;
};

static const struct {
	const char *name;
	const struct nettle_hash *hash;
} algorithms[] = {
	{"md5", &nettle_md5},		{"sha1", &nettle_sha1},
	{"sha224", &nettle_sha224},	{"sha256", &nettle_sha256},
	{"sha384", &nettle_sha384},	{"sha512", &nettle_sha512},
	{"sha3-256", &nettle_sha3_256}, {"sha3-512", &nettle_sha3_512},
};

static const struct nettle_hash *check_hash(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++)
		if (strcmp(algorithms[i].name, name) == 0)
			return algorithms[i].hash;
	luaL_argerror(L, 1, lua_pushfstring(L, "unknown algorithm '%s'", name));
	return NULL;
}

static void push_hex(lua_State *L, const uint8_t *p, size_t n)
{
	char hex[2 * MAX_DIGEST];

	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = "0123456789abcdef"[p[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[p[i] & 15];
	}
	lua_pushlstring(L, hex, 2 * n);
}

static void digest_parts(const struct nettle_hash *hash,
			 const struct slice *parts, size_t n, uint8_t *out)
{
	union context context;

	must(hash->context_size <= sizeof(context));
	hash->init(&context);
	for (size_t i = 0; i < n; i++)
		hash->update(&context, parts[i].n, parts[i].p);
	hash->digest(&context, hash->digest_size, out);
}

void crypto_sha256(const struct slice *parts, size_t n,
		   uint8_t out[CRYPTO_SHA256_BYTES])
{
	digest_parts(&nettle_sha256, parts, n, out);
}

static int crypto_hash(lua_State *L)
{
	const struct nettle_hash *hash = check_hash(L);
	uint8_t digest[MAX_DIGEST];
	struct slice data;

	data.p = (const uint8_t *)luaL_checklstring(L, 2, &data.n);
	digest_parts(hash, &data, 1, digest);
	push_hex(L, digest, hash->digest_size);
	return 1;
}

static int crypto_hmac(lua_State *L)
{
	const struct nettle_hash *hash = check_hash(L);
	uint8_t digest[MAX_DIGEST];
	union context outer, inner, state;
	size_t key_n, n;
	const char *key = luaL_checklstring(L, 2, &key_n);
	const char *data = luaL_checklstring(L, 3, &n);

	must(hash->context_size <= sizeof(state));
	hmac_set_key(&outer, &inner, &state, hash, key_n, (const uint8_t *)key);
	hmac_update(&state, hash, n, (const uint8_t *)data);
	hmac_digest(&outer, &inner, &state, hash, hash->digest_size, digest);
	push_hex(L, digest, hash->digest_size);
	return 1;
}

void crypto_random(lua_State *L, uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t part = n < 256 ? n : 256;

		/* Up to 256 bytes come whole, signals or not. */
		if (getrandom(p, part, 0) != (ssize_t)part)
			luaL_error(L, "the kernel has no random bytes");
		p += part;
		n -= part;
	}
}

static int crypto_random_string(lua_State *L)
{
	lua_Integer n = luaL_checkinteger(L, 1);
	luaL_Buffer b;
	uint8_t *p;

	luaL_argcheck(L, n >= 0 && n <= MAX_RANDOM, 1,
		      "must be from 0 to 1048576");
	p = (uint8_t *)luaL_buffinitsize(L, &b, (size_t)n);
	crypto_random(L, p, (size_t)n);
	luaL_pushresultsize(&b, (size_t)n);
	return 1;
}

static int crypto_uuid(lua_State *L)
{
	static const char dash_after[16] = {[3] = 1, [5] = 1, [7] = 1, [9] = 1};
	uint8_t raw[16];
	char text[36], *at = text;

	crypto_random(L, raw, sizeof(raw));
	raw[6] = (raw[6] & 0x0f) | 0x40;
	raw[8] = (raw[8] & 0x3f) | 0x80;
	for (size_t i = 0; i < sizeof(raw); i++) {
		*at++ = "0123456789abcdef"[raw[i] >> 4];
		*at++ = "0123456789abcdef"[raw[i] & 15];
		if (dash_after[i])
			*at++ = '-';
	}
	lua_pushlstring(L, text, sizeof(text));
	return 1;
}

static const luaL_Reg functions[] = {
	{"hash", crypto_hash},
	{"hmac", crypto_hmac},
	{"random", crypto_random_string},
	{"uuid", crypto_uuid},
	{NULL, NULL},
};

void open_crypto(lua_State *L)
{
	luaL_newlib(L, functions);
}

/* --- as VerneMQ's scripts know it --- */

/* The names are Erlang's; there is no "sha1". Without a hash: ours. */
static const struct {
	const char *name;
	const struct nettle_hash *hash;
	void (*own)(struct slice data, uint8_t *out);
	size_t size; /* of own's */
} digests[] = {
	{"md4", &nettle_md4, NULL, 0},
	{"md5", &nettle_md5, NULL, 0},
	{"ripemd160", &nettle_ripemd160, NULL, 0},
	{"sha", &nettle_sha1, NULL, 0},
	{"sha224", &nettle_sha224, NULL, 0},
	{"sha256", &nettle_sha256, NULL, 0},
	{"sha384", &nettle_sha384, NULL, 0},
	{"sha512", &nettle_sha512, NULL, 0},
	{"sha3_224", &nettle_sha3_224, NULL, 0},
	{"sha3_256", &nettle_sha3_256, NULL, 0},
	{"sha3_384", &nettle_sha3_384, NULL, 0},
	{"sha3_512", &nettle_sha3_512, NULL, 0},
	{"blake2b", NULL, blake2b, BLAKE2B_BYTES},
	{"blake2s", NULL, blake2s, BLAKE2S_BYTES},
};

static int digest_bytes(lua_State *L)
{
	struct slice name = mq_text(L, 1), data = mq_text(L, 2);
	uint8_t digest[MAX_DIGEST];
	size_t n = sizeof(digests) / sizeof(*digests), i = 0;

	while (i < n && !slice_is(name, digests[i].name))
		i++;
	if (i == n)
		return luaL_argerror(L, 1,
				     lua_pushfstring(L,
						     "unknown algorithm '%s'",
						     lua_tostring(L, 1)));
	if (digests[i].hash)
		digest_parts(digests[i].hash, &data, 1, digest);
	else
		digests[i].own(data, digest);
	n = digests[i].hash ? digests[i].hash->digest_size : digests[i].size;
	lua_pushlstring(L, (const char *)digest, n);
	return 1;
}

void mq_crypto(lua_State *L)
{
	luaL_setfuncs(L, functions, 0);
	lua_pushcfunction(L, digest_bytes);
	lua_setfield(L, -2, "hash");
}
