/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_cache: a holder for each client that has entries, in a map, and in it
 * the entries from the oldest to the newest. An entry that has expired keeps
 * its place (that the ends of sessions are counted right) but not its access
 * list. Start at auth_cache_insert().
 */
#include "broker/auth_cache.h"

#include <stdlib.h>

#include "lib/log.h"

enum {
	MAX_NAME = 65535,
	FULL_QUIET_MS = 60000, /* between two lines about a full cache */
};

/* A century: more does not fit the arithmetic of deadlines. */
static const uint64_t max_ttl_ms = (uint64_t)100 * 366 * 24 * 3600 * 1000;

struct auth_cache {
	struct wheel *wheel;
	struct auth_cache_options o;
	struct map clients;  /* key -> struct holder */
	struct list holders; /* those, the oldest first */
	struct list entries; /* of everybody, the oldest first */
	struct auth_cache_counts counts;
	uint64_t told_full_ms; /* when; 0: never */
	struct buf scratch;    /* canonical bytes; keys */
};

struct holder {
	struct list node;
	struct list entries; /* the oldest first; never empty for long */
	size_t n;
	size_t mountpoint_n;
	size_t key_n;
	uint8_t key[]; /* length and bytes of the mountpoint, client id */
};

struct entry {
	struct list node;   /* of the holder */
	struct list oldest; /* of the cache */
	struct auth_cache *cache;
	struct holder *holder;
	struct acl *acl; /* NULL: expired */
	size_t bytes;
	uint64_t born_ms, due_ms; /* due 0: never */
	struct wheel_timer timer;
};

static uint64_t now_ms(const struct auth_cache *c)
{
	return uv_now(c->wheel->loop);
}

/* ---- holders ----------------------------------------------------------- */

static void put_key(struct buf *out, struct slice mountpoint,
		    struct slice client_id)
{
	uint32_t n = (uint32_t)mountpoint.n;

	buf_add(out, &n, sizeof(n));
	buf_add_slice(out, mountpoint);
	buf_add_slice(out, client_id);
}

static struct slice holder_mountpoint(const struct holder *h)
{
	return slice_of(h->key + sizeof(uint32_t), h->mountpoint_n);
}

static struct slice holder_client_id(const struct holder *h)
{
	size_t skip = sizeof(uint32_t) + h->mountpoint_n;

	return slice_of(h->key + skip, h->key_n - skip);
}

static struct holder *find_holder(struct auth_cache *c, struct slice mountpoint,
				  struct slice client_id)
{
	if (c->clients.n == 0 || mountpoint.n > MAX_NAME ||
	    client_id.n > MAX_NAME)
		return NULL;
	buf_clear(&c->scratch);
	put_key(&c->scratch, mountpoint, client_id);
	if (buf_error(&c->scratch) < 0)
		return NULL;
	return map_get(&c->clients, buf_slice(&c->scratch));
}

static struct holder *new_holder(struct auth_cache *c, struct slice mountpoint,
				 struct slice client_id)
{
	size_t n = sizeof(uint32_t) + mountpoint.n + client_id.n;
	struct holder *h = calloc(1, sizeof(*h) + n);
	struct buf key = {0};

	if (!h)
		return NULL;
	put_key(&key, mountpoint, client_id);
	if (buf_error(&key) < 0) {
		free(h);
		return NULL;
	}
	memcpy(h->key, key.p, n);
	buf_fini(&key);
	h->key_n = n;
	h->mountpoint_n = mountpoint.n;
	list_init(&h->entries);
	if (map_put(&c->clients, slice_of(h->key, n), h, NULL) < 0) {
		free(h);
		return NULL;
	}
	list_push(&c->holders, &h->node);
	return h;
}

static void free_holder(struct auth_cache *c, struct holder *h)
{
	map_del(&c->clients, slice_of(h->key, h->key_n));
	list_remove(&h->node);
	free(h);
}

/* The entry that answers, when it has not expired. */
static struct entry *newest(const struct holder *h)
{
	struct entry *e;

	if (list_empty(&h->entries))
		return NULL;
	e = container_of(h->entries.prev, struct entry, node);
	return e->acl ? e : NULL;
}

/* Something was taken from the holder, which had a newest entry. */
static void settle(struct auth_cache *c, struct holder *h, bool had)
{
	if (had && !newest(h) && c->o.on_drop)
		c->o.on_drop(c->o.arg, holder_mountpoint(h),
			     holder_client_id(h));
	if (list_empty(&h->entries))
		free_holder(c, h);
}

