/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filters: a plain array; sessions have few.
 */
#include "clients/mosquitto/filters.h"

#include <stdlib.h>
#include <string.h>

#include "clients/mosquitto/api.h"

void filters_fini(struct filters *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].topic);
	free(f->v);
	*f = (struct filters){0};
}

static struct filter *find(struct filters *f, const char *topic)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].topic, topic) == 0)
			return &f->v[i];
	return NULL;
}

static bool room(struct filters *f, size_t bytes)
{
	size_t cap = f->cap ? 2 * f->cap : 4;
	struct filter *v;

	if (f->n == FILTERS_MOST || f->bytes + bytes > FILTERS_BYTES)
		return false;
	if (f->n < f->cap)
		return true;
	v = realloc(f->v, cap * sizeof(*v));
	if (!v)
		return false;
	f->v = v;
	f->cap = cap;
	return true;
}

static void forget(struct filters *f, struct filter *at)
{
	f->nrevoked -= at->revoked;
	f->nothers -= !at->ours;
}

void filters_add(struct filters *f, const char *topic, uint8_t qos, bool ours)
{
	struct filter *at = find(f, topic);
	size_t n = strlen(topic) + 1;

	if (at) {
		forget(f, at);
	} else {
		char *copy = room(f, n) ? malloc(n) : NULL;

		if (!copy) {
			f->lost = true;
			return;
		}
		memcpy(copy, topic, n);
		at = &f->v[f->n++];
		at->topic = copy;
		f->bytes += n;
	}
	at->qos = qos;
	at->ours = ours;
	at->revoked = false;
	f->nothers += !ours;
}

void filters_remove(struct filters *f, const char *topic)
{
	struct filter *at = find(f, topic);

	if (!at)
		return;
	forget(f, at);
	f->bytes -= strlen(at->topic) + 1;
	free(at->topic);
	*at = f->v[--f->n];
}

void filters_revoke(struct filters *f, size_t i, bool revoked)
{
	f->nrevoked -= f->v[i].revoked;
	f->v[i].revoked = revoked;
	f->nrevoked += revoked;
}

/* "$share/group/a/+" receives what "a/+" does. */
static const char *plain(const char *filter)
{
	const char *at;

	if (strncmp(filter, "$share/", 7) != 0)
		return filter;
	at = strchr(filter + 7, '/');
	return at ? at + 1 : filter;
}

static bool matches(const struct filter *f, const char *topic)
{
	bool yes = false;

	return mosquitto_topic_matches_sub(plain(f->topic), topic, &yes) ==
		       MOSQ_ERR_SUCCESS &&
	       yes;
}

bool filters_match(const struct filters *f, const char *topic, uint8_t *qos)
{
	bool found = false;

	*qos = 0;
	for (size_t i = 0; i < f->n; i++) {
		const struct filter *at = &f->v[i];

		if (!at->ours || at->revoked || !matches(at, topic))
			continue;
		found = true;
		if (at->qos > *qos)
			*qos = at->qos;
	}
	return found;
}

bool filters_revoked(const struct filters *f, const char *topic)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].revoked && matches(&f->v[i], topic))
			return true;
	return false;
}
