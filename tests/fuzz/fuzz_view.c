/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a worker looks at: a map of an event, its header fields,
 * cookies and URL, each with nothing behind it for an overrun to hide in.
 */
#include "lib/err.h"
#include "proto/scan.h"
#include "proto/unpack.h"
#include "worker/cookies.h"
#include "worker/field.h"
#include "worker/headers.h"
#include "worker/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_map(struct slice in)
{
	struct fields f;

	if (!fields_open(&f, in.p, 0, (uint32_t)in.n))
		return;
	for (int i = FIELD_COUNT - 1; i > 0; i--) {
		struct slice found = fields_find(&f, in.p, (enum field)i);

		must(found.n == 0 || (found.p > in.p && found.p < in.p + in.n));
	}
}

static void as_headers(struct slice in)
{
	struct headers h = {0};
	uint8_t name[256];

	if (headers_load(&h, in.p, in) == OK)
		for (size_t i = 0; i < headers_count(&h); i++) {
			struct slice s = header_name(headers_at(&h, i), in.p);

			if (s.n <= sizeof(name))
				header_canonical(s, name);
			headers_del(&h, in.p, s);
			must(headers_at(&h, i)->dead);
		}
	headers_fini(&h);
}

static void as_cookies(struct slice in)
{
	struct slice rest = in;
	struct set_cookie c;
	struct cookie one;
	struct buf out = {0};

	while (cookie_next(&rest, &one)) {
		must(one.name.n > 0 && one.raw.n >= one.name.n);
		cookie_put(&out, one.name, one.value);
	}
	if (set_cookie_parse(in, &c))
		set_cookie_put(&out, &c);
	buf_fini(&out);
}

static void as_url(struct slice in)
{
	struct url u = url_split(in);
	struct slice name, value, rest = u.query;
	struct buf out = {0};

	url_decode(in, true, &out);
	must(out.n <= in.n);
	while (url_pair(&rest, &name, &value))
		must(name.n + value.n <= in.n);
	buf_clear(&out);
	url_join(&u, u.path, &out);
	if (url_ok(in))
		must(url_split(buf_slice(&out)).host.n == u.host.n);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);

	as_map(in);
	as_headers(in);
	as_cookies(in);
	as_url(in);
	return 0;
}
