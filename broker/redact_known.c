/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_known: passwords that the configuration has named, wherever they come
 * up. The longest match at each place goes.
 */
#include "broker/conf/conf.h"
#include "broker/redact.h"

/* How many bytes of a secret stand at `at`; 0: none. */
static size_t match(const struct conf_list *secrets, struct slice s, size_t at)
{
	size_t known = __atomic_load_n(&secrets->n, __ATOMIC_ACQUIRE);
	size_t best = 0;

	for (size_t i = 0; i < known; i++) {
		size_t n = strlen(secrets->item[i]);

		if (n >= REDACT_LEAST && n > best && n <= s.n - at &&
		    memcmp(s.p + at, secrets->item[i], n) == 0)
			best = n;
	}
	return best;
}

bool redact_known(void *arg, struct slice text, struct buf *out)
{
	const struct conf_list *secrets = arg;
	size_t from = 0, at = 0;
	bool found = false;

	while (at < text.n) {
		size_t n = match(secrets, text, at);

		if (n == 0) {
			at++;
			continue;
		}
		buf_add(out, text.p + from, at - from);
		buf_addf(out, "[redacted]");
		from = at += n;
		found = true;
	}
	if (found)
		buf_add(out, text.p + from, text.n - from);
	return found;
}
