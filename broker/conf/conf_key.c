/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_key: what is said about a mistake, and which known key is nearest to
 * an unknown one.
 *
 * Not here: finding the mistakes (conf_read.c).
 */
#include <stdarg.h>
#include <stdio.h>

#include "broker/conf/conf_read.h"

int conf_wrong(struct conf_reader *r, const struct yaml_node *node,
	       const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(r->error, "%s:%u:%u: %s", r->file, node->line, node->column,
		 text);
	return ERR_FORMAT;
}

int conf_unexpected(struct conf_reader *r, const char *name,
		    const struct yaml_node *node, const char *expected)
{
	buf_addf(r->error, "%s:%u:%u: %s: ", r->file, node->line, node->column,
		 name);
	yaml_describe(node, r->error);
	buf_addf(r->error, ", expected %s", expected);
	return ERR_FORMAT;
}

static const char *nearest(const struct conf_keys *keys, struct slice word)
{
	unsigned least = 1 + (unsigned)word.n / 3;
	const char *best = NULL;

	for (size_t i = 0; i < keys->n; i++) {
		struct slice name = slice_str(keys->key[i].name);
		unsigned d = slice_distance(word, name);

		if (d < least || (d == least && !best)) {
			least = d;
			best = keys->key[i].name;
		}
	}
	return best;
}

int conf_unknown(struct conf_reader *r, const struct conf_keys *keys,
		 const struct yaml_node *key)
{
	const char *near = nearest(keys, key->text);
	struct buf text = {0};
	int rc = ERR_FORMAT;

	buf_addf(&text, "%s:%u:%u: unknown key ", r->file, key->line,
		 key->column);
	yaml_describe(key, &text);
	buf_addf(&text, " in %s, expected ", keys->where);
	for (size_t i = 0; i < keys->n; i++)
		buf_addf(&text, "%s%s",
			 i	       ? ", "
			 : keys->n > 1 ? "one of "
				       : "",
			 keys->key[i].name);
	if (near)
		buf_addf(&text, "; did you mean '%s'?", near);
	if (buf_error(&text)) {
		rc = ERR_NOMEM;
	} else if (keys->lenient) {
		log_warn("conf", "%.*s (ignored)", (int)text.n,
			 (const char *)text.p);
		rc = 0;
	} else {
		buf_add_slice(r->error, buf_slice(&text));
	}
	buf_fini(&text);
	return rc;
}
