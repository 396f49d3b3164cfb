/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An array [publish, subscribe, table]: whatever a script's lists and an
 * event's table are, the verdict on them is one that fits its hook.
 */
#include "broker/mqtt_verdict.h"
#include "proto/mods.h"
#include "proto/scan.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct buf *out, enum hook hook)
{
	struct verdict_view v;

	must(buf_error(out) == OK);
	must(scan_whole(buf_slice(out), out->n));
	must(verdict_read(buf_slice(out), hook, &v) == OK);
	must(v.verdict == VERDICT_OK || v.verdict == VERDICT_DENY);
	must((v.verdict == VERDICT_DENY) == (v.reason.n > 0));
	buf_fini(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(slice_of(data, size));
	struct acl_source src = {.client_id = slice_str("c"),
				 .username = slice_str("u")};
	struct buf canonical = {0}, out = {0};
	struct acl *acl = NULL;
	struct slice table;

	if (!scan_whole(slice_of(data, size), 1 << 20) || cursor_array(&c) < 3)
		return 0;
	src.publish = cursor_raw(&c);
	src.subscribe = cursor_raw(&c);
	table = cursor_raw(&c);
	if (acl_canonical(&src, &canonical, NULL, NULL) == OK) {
		must(acl_new(buf_slice(&canonical), &acl) == OK);
		mqtt_publish_verdict(acl, table, false, &out);
		check(&out, HOOK_AUTH_ON_PUBLISH);
		mqtt_publish_verdict(acl, table, true, &out);
		check(&out, HOOK_AUTH_ON_PUBLISH_M5);
		mqtt_subscribe_verdict(acl, table, false, &out);
		check(&out, HOOK_AUTH_ON_SUBSCRIBE);
		mqtt_subscribe_verdict(acl, table, true, &out);
		check(&out, HOOK_AUTH_ON_SUBSCRIBE_M5);
		mqtt_unsubscribe_verdict(acl, table, false, &out);
		check(&out, HOOK_ON_UNSUBSCRIBE);
		mqtt_unsubscribe_verdict(acl, table, true, &out);
		check(&out, HOOK_ON_UNSUBSCRIBE_M5);
	}
	acl_free(acl);
	buf_fini(&canonical);
	return 0;
}
