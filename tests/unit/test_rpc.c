/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes: there and back, and every form that is none.
 */
#include <criterion/criterion.h>

#include "proto/pack.h"
#include "proto/rpc.h"
#include "proto/scan.h"

static struct rpc decode(struct buf *b)
{
	struct rpc rpc;

	cr_assert_eq(buf_error(b), OK);
	cr_assert(scan_whole(buf_slice(b), 1 << 20));
	cr_assert_eq(rpc_decode(buf_slice(b), &rpc), OK);
	return rpc;
}

Test(rpc, request)
{
	static const uint32_t ids[] = {0, 1, 127, 128, 65536, UINT32_MAX};

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		struct buf b = {0};
		struct rpc rpc;

		rpc_request(&b, ids[i], "before_request", 2);
		pack_uint(&b, 5);
		pack_nil(&b);
		rpc = decode(&b);
		cr_assert_eq(rpc.type, RPC_REQUEST);
		cr_assert_eq(rpc.id, ids[i]);
		cr_assert(slice_is(rpc.method, "before_request"));
		cr_assert_eq(rpc.nparams, 2);
		cr_assert(slice_is(rpc.params, "\x92\x05\xc0"));
		buf_fini(&b);
	}
}

Test(rpc, notification)
{
	struct buf b = {0};
	struct rpc rpc;

	rpc_notification(&b, "goaway", 0);
	rpc = decode(&b);
	cr_assert_eq(rpc.type, RPC_NOTIFICATION);
	cr_assert(slice_is(rpc.method, "goaway"));
	cr_assert_eq(rpc.nparams, 0);
	buf_fini(&b);
}

Test(rpc, result_and_failure)
{
	struct buf b = {0};
	struct rpc rpc;

	rpc_result(&b, 9);
	pack_bool(&b, true);
	rpc = decode(&b);
	cr_assert_eq(rpc.type, RPC_RESPONSE);
	cr_assert_eq(rpc.id, 9);
	cr_assert(!rpc.failed);
	cr_assert(slice_is(rpc.result, "\xc3"));

	buf_clear(&b);
	rpc_failure(&b, 9);
	pack_cstr(&b, "no");
	rpc_failure_end(&b);
	rpc = decode(&b);
	cr_assert(rpc.failed);
	cr_assert(slice_is(rpc.error, "\xa2no"));
	cr_assert(slice_is(rpc.result, "\xc0"));
	buf_fini(&b);
}

Test(rpc, the_method_may_be_bin)
{
	struct rpc rpc;
	static const char bytes[] = "\x94\x00\x01\xc4\x02go\x90";

	cr_assert_eq(rpc_decode(slice_of(bytes, sizeof(bytes) - 1), &rpc), OK);
	cr_assert(slice_is(rpc.method, "go"));
}

#define BAD(text)                                                              \
	{                                                                      \
		(text), sizeof(text) - 1                                       \
	}

Test(rpc, what_is_no_envelope)
{
	static const struct {
		const char *p;
		size_t n;
	} bad[] = {
		BAD("\xc0"),
		BAD("\x80"),
		BAD("\xa3rpc"),
		BAD("\x90"),
		BAD("\x94\x03\x01\xa1m\x90"),	  /* no such type */
		BAD("\x94\xff\x01\xa1m\x90"),	  /* negative type */
		BAD("\x94\xa1\x30\x01\xa1m\x90"), /* type as text */
		BAD("\x93\x00\x01\xa1m"),	  /* request of three */
		BAD("\x95\x00\x01\xa1m\x90\xc0"), /* of five */
		BAD("\x94\x02\xa1m\x90\xc0"),	  /* notification of four */
		BAD("\x92\x02\xa1m"),
		BAD("\x93\x01\x01\xc0"),      /* response of three */
		BAD("\x94\x00\xff\xa1m\x90"), /* negative id */
		BAD("\x94\x00\xcf\0\0\0\1\0\0\0\0\xa1m\x90"), /* id 2^32 */
		BAD("\x94\x00\xc0\xa1m\x90"),		      /* id nil */
		BAD("\x94\x00\xa1\x31\xa1m\x90"),
		BAD("\x94\x00\x01\x05\x90"), /* method is a number */
		BAD("\x94\x00\x01\x91\x01\x90"),
		BAD("\x94\x00\x01\xa1m\x80"), /* params is a map */
		BAD("\x94\x00\x01\xa1m\xc0"), /* params is nil */
		BAD("\x93\x02\xa1m\xa1p"),
		BAD("\x94\x01\xc0\xc0\xc0"),
	};
	struct rpc rpc;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct slice s = slice_of(bad[i].p, bad[i].n);

		cr_assert(scan_whole(s, 100), "row %zu is one value", i);
		cr_assert_eq(rpc_decode(s, &rpc), ERR_FORMAT, "row %zu", i);
	}
}
