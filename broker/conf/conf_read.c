/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_read: the readers that tables of keys are made of.
 *
 * Not here: which keys there are (conf.c, conf_script.c) and the mistakes'
 * texts about unknown ones (conf_key.c). Start at conf_read_map().
 */
#include "broker/conf/conf_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest first: that is how a bound is written in messages. */
static const struct unit times[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000},
	{"s", 1000},	 {"ms", 1},	 {NULL, 0},
};

static const struct unit sizes[] = {
	{"TiB", 1ull << 40},
	{"GiB", 1ull << 30},
	{"MiB", 1ull << 20},
	{"KiB", 1ull << 10},
	{"B", 1},
	{NULL, 0},
};

bool conf_is_null(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && yaml_core(node).type == YAML_NULL;
}

int conf_copy(struct slice s, char **out)
{
	char *copy = malloc(s.n + 1);

	if (!copy)
		return ERR_NOMEM;
	if (s.n)
		memcpy(copy, s.p, s.n);
	copy[s.n] = 0;
	free(*out);
	*out = copy;
	return 0;
}

static const struct conf_key *find(const struct conf_keys *keys,
				   struct slice name)
{
	for (size_t i = 0; i < keys->n; i++) {
		if (slice_is(name, keys->key[i].name))
			return &keys->key[i];
	}
	return NULL;
}

int conf_read_map(struct conf_reader *r, const struct conf_keys *keys,
		  const struct yaml_node *node, void *base)
{
	const struct yaml_node *it;
	int rc = 0;

	if (node->kind != YAML_MAP)
		return conf_unexpected(r, keys->where, node, "a map");
	for (it = node->child; it && rc == 0; it = it->next) {
		const struct conf_key *key = find(keys, it->key->text);

		if (!key)
			rc = conf_unknown(r, keys, it->key);
		else if (conf_is_null(it))
			continue;
		else if (key->who && !(key->who & keys->who))
			rc = conf_wrong(r, it->key, "%s has no key %s",
					keys->where, key->name);
		else
			rc = key->read(r, key, it, (char *)base + key->offset);
	}
	return rc;
}

int conf_read_block(struct conf_reader *r, const struct conf_key *key,
		    const struct yaml_node *node, void *field)
{
	return conf_read_map(r, key->keys, node, field);
}

int conf_text(struct conf_reader *r, const char *name,
	      const struct yaml_node *node, struct slice *out)
{
	if (node->kind != YAML_SCALAR)
		return conf_unexpected(r, name, node, "text");
	if (yaml_core(node).type != YAML_STR)
		return conf_unexpected(r, name, node,
				       "text (in quotes, if it is meant)");
	if (node->text.n && memchr(node->text.p, 0, node->text.n))
		return conf_unexpected(r, name, node, "text without NUL bytes");
	*out = node->text;
	return 0;
}

int conf_read_bool(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field)
{
	/* words that other programs take in a block that we share */
	static const char *const words[] = {"no",  "off", "No",	 "Off",
					    "NO",  "OFF", "yes", "on",
					    "Yes", "On",  "YES", "ON"};
	struct yaml_value v = yaml_core(node);
	bool *out = field;
	size_t i;

	if (v.type == YAML_BOOL) {
		*out = v.b;
		return 0;
	}
	for (i = 0; i < 12 && node->plain; i++) {
		if (slice_is(node->text, words[i])) {
			*out = i >= 6;
			return 0;
		}
	}
	return conf_unexpected(r, key->name, node, "true or false");
}

int conf_read_int(struct conf_reader *r, const struct conf_key *key,
		  const struct yaml_node *node, void *field)
{
	struct yaml_value v = yaml_core(node);
	int64_t *out = field;

	if (v.type != YAML_INT)
		return conf_unexpected(r, key->name, node, "a whole number");
	*out = v.i;
	return 0;
}

int conf_read_count(struct conf_reader *r, const struct conf_key *key,
		    const struct yaml_node *node, void *field)
{
	struct yaml_value v = yaml_core(node);
	uint64_t *out = field;
	char expected[80];

	if (v.type != YAML_INT || v.i < 0 || (uint64_t)v.i < key->min ||
	    (uint64_t)v.i > key->max) {
		snprintf(expected, sizeof(expected),
			 "a whole number from %" PRIu64 " to %" PRIu64,
			 key->min, key->max);
		return conf_unexpected(r, key->name, node, expected);
	}
	*out = (uint64_t)v.i;
	return 0;
}

