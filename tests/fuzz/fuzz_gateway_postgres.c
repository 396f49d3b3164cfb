/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_gateway_postgres: any text as a field of a row, of a type that the
 * first byte chooses. What comes out is one whole value or a refusal.
 */
#include <stdlib.h>

#include "gateway/provider/postgres.h"
#include "proto/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const Oid types[] = {16,	  17,	20,   25,   701,  1000, 1001,
				    1005, 1007, 1009, 1016, 1022, 1182, 1231};
	struct buf out = {0};
	char *text;
	Oid type;

	if (size == 0)
		return 0;
	type = types[data[0] % (sizeof(types) / sizeof(*types))];
	text = malloc(size); /* with the NUL that libpq puts behind it */
	must(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (pg_pack_field(&out, type, slice_of(text, size - 1)) == OK)
		must(scan_whole(buf_slice(&out), out.n));
	buf_fini(&out);
	free(text);
	return 0;
}
