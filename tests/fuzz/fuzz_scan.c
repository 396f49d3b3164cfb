/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a stream of messages: however they are cut into pieces, the
 * same messages come out and the same error ends them; a whole message is one
 * for the cursor too; marks stand at values. The first bytes say how to cut.
 */
#include <stdlib.h>

#include "proto/scan.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 4096, MESSAGES = 64 };

struct verdict {
	size_t end[MESSAGES]; /* where each message ended */
	size_t n;
	int error;
	unsigned marks;
};

static void check_marks(const struct scan *s, struct slice msg)
{
	for (unsigned i = 0; i < s->nmarks; i++) {
		struct cursor c = cursor_of(msg);

		must(s->mark[i] < msg.n);
		must(i == 0 || s->mark[i - 1] < s->mark[i]);
		c.p += s->mark[i];
		cursor_skip(&c);
		must(c.error == OK);
		/* Siblings stand back to back. */
		must(i + 1 == s->nmarks || c.p <= msg.p + s->mark[i + 1]);
	}
}

/* Feed `bytes` in pieces whose sizes a generator draws from `seed`. */
static void feed(struct slice bytes, unsigned seed, struct verdict *v)
{
	size_t start = 0, have = 0, len;
	struct scan s;
	int r;

	*v = (struct verdict){0};
	scan_init(&s, MAX);
	while (have < bytes.n) {
		size_t piece = seed ? (size_t)rand_r(&seed) % 23 : bytes.n;

		have = piece < bytes.n - have ? have + piece : bytes.n;
		while (v->n < MESSAGES && v->error == 0) {
			struct slice rest =
				slice_of(bytes.p + start, have - start);

			r = scan_next(&s, rest, &len);
			if (r == 0)
				break;
			if (r < 0) {
				v->error = r;
				return;
			}
			must(len > 0 && len <= rest.n && len <= MAX);
			check_marks(&s, slice_of(rest.p, len));
			v->marks = v->marks * 31 + s.nmarks;
			start += len;
			v->end[v->n++] = start;
		}
	}
}

static void check_whole(struct slice bytes, const struct verdict *v)
{
	size_t start = 0;

	for (size_t i = 0; i < v->n; i++) {
		struct slice msg = slice_of(bytes.p + start, v->end[i] - start);
		struct cursor c = cursor_of(msg);

		must(scan_whole(msg, MAX));
		must(msg.n == 1 ||
		     !scan_whole(slice_of(msg.p, msg.n - 1), MAX));
		must(cursor_raw(&c).n == msg.n);
		start = v->end[i];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verdict all, cut;
	struct slice bytes;

	if (size < 3)
		return 0;
	bytes = slice_of(data + 3, size - 3);
	feed(bytes, 0, &all);
	check_whole(bytes, &all);
	for (int i = 0; i < 3; i++) {
		feed(bytes, data[i] + 1u, &cut);
		must(cut.n == all.n && cut.error == all.error);
		must(cut.marks == all.marks);
		must(memcmp(cut.end, all.end, sizeof(cut.end)) == 0);
	}
	return 0;
}
