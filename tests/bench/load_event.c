/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_event: the one event that every system gets, as a proxy would send it.
 * What is in it decides every figure: do not change it without a new record.
 */
#include "tests/bench/load.h"

#include <stdlib.h>

#include "proto/pack.h"

static const char *const headers[][2] = {
	{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,"
		   "image/avif,image/webp,*/*;q=0.8"},
	{"Accept-Encoding", "gzip, deflate, br"},
	{"Accept-Language", "en-GB,en;q=0.8,de;q=0.5"},
	{"Cache-Control", "no-cache, no-store, max-age=0"},
	{"Connection", "keep-alive"},
	{"Cookie", "session=5f2d9c07be414f6a93b1c0d7e8f2a4b65f2d9c07be414f6a; "
		   "theme=dark"},
	{"Dnt", "1"},
	{"Referer", "http://shop.example.test/articles/overview"
		    "?page=3&sort=price&filter=available&lang=en"},
	{"Sec-Fetch-Mode", "navigate"},
	{"Upgrade-Insecure-Requests", "1"},
	{"X-Forwarded-For", "203.0.113.7"},
};

enum { HEADERS = sizeof(headers) / sizeof(headers[0]) };

static void pair(struct buf *b, const char *key, const char *value)
{
	pack_cstr(b, key);
	pack_cstr(b, value);
}

static void request(struct buf *b, const char *path, size_t body, size_t pad)
{
	char *filler = calloc(1, body + pad + 1);

	must(filler);
	pack_map(b, 10);
	pair(b, "proto", "HTTP/1.1");
	pair(b, "host", "shop.example.test");
	pair(b, "scheme", "http");
	pair(b, "method", "GET");
	pair(b, "path", path);
	pair(b, "url", "http://shop.example.test/articles/4711?lang=en");
	pair(b, "remote_addr", "203.0.113.7:51234");
	pack_cstr(b, "headers");
	pack_array(b, HEADERS + 1);
	for (size_t i = 0; i < HEADERS; i++) {
		pack_array(b, 2);
		pair(b, headers[i][0], headers[i][1]);
	}
	pack_array(b, 2);
	memset(filler, 'm', body + pad);
	pack_cstr(b, "User-Agent");
	pack_str(b, slice_of(filler, pad));
	pack_cstr(b, "body");
	pack_str(b, slice_of(filler, body)); /* Redis knows no bin */
	pack_cstr(b, "content_length");
	pack_uint(b, body);
	free(filler);
}

static void event(struct buf *b, const char *path, size_t body, size_t pad)
{
	buf_clear(b);
	pack_map(b, 4);
	pair(b, "id", "00000000");
	pair(b, "session_id", "0d9c2f6e-6a5b-4c1d-9f2e-8b7a6c5d4e3f");
	pack_cstr(b, "is_finished");
	pack_bool(b, false);
	pack_cstr(b, "req");
	request(b, path, body, pad);
	must(buf_error(b) == 0);
}

void load_event(struct buf *out, const char *path, size_t body)
{
	enum { PAD = 100 }; /* between 32 and 255: str 8 */

	/* The user agent makes up what is missing to LOAD_EVENT bytes. */
	event(out, path, 0, PAD);
	event(out, path, body, PAD + LOAD_EVENT - out->n);
	must(body || out->n == LOAD_EVENT);
}
