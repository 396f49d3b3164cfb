/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_same: has anything about a script's settings changed?
 */
#include "broker/conf/conf.h"

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->item[i], b->item[i]) != 0)
			return false;
	return true;
}

static bool same_grant(const struct conf_grant *a, const struct conf_grant *b)
{
	return a->given == b->given && same_list(&a->allow, &b->allow);
}

static bool same_grants(const struct conf_grants *a,
			const struct conf_grants *b)
{
	return same_grant(&a->kv_read, &b->kv_read) &&
	       same_grant(&a->kv_write, &b->kv_write) &&
	       same_grant(&a->bus, &b->bus) &&
	       same_grant(&a->artifacts, &b->artifacts) &&
	       same_grant(&a->data, &b->data) &&
	       same_grant(&a->providers, &b->providers);
}

static bool same_path(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool conf_script_same(const struct conf_script *a, const struct conf_script *b)
{
	for (int i = 0; i < CODE_COUNT; i++)
		if (a->on_error[i] != b->on_error[i])
			return false;
	return strcmp(a->name, b->name) == 0 && a->dialect == b->dialect &&
	       same_path(a->file, b->file) && same_path(a->root, b->root) &&
	       a->priority == b->priority && a->workers == b->workers &&
	       a->concurrency == b->concurrency &&
	       a->timeout_ms == b->timeout_ms && a->memory == b->memory &&
	       a->globals_script == b->globals_script &&
	       same_grants(&a->grants, &b->grants) &&
	       same_list(&a->subscribe, &b->subscribe) &&
	       slice_eq(buf_slice(&a->config), buf_slice(&b->config));
}
