/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions: two maps over the same records, by pointer and by client id.
 */
#include "clients/mosquitto/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "clients/mosquitto/api.h"

static struct slice key_of(struct mosquitto *const *client)
{
	return slice_of(client, sizeof(*client));
}

void sessions_init(struct sessions *s)
{
	*s = (struct sessions){0};
	list_init(&s->ended);
	list_init(&s->kicks);
}

static void record_free(struct session *it)
{
	filters_fini(&it->filters);
	free(it->auth_method);
	free(it->client_id);
	free(it);
}

void sessions_fini(struct sessions *s)
{
	struct session *it;
	size_t at = 0;

	while ((it = map_next(&s->by_client, &at)))
		record_free(it);
	map_fini(&s->by_client);
	map_fini(&s->by_id);
	*s = (struct sessions){0};
}

struct session *session_find(const struct sessions *s,
			     const struct mosquitto *client)
{
	return map_get(&s->by_client, slice_of(&client, sizeof(client)));
}

struct session *session_of_id(const struct sessions *s, struct slice client_id)
{
	return map_get(&s->by_id, client_id);
}

struct session *session_older(const struct session *it)
{
	list_each(node, next, &it->same)
	{
		struct session *other =
			container_of(node, struct session, same);

		if (other->state != SESSION_ENDED)
			return other;
	}
	return NULL;
}

/* Out of the map of client ids; the next one of its id takes its place. */
static void leave_id(struct sessions *s, struct session *it)
{
	struct slice id = slice_str(it->client_id);
	struct session *next;
	int rc = 0;

	if (map_get(&s->by_id, id) == it) {
		(void)map_del(&s->by_id, id);
		if (!list_empty(&it->same)) {
			next = container_of(it->same.next, struct session,
					    same);
			/* a key was removed: there is room */
			rc = map_put(&s->by_id, slice_str(next->client_id),
				     next, NULL);
		}
	}
	must(rc == 0);
	list_remove(&it->same);
}

void session_free(struct sessions *s, struct session *it)
{
	leave_id(s, it);
	list_remove(&it->ended);
	list_remove(&it->kick);
	(void)map_del(&s->by_client, key_of(&it->client));
	record_free(it);
}

static struct session *record_new(struct mosquitto *client, const char *id)
{
	struct session *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	it->client = client;
	it->client_id = strdup(id);
	if (!it->client_id) {
		free(it);
		return NULL;
	}
	list_init(&it->ended);
	list_init(&it->kick);
	list_init(&it->same);
	it->version = mosquitto_client_protocol_version(client);
	it->clean = mosquitto_client_clean_session(client);
	return it;
}

struct session *session_begin(struct sessions *s, struct mosquitto *client)
{
	struct session *it = session_find(s, client);
	const char *id = mosquitto_client_id(client);
	void *before = NULL;

	if (it)
		session_free(s, it);
	it = id ? record_new(client, id) : NULL;
	if (!it)
		return NULL;
	if (map_put(&s->by_client, key_of(&it->client), it, NULL) < 0) {
		record_free(it);
		return NULL;
	}
	if (map_put(&s->by_id, slice_str(it->client_id), it, &before) < 0) {
		(void)map_del(&s->by_client, key_of(&it->client));
		record_free(it);
		return NULL;
	}
	if (before) /* the newest is the one that the map has */
		list_push(&((struct session *)before)->same, &it->same);
	return it;
}

void session_end(struct sessions *s, struct session *it)
{
	if (it->state == SESSION_ENDED)
		return;
	it->state = SESSION_ENDED;
	list_push(&s->ended, &it->ended);
}

void sessions_sweep(struct sessions *s)
{
	struct list *node;

	while ((node = list_first(&s->ended))) {
		struct session *it = container_of(node, struct session, ended);

		if (it->version == 5) {
			leave_id(s, it);
			list_remove(node);
		} else {
			session_free(s, it);
		}
	}
}

bool session_is_past(const struct sessions *s, const struct session *it)
{
	const struct session *newest =
		session_of_id(s, slice_str(it->client_id));

	if (it->state == SESSION_OFFLINE || it->state == SESSION_ENDED)
		return true;
	if (!newest || newest == it)
		return false;
	/* one that is still being asked has taken nobody's place */
	return newest->state != SESSION_NEW ||
	       !(newest->auth_method || newest->waiting);
}