/* ---- entries ----------------------------------------------------------- */

static void drop_acl(struct auth_cache *c, struct entry *e)
{
	size_t n = e->acl ? acl_memory(e->acl) : 0;

	acl_free(e->acl);
	e->acl = NULL;
	e->bytes -= n;
	c->counts.bytes -= n;
	wheel_stop(&e->timer);
}

static void free_entry(struct auth_cache *c, struct entry *e)
{
	drop_acl(c, e);
	list_remove(&e->node);
	list_remove(&e->oldest);
	e->holder->n--;
	c->counts.entries--;
	c->counts.bytes -= e->bytes;
	free(e);
}

static void remove_entry(struct auth_cache *c, struct entry *e)
{
	struct holder *h = e->holder;
	bool had = newest(h);

	free_entry(c, e);
	settle(c, h, had);
}

static void on_expired(struct wheel_timer *t)
{
	struct entry *e = container_of(t, struct entry, timer);
	struct holder *h = e->holder;
	bool had = newest(h);

	e->cache->counts.expired++;
	drop_acl(e->cache, e);
	settle(e->cache, h, had);
}

static void tell_full(struct auth_cache *c)
{
	uint64_t now = now_ms(c);

	if (c->told_full_ms && now - c->told_full_ms < FULL_QUIET_MS)
		return;
	c->told_full_ms = now ? now : 1;
	log_warn("auth_cache",
		 "full: the oldest entries make room entries=%zu bytes=%zu",
		 c->counts.entries, c->counts.bytes);
}

static void make_room(struct auth_cache *c, size_t bytes)
{
	while (!list_empty(&c->entries) &&
	       (c->counts.entries + 1 > c->o.max_entries ||
		c->counts.bytes + bytes > c->o.max_bytes)) {
		tell_full(c);
		c->counts.evicted++;
		remove_entry(c, container_of(list_first(&c->entries),
					     struct entry, oldest));
	}
}

static struct entry *new_entry(struct auth_cache *c, struct acl *acl)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->cache = c;
	e->acl = acl;
	e->born_ms = now_ms(c);
	wheel_timer_init(&e->timer, on_expired);
	if (acl_ttl_ms(acl)) {
		e->due_ms = e->born_ms + acl_ttl_ms(acl);
		wheel_start(c->wheel, &e->timer, acl_ttl_ms(acl));
	}
	return e;
}

static int compile(struct auth_cache *c, const struct acl_source *given,
		   void (*warn)(void *arg, struct slice line), void *arg,
		   struct acl **out)
{
	struct acl_source src = *given;
	int r;

	if (src.mountpoint.n > MAX_NAME || src.client_id.n > MAX_NAME ||
	    src.username.n > MAX_NAME)
		return ERR_RANGE;
	if (src.ttl_ms == 0)
		src.ttl_ms = c->o.ttl_ms;
	if (src.ttl_ms > max_ttl_ms)
		src.ttl_ms = max_ttl_ms;
	src.max_levels = c->o.max_levels;
	buf_clear(&c->scratch);
	r = acl_canonical(&src, &c->scratch, warn, arg);
	return r < 0 ? r : acl_new(buf_slice(&c->scratch), out);
}

/* The newest has expired, and its own session asks again. */
static bool renews(const struct holder *h, bool session)
{
	return h && !session && !list_empty(&h->entries) && !newest(h);
}

int auth_cache_insert(struct auth_cache *c, const struct acl_source *src,
		      bool session, void (*warn)(void *arg, struct slice line),
		      void *arg, const struct acl **out)
{
	struct acl *acl = NULL;
	struct holder *h;
	struct entry *e;
	size_t bytes;
	int r = compile(c, src, warn, arg, &acl);

	if (r < 0)
		return r;
	e = new_entry(c, acl);
	bytes = sizeof(*e) + sizeof(*h) + acl_memory(acl) + src->mountpoint.n +
		src->client_id.n;
	make_room(c, bytes);
	h = find_holder(c, src->mountpoint, src->client_id);
	if (e && !h)
		h = new_holder(c, src->mountpoint, src->client_id);
	if (!e || !h) {
		if (e)
			wheel_stop(&e->timer);
		free(e);
		acl_free(acl);
		return ERR_NOMEM;
	}
	if (renews(h, session))
		free_entry(c,
			   container_of(h->entries.prev, struct entry, node));
	e->holder = h;
	e->bytes = bytes;
	list_push(&h->entries, &e->node);
	list_push(&c->entries, &e->oldest);
	h->n++;
	c->counts.entries++;
	c->counts.inserts++;
	c->counts.bytes += bytes;
	if (out)
		*out = acl;
	return OK;
}

