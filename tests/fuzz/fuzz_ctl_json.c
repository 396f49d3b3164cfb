/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as JSON: either a whole packed value that is written and read
 * back as the same, or a mistake with its place. And redact never makes
 * something malformed of what was read.
 */
#include "broker/redact.h"
#include "ctl/json.h"
#include "proto/scan.h"
#include "proto/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void redact(struct slice packed)
{
	struct cursor c = cursor_of(packed);
	struct redacted r = {0};

	if (cursor_peek(&c) == CURSOR_MAP) {
		redact_event(packed, slice_of(NULL, 0), false, &r);
		must(buf_error(&r.event) == OK);
		must(scan_whole(buf_slice(&r.event), r.event.n));
	}
	redacted_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf packed = {0}, text = {0}, again = {0}, text2 = {0};
	struct json_error error;
	int rc = json_read(slice_of(data, size), &packed, &error);

	if (rc < 0) {
		must(error.what && error.line >= 1 && error.column >= 1);
	} else {
		must(scan_whole(buf_slice(&packed), packed.n));
		json_write(buf_slice(&packed), (size & 1) != 0, &text);
		must(json_read(buf_slice(&text), &again, &error) == OK);
		json_write(buf_slice(&again), (size & 1) != 0, &text2);
		must(slice_eq(buf_slice(&text), buf_slice(&text2)));
		redact(buf_slice(&packed));
	}
	buf_fini(&packed);
	buf_fini(&text);
	buf_fini(&again);
	buf_fini(&text2);
	return 0;
}
