/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a verdict and as modifiers (the first byte picks the hook), and
 * as properties to merge: what was cleaned passes the check, cleaning it again
 * changes nothing, and what was merged is one whole map.
 */
#include "proto/mods.h"
#include "proto/scan.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(enum hook hook, struct slice in)
{
	struct buf once = {0}, twice = {0}, why = {0};

	if (mods_clean(hook, in, &once, &why) == OK) {
		must(why.n == 0);
		must(mods_check(hook, buf_slice(&once), &why) == OK);
		must(mods_clean(hook, buf_slice(&once), &twice, NULL) == OK);
		must(slice_eq(buf_slice(&once), buf_slice(&twice)));
	} else {
		must(once.n == 0 && why.n > 0);
		must(mods_check(hook, in, NULL) < 0);
	}
	buf_fini(&once);
	buf_fini(&twice);
	buf_fini(&why);
}

static void check_verdict(enum hook hook, struct slice in)
{
	struct verdict_view v, again;
	struct buf b = {0};

	if (verdict_read(in, hook, &v) < 0)
		return;
	must(v.verdict < VERDICT_COUNT);
	must(slice_is_utf8(v.reason));
	must(v.mods.n == 0 || mods_check(hook, v.mods, NULL) == OK);
	verdict_pack(&b, &v);
	must(verdict_read(buf_slice(&b), hook, &again) == OK);
	must(again.verdict == v.verdict && slice_eq(again.mods, v.mods));
	buf_fini(&b);
}

static void check_one_map(struct buf *b)
{
	struct cursor c = cursor_of(buf_slice(b));
	struct scan s;
	size_t len;

	must(!buf_error(b));
	scan_init(&s, b->n);
	must(scan_next(&s, buf_slice(b), &len) == 1 && len == b->n);
	must(cursor_peek(&c) == CURSOR_MAP);
	buf_clear(b);
}

static void check_merge(struct slice in)
{
	struct cursor c = cursor_of(in);
	struct slice input = cursor_raw(&c), mods = cursor_raw(&c);
	struct buf b = {0};

	if (c.error)
		return;
	mods_merge_properties(input, mods, &b);
	check_one_map(&b);
	if (mods_check(HOOK_AUTH_ON_PUBLISH_M5, mods, NULL) == OK) {
		mods_merge_publish(input, mods, &b);
		check_one_map(&b);
	}
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum hook hook;
	struct slice in;

	if (size == 0)
		return 0;
	hook = (enum hook)(data[0] % HOOK_COUNT);
	in = slice_of(data + 1, size - 1);
	check_clean(hook, in);
	check_verdict(hook, in);
	check_merge(in);
	return 0;
}