/* ---- asking and taking away -------------------------------------------- */

const struct acl *auth_cache_find(struct auth_cache *c, struct slice mountpoint,
				  struct slice client_id, bool count)
{
	struct holder *h = find_holder(c, mountpoint, client_id);
	struct entry *e = h ? newest(h) : NULL;

	/* A timer fires up to one grain late. */
	if (e && e->due_ms && now_ms(c) >= e->due_ms)
		e = NULL;
	if (count && e)
		c->counts.hits++;
	else if (count)
		c->counts.misses++;
	return e ? e->acl : NULL;
}

bool auth_cache_remove_oldest(struct auth_cache *c, struct slice mountpoint,
			      struct slice client_id)
{
	struct holder *h = find_holder(c, mountpoint, client_id);

	if (!h)
		return false;
	remove_entry(c,
		     container_of(list_first(&h->entries), struct entry, node));
	return true;
}

static size_t drop_holder(struct auth_cache *c, struct holder *h)
{
	bool had = newest(h);
	size_t n = h->n;

	while (!list_empty(&h->entries))
		free_entry(c, container_of(list_first(&h->entries),
					   struct entry, node));
	settle(c, h, had);
	return n;
}

size_t auth_cache_drop(struct auth_cache *c, struct slice mountpoint,
		       struct slice client_id)
{
	struct holder *h = find_holder(c, mountpoint, client_id);

	return h ? drop_holder(c, h) : 0;
}

size_t auth_cache_drop_all(struct auth_cache *c)
{
	void (*on_drop)(void *arg, struct slice mountpoint,
			struct slice client_id) = c->o.on_drop;
	size_t n = 0;

	c->o.on_drop = NULL;
	while (!list_empty(&c->holders))
		n += drop_holder(c, container_of(list_first(&c->holders),
						 struct holder, node));
	c->o.on_drop = on_drop;
	return n;
}

static bool row_of(const struct auth_cache *c, const struct holder *h,
		   struct auth_cache_row *out)
{
	struct entry *e = newest(h);
	uint64_t now = now_ms(c);

	if (!e || (e->due_ms && now >= e->due_ms))
		return false;
	*out = (struct auth_cache_row){
		.acl = e->acl,
		.entries = h->n,
		.age_ms = now - e->born_ms,
		.left_ms = e->due_ms ? e->due_ms - now : 0,
	};
	return true;
}

bool auth_cache_row(struct auth_cache *c, struct slice mountpoint,
		    struct slice client_id, struct auth_cache_row *out)
{
	struct holder *h = find_holder(c, mountpoint, client_id);

	return h && row_of(c, h, out);
}

void auth_cache_each(struct auth_cache *c,
		     bool (*each)(void *arg, const struct auth_cache_row *row),
		     void *arg)
{
	list_each(node, next, &c->holders)
	{
		struct holder *h = container_of(node, struct holder, node);
		struct auth_cache_row row;

		if (row_of(c, h, &row) && !each(arg, &row))
			return;
	}
}

void auth_cache_count(const struct auth_cache *c, struct auth_cache_counts *out)
{
	*out = c->counts;
	out->clients = c->clients.n;
}

/* ---- life -------------------------------------------------------------- */

int auth_cache_new(struct wheel *wheel, const struct auth_cache_options *o,
		   struct auth_cache **out)
{
	struct auth_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	c->wheel = wheel;
	c->o = *o;
	if (!c->o.max_entries)
		c->o.max_entries = AUTH_CACHE_ENTRIES;
	if (!c->o.max_bytes)
		c->o.max_bytes = AUTH_CACHE_BYTES;
	buf_init(&c->scratch, AUTH_CACHE_ENTRY_BYTES);
	list_init(&c->holders);
	list_init(&c->entries);
	*out = c;
	return OK;
}

void auth_cache_free(struct auth_cache *c)
{
	if (!c)
		return;
	auth_cache_drop_all(c);
	map_fini(&c->clients);
	buf_fini(&c->scratch);
	free(c);
}
