/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt: which hooks the auth cache answers or hears of, and inserting entries.
 * What an entry says is in mqtt_verdict.c.
 */
#include "broker/mqtt.h"

#include "broker/mqtt_verdict.h"

/* ---- which hook -------------------------------------------------------- */

static bool ends_session(enum hook hook)
{
	return hook == HOOK_ON_CLIENT_OFFLINE || hook == HOOK_ON_CLIENT_GONE ||
	       hook == HOOK_ON_SESSION_EXPIRED;
}

static bool is_cached(enum hook hook)
{
	switch (hook) {
	case HOOK_AUTH_ON_PUBLISH:
	case HOOK_AUTH_ON_PUBLISH_M5:
	case HOOK_AUTH_ON_SUBSCRIBE:
	case HOOK_AUTH_ON_SUBSCRIBE_M5:
	case HOOK_ON_UNSUBSCRIBE:
	case HOOK_ON_UNSUBSCRIBE_M5:
		return true;
	default:
		return false;
	}
}

bool mqtt_answer_cached(struct mqtt *m, enum hook hook, struct slice table,
			struct buf *verdict)
{
	struct slice mountpoint, client_id;
	const struct acl *acl;

	if (!is_cached(hook) && !ends_session(hook))
		return false;
	mountpoint = mqtt_text(table, "mountpoint");
	client_id = mqtt_text(table, "client_id");
	if (ends_session(hook)) {
		auth_cache_remove_oldest(m->cache, mountpoint, client_id);
		return false;
	}
	acl = auth_cache_find(m->cache, mountpoint, client_id, true);
	if (!acl)
		return false;
	if (hook == HOOK_AUTH_ON_PUBLISH || hook == HOOK_AUTH_ON_PUBLISH_M5)
		mqtt_publish_verdict(acl, table,
				     hook == HOOK_AUTH_ON_PUBLISH_M5, verdict);
	else if (hook == HOOK_ON_UNSUBSCRIBE || hook == HOOK_ON_UNSUBSCRIBE_M5)
		mqtt_unsubscribe_verdict(
			acl, table, hook == HOOK_ON_UNSUBSCRIBE_M5, verdict);
	else
		mqtt_subscribe_verdict(
			acl, table, hook == HOOK_AUTH_ON_SUBSCRIBE_M5, verdict);
	return true;
}

/* ---- entries ----------------------------------------------------------- */

/* Is it the entry of the client that registers in this very event? */
static bool of_event(const struct event *ev, const struct acl_source *src)
{
	return ev &&
	       (ev->hook == HOOK_AUTH_ON_REGISTER ||
		ev->hook == HOOK_AUTH_ON_REGISTER_M5) &&
	       slice_eq(mqtt_text(ev->map, "client_id"), src->client_id) &&
	       slice_eq(mqtt_text(ev->map, "mountpoint"), src->mountpoint);
}

int mqtt_insert(struct mqtt *m, struct event *ev, const struct acl_source *src,
		void (*warn)(void *arg, struct slice line), void *arg)
{
	bool session = of_event(ev, src), carries, had;
	const struct acl *acl = NULL;
	int r;

	had = auth_cache_find(m->cache, src->mountpoint, src->client_id, false);
	r = auth_cache_insert(m->cache, src, session, warn, arg, &acl);
	if (r < 0)
		return r;
	carries = session && !ev->notification && !ev->answered;
	ev = carries ? ev : NULL;
	if (ev)
		ev->acl = true;
	if (m->ops)
		m->ops->on_entry(m->arg, acl, ev, had);
	return OK;
}

struct slice mqtt_acl(struct mqtt *m, const struct event *ev)
{
	const struct acl *acl = NULL;

	if (ev->acl)
		acl = auth_cache_find(m->cache,
				      mqtt_text(ev->map, "mountpoint"),
				      mqtt_text(ev->map, "client_id"), false);
	return acl ? acl_bytes(acl) : (struct slice){0};
}

size_t mqtt_drop(struct mqtt *m, struct slice mountpoint,
		 struct slice client_id)
{
	bool had = auth_cache_find(m->cache, mountpoint, client_id, false);
	size_t n = auth_cache_drop(m->cache, mountpoint, client_id);

	if (!had && m->ops)
		m->ops->on_drop(m->arg, mountpoint, client_id);
	return n;
}

size_t mqtt_clear(struct mqtt *m)
{
	size_t n = auth_cache_drop_all(m->cache);

	if (m->ops)
		m->ops->on_clear(m->arg);
	return n;
}

/* ---- life -------------------------------------------------------------- */

static void on_drop(void *arg, struct slice mountpoint, struct slice client_id)
{
	struct mqtt *m = arg;

	if (m->ops)
		m->ops->on_drop(m->arg, mountpoint, client_id);
}

int mqtt_init(struct mqtt *m, struct wheel *wheel, uint64_t ttl_ms)
{
	struct auth_cache_options o = {
		.ttl_ms = ttl_ms, .on_drop = on_drop, .arg = m};

	*m = (struct mqtt){0};
	return auth_cache_new(wheel, &o, &m->cache);
}

void mqtt_fini(struct mqtt *m)
{
	m->ops = NULL;
	auth_cache_free(m->cache);
	m->cache = NULL;
}
