/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_gateway_mongodb: any bytes as a document of a server. What passes the
 * check becomes one whole value or is refused, and a value is a document
 * again.
 */
#include "gateway/provider/mongodb.h"
#include "proto/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = {0};
	bson_t doc, again = BSON_INITIALIZER;
	const char *field;
	struct cursor c;

	if (!mongo_is_document(data, size))
		return 0;
	must(bson_init_static(&doc, data, size));
	if (mongo_pack_doc(&out, &doc, &field) == OK) {
		must(scan_whole(buf_slice(&out), out.n));
		c = cursor_of(buf_slice(&out));
		must(mongo_read_doc(&c, &again, true) == OK);
	}
	bson_destroy(&again);
	buf_fini(&out);
	return 0;
}
