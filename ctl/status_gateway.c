/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status_gateway: the part of `pinfold status` that is about the gateway and
 * its pools.
 */
#include <inttypes.h>

#include "ctl/ctl.h"
#include "ctl/field.h"
#include "ctl/out.h"

static int print_head(struct slice gateway)
{
	struct cursor missing = field_at(gateway, "missing");
	struct buf line = {0};
	int rc;

	buf_addf(&line, "gateway pid %" PRId64 ", ", field_int(gateway, "pid"));
	out_safe(field_text(gateway, "state"), &line);
	buf_addf(&line, ", %" PRId64 " restarts, %" PRId64 " calls under way",
		 field_int(gateway, "restarts"), field_int(gateway, "calls"));
	if (cursor_array(&missing) > 0)
		buf_addf(&line, ", without ");
	field_words(gateway, "missing", (struct field_words){",", ""}, &line);
	rc = out_line(&line);
	buf_fini(&line);
	return rc;
}

static bool is_down(struct slice pool)
{
	struct cursor c = field_at(pool, "down");

	return cursor_peek(&c) == CURSOR_BOOL && cursor_bool(&c);
}

static void pool_row(struct out_table *t, struct slice pool)
{
	static const char *const numbers[] = {"connected", "size", "calls",
					      "errors", "queue"};

	out_cell_slice(t, field_text(pool, "provider"));
	out_cell_slice(t, field_text(pool, "name"));
	out_cell_slice(t, field_text(pool, "target"));
	out_cell_paint(t, is_down(pool) ? OUT_RED : OUT_GREEN);
	out_cell(t, "%s", is_down(pool) ? "down" : "ready");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		out_cell(t, "%" PRId64, field_int(pool, numbers[i]));
}

int print_gateway(struct slice status)
{
	static const char *const heads[] = {"PROVIDER", "POOL",	     "TARGET",
					    "STATE",	"CONNECTED", "SIZE",
					    "CALLS",	"ERRORS",    "QUEUE"};
	struct out_table t = {.columns = 9, .right = 0x1f0};
	struct cursor c = field_at(status, "gateway"), pools;
	struct slice gateway;
	uint32_t n;
	int rc;

	if (cursor_peek(&c) != CURSOR_MAP)
		return CTL_OK; /* it was never needed */
	gateway = cursor_raw(&c);
	rc = print_head(gateway);
	pools = field_at(gateway, "pools");
	n = cursor_array(&pools);
	if (rc != CTL_OK || n == 0)
		return rc;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		out_cell(&t, "%s", heads[i]);
	while (n-- > 0 && !pools.error)
		pool_row(&t, cursor_raw(&pools));
	if (pools.error) {
		buf_fini(&t.cells);
		return ctl_nonsense("status");
	}
	return out_table(&t);
}
