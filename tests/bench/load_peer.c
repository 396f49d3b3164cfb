/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_peer: how each system wants to be asked, written out by hand so that
 * no client library is measured. A new system is one more entry at the end.
 */
#include "tests/bench/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/pack.h"
#include "proto/rpc.h"
#include "proto/scan.h"

enum { RAW_ANSWER = 64 };

/* --- raw: fixed sizes, no format at all (hop.c) */

static void raw_request(struct load_request *r, const char *what,
			struct slice event)
{
	(void)what;
	buf_add_slice(&r->bytes, event);
}

static int raw_answer(struct slice in, size_t *len)
{
	*len = RAW_ANSWER;
	return in.n >= RAW_ANSWER;
}

/* --- Redis: RESP, EVALSHA with the event as the argument */

static void redis_request(struct load_request *r, const char *what,
			  struct slice event)
{
	struct buf *b = &r->bytes;

	buf_addf(b, "*4\r\n$7\r\nEVALSHA\r\n$%zu\r\n%s\r\n$1\r\n0\r\n$%zu\r\n",
		 strlen(what), what, event.n);
	buf_add_slice(b, event);
	buf_addf(b, "\r\n");
}

/* One line "Xnumber\r\n" at `at`: its number, and `at` behind it. */
static int redis_line(struct slice in, size_t *at, char *kind, long *number)
{
	const uint8_t *end;

	if (*at >= in.n)
		return 0;
	end = memchr(in.p + *at, '\n', in.n - *at);
	if (!end)
		return 0;
	*kind = (char)in.p[*at];
	*number = strtol((const char *)in.p + *at + 1, NULL, 10);
	*at = (size_t)(end - in.p) + 1;
	return 1;
}

static int redis_answer(struct slice in, size_t *len)
{
	size_t at = 0;
	long n, size;
	char kind;

	if (!redis_line(in, &at, &kind, &n))
		return 0;
	if (kind != '*')
		return ERR_FORMAT;
	for (long i = 0; i < n; i++) {
		if (!redis_line(in, &at, &kind, &size))
			return 0;
		if (kind == '$')
			at += (size_t)size + 2;
		else if (kind != ':')
			return ERR_FORMAT;
	}
	*len = at;
	return at <= in.n;
}

/* --- Tarantool: iproto CALL with the event as one string */

enum {
	IPROTO_REQUEST_TYPE = 0x00,
	IPROTO_SYNC = 0x01,
	IPROTO_TUPLE = 0x21,
	IPROTO_FUNCTION = 0x22,
	IPROTO_CALL = 0x0a,
	IPROTO_GREETING = 128,
	IPROTO_STATUS = 7, /* offset of the low-level code's four bytes */
};

static int tarantool_greet(int fd)
{
	char greeting[IPROTO_GREETING];
	size_t n = 0;

	while (n < sizeof(greeting)) {
		ssize_t got = read(fd, greeting + n, sizeof(greeting) - n);

		if (got <= 0)
			return ERR_CLOSED;
		n += (size_t)got;
	}
	return 0;
}

static void add_u32(struct buf *b, size_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_byte(b, (uint8_t)(value >> shift));
}

static void tarantool_request(struct load_request *r, const char *what,
			      struct slice event)
{
	struct buf body = {0};

	pack_map(&body, 2);
	pack_uint(&body, IPROTO_REQUEST_TYPE);
	pack_uint(&body, IPROTO_CALL);
	pack_uint(&body, IPROTO_SYNC);
	pack_uint(&body, UINT32_MAX);
	r->msg_id = body.n + 1; /* behind the size: 5 - 4 */
	pack_map(&body, 2);
	pack_uint(&body, IPROTO_FUNCTION);
	pack_cstr(&body, what);
	pack_uint(&body, IPROTO_TUPLE);
	pack_array(&body, 1);
	pack_str(&body, event);
	must(buf_error(&body) == 0);

	buf_add_byte(&r->bytes, 0xce);
	add_u32(&r->bytes, body.n);
	buf_add_slice(&r->bytes, buf_slice(&body));
	buf_fini(&body);
}

/* [ce size] {0: code, 1: sync, 5: schema} {0x30: values}, fixed widths. */
static int tarantool_answer(struct slice in, size_t *len)
{
	static const uint8_t good[4];

	if (in.n < IPROTO_STATUS + 5)
		return 0;
	if (in.p[0] != 0xce || memcmp(in.p + IPROTO_STATUS + 1, good, 4) != 0)
		return ERR_FORMAT;
	*len = 5 + ((size_t)in.p[1] << 24 | (size_t)in.p[2] << 16 |
		    (size_t)in.p[3] << 8 | in.p[4]);
	return in.n >= *len;
}

/* --- pinfold: MessagePack-RPC */

static void pinfold_request(struct load_request *r, const char *what,
			    struct slice event)
{
	rpc_request(&r->bytes, UINT32_MAX, what, 1);
	r->msg_id = 3; /* 94 00 ce */
	pack_raw(&r->bytes, event);
}

static int pinfold_answer(struct slice in, size_t *len)
{
	struct scan scan;
	struct rpc rpc;
	int r;

	scan_init(&scan, 16 << 20);
	r = scan_next(&scan, in, len);
	if (r <= 0)
		return r;
	r = rpc_decode(slice_of(in.p, *len), &rpc);
	if (r < 0)
		return r;
	return rpc.type == RPC_RESPONSE && !rpc.failed ? 1 : ERR_FORMAT;
}

const struct load_peer load_peers[] = {
	{"raw", NULL, raw_request, raw_answer},
	{"redis", NULL, redis_request, redis_answer},
	{"tarantool", tarantool_greet, tarantool_request, tarantool_answer},
	{"pinfold", NULL, pinfold_request, pinfold_answer},
	{NULL, NULL, NULL, NULL},
};