/* Digits and a unit; a plain number counts in `bare` (NULL: not allowed). */
static bool measure(struct slice s, const struct unit *units, bool bare,
		    uint64_t *out)
{
	uint64_t n = 0;
	size_t at = 0;

	for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++) {
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s.p[at] - '0'), &n))
			return false;
	}
	if (at == 0)
		return false;
	*out = n;
	s = slice_of(s.p + at, s.n - at);
	if (s.n == 0)
		return bare;
	for (; units->name; units++) {
		if (slice_is(s, units->name))
			return !__builtin_mul_overflow(n, units->factor, out);
	}
	return false;
}

static void show(uint64_t v, const struct unit *units, char out[32])
{
	while (units[1].name && (v == 0 || v % units->factor))
		units++;
	snprintf(out, 32, "%" PRIu64 "%s", v / units->factor, units->name);
}

static int measured(struct conf_reader *r, const struct conf_key *key,
		    const struct yaml_node *node, uint64_t *out)
{
	bool size = key->read == conf_read_size;
	const struct unit *units = size ? sizes : times;
	char min[32], max[32], expected[160];
	uint64_t v;

	if (node->kind == YAML_SCALAR && measure(node->text, units, size, &v) &&
	    v >= key->min && v <= key->max) {
		*out = v;
		return 0;
	}
	show(key->min, units, min);
	show(key->max, units, max);
	snprintf(expected, sizeof(expected),
		 size ? "a size such as 16KiB or 64MiB, from %s to %s"
		      : "a duration such as 300ms or 5s, from %s to %s",
		 min, max);
	return conf_unexpected(r, key->name, node, expected);
}

int conf_read_size(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field)
{
	return measured(r, key, node, field);
}

int conf_read_duration(struct conf_reader *r, const struct conf_key *key,
		       const struct yaml_node *node, void *field)
{
	return measured(r, key, node, field);
}

int conf_read_either(struct conf_reader *r, const struct conf_key *key,
		     const struct yaml_node *node, void *field)
{
	bool *out = field;
	char expected[80];

	for (int i = 0; i < 2; i++) {
		if (node->kind == YAML_SCALAR &&
		    slice_is(node->text, key->words[i])) {
			*out = i == 1;
			return 0;
		}
	}
	snprintf(expected, sizeof(expected), "%s or %s", key->words[0],
		 key->words[1]);
	return conf_unexpected(r, key->name, node, expected);
}

int conf_read_path(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field)
{
	struct buf full = {0};
	struct slice s;
	int rc = conf_text(r, key->name, node, &s);

	if (rc < 0)
		return rc;
	if (s.n < key->min)
		return conf_unexpected(r, key->name, node, "a path");
	if (s.n == 0 || s.p[0] != '/')
		buf_addf(&full, s.n ? "%s/" : "%s", r->dir);
	buf_add_slice(&full, s);
	if (buf_error(&full))
		rc = ERR_NOMEM;
	else if (full.n > key->max)
		rc = conf_wrong(r, node,
				"%s: a path of %zu bytes once it is absolute, "
				"expected at most %" PRIu64,
				key->name, full.n, key->max);
	else
		rc = conf_copy(buf_slice(&full), field);
	buf_fini(&full);
	return rc;
}

int conf_read_list(struct conf_reader *r, const struct conf_key *key,
		   const struct yaml_node *node, void *field)
{
	struct conf_list *out = field;
	const struct yaml_node *it;
	int rc = 0;

	if (node->kind != YAML_LIST)
		return conf_unexpected(r, key->name, node, "a list of texts");
	if (node->n == 0)
		return 0;
	out->item = calloc(node->n, sizeof(*out->item));
	if (!out->item)
		return ERR_NOMEM;
	for (it = node->child; it && rc == 0; it = it->next) {
		struct slice s;

		rc = conf_text(r, key->name, it, &s);
		if (rc == 0)
			rc = conf_copy(s, &out->item[out->n]);
		if (rc == 0)
			out->n++;
	}
	return rc;
}
