/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a broker sends to the client library. The first byte says
 * in which portions they arrive; what comes out must not depend on it.
 */
#include "clients/c/pinfold_client.h"
#include "proto/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 4 };

struct seen {
	unsigned items, ops, failures, requests;
	int error;
};

static void look_at(struct pf_client *c, const struct pf_item *item,
		    struct seen *seen)
{
	struct pf_body_get get;
	struct pf_result result;
	struct pf_error failure;
	struct op_view op;

	seen->items++;
	if (item->kind == PF_REQUEST) {
		seen->requests++;
		if (pf_body_get_read(item, &get) == 0)
			must(pf_answer_bytes(c, item->id, slice_str("x")) == 0);
		else
			must(pf_refuse(c, item->id, CODE_UNKNOWN_METHOD,
				       "no") == 0);
		pf_sent(c, pf_output(c).n);
	}
	if (item->kind != PF_RESULT || pf_result_read(item->result, &result))
		return;
	while (pf_result_op(&result, &op) == 1)
		seen->ops++;
	while (pf_result_error(&result, &failure) == 1)
		seen->failures++;
}

static struct seen play(const uint8_t *data, size_t size, size_t portion)
{
	struct pf_options options = {.max_message = 1 << 16};
	struct pf_hello hello = {
		.client = "fuzz", .version = "1", .lazy = true};
	struct pf_client *c = pf_new(&options);
	struct pf_args none = {0};
	struct seen seen = {0};
	struct pf_item item;

	must(c);
	must(pf_hello(c, &hello, NULL, NULL) == 0);
	for (int i = 1; i < CALLS; i++)
		must(pf_call(c, "before_request", none, NULL, NULL) == 0);
	pf_sent(c, pf_output(c).n);
	for (size_t at = 0; at < size && seen.error == 0; at += portion) {
		size_t n = size - at < portion ? size - at : portion;

		seen.error = pf_feed(c, data + at, n);
		while (seen.error == 0 &&
		       (seen.error = pf_next(c, &item)) == 1) {
			seen.error = 0;
			look_at(c, &item, &seen);
		}
	}
	(void)pf_serves(c, "connect");
	must(pf_unanswered(c) <= CALLS);
	pf_free(c);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, parts;

	if (size < 1 || size > 1 << 16)
		return 0;
	whole = play(data + 1, size - 1, size);
	parts = play(data + 1, size - 1, 1 + data[0] % 16);
	must(whole.items == parts.items && whole.ops == parts.ops);
	must(whole.failures == parts.failures && whole.error == parts.error);
	return 0;
}
