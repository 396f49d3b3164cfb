/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_cache: cache.show and cache.drop of tools.
 */
#include "broker/admin/admin.h"
#include "proto/pack.h"

/* An answer is kept below what a slow reader is cut off for. */
enum { MAX_ROWS = 10000, MAX_BYTES = 4 << 20 };

/* Which clients are meant; what is not given means any. */
struct which {
	struct slice mountpoint, client_id;
	bool has_mountpoint, has_client_id, all;
};

static bool read_text(struct slice map, const char *key, struct slice *out,
		      bool *has)
{
	struct slice raw;
	struct cursor c;

	if (!map_find(map, key, &raw))
		return true;
	c = cursor_of(raw);
	*has = !cursor_nil(&c);
	if (*has)
		*out = cursor_text(&c);
	return !c.error;
}

static bool read_which(struct admin_call *a, struct which *w)
{
	struct slice map = {0}, raw;
	struct cursor c;

	*w = (struct which){0};
	if (a->nargs > 0 && !cursor_nil(&a->args))
		map = cursor_raw(&a->args);
	if (map_find(map, "all", &raw)) {
		c = cursor_of(raw);
		w->all = cursor_bool(&c);
		if (c.error)
			return false;
	}
	c = cursor_of(map);
	if (map.n)
		cursor_map(&c);
	return !c.error && !a->args.error &&
	       read_text(map, "mountpoint", &w->mountpoint,
			 &w->has_mountpoint) &&
	       read_text(map, "client_id", &w->client_id, &w->has_client_id);
}

/* ---- show -------------------------------------------------------------- */

struct listing {
	const struct which *which;
	struct buf rows;
	uint32_t n;
	bool more;
};

static void pack_pair(struct buf *out, const char *key, uint64_t value)
{
	pack_cstr(out, key);
	pack_uint(out, value);
}

static bool on_row(void *arg, const struct auth_cache_row *row)
{
	struct listing *l = arg;
	const struct which *w = l->which;
	struct buf *out = &l->rows;

	if ((w->has_mountpoint &&
	     !slice_eq(w->mountpoint, acl_mountpoint(row->acl))) ||
	    (w->has_client_id &&
	     !slice_eq(w->client_id, acl_client_id(row->acl))))
		return true;
	if (l->n == MAX_ROWS || out->n + acl_bytes(row->acl).n > MAX_BYTES) {
		l->more = true;
		return false;
	}
	l->n++;
	pack_map(out, 8 + (row->left_ms > 0));
	pack_cstr(out, "mountpoint");
	pack_text(out, acl_mountpoint(row->acl));
	pack_cstr(out, "client_id");
	pack_text(out, acl_client_id(row->acl));
	pack_cstr(out, "username");
	pack_text(out, acl_username(row->acl));
	pack_pair(out, "entries", row->entries);
	pack_pair(out, "age_ms", row->age_ms);
	pack_pair(out, "ttl_ms", acl_ttl_ms(row->acl));
	if (row->left_ms > 0)
		pack_pair(out, "left_ms", row->left_ms);
	pack_cstr(out, "publish");
	pack_raw(out, acl_publish(row->acl));
	pack_cstr(out, "subscribe");
	pack_raw(out, acl_subscribe(row->acl));
	return true;
}

static void pack_counts(struct buf *out, const struct auth_cache *cache)
{
	struct auth_cache_counts n;

	auth_cache_count(cache, &n);
	pack_pair(out, "clients", n.clients);
	pack_pair(out, "entries", n.entries);
	pack_pair(out, "bytes", n.bytes);
	pack_pair(out, "hits", n.hits);
	pack_pair(out, "misses", n.misses);
	pack_pair(out, "inserts", n.inserts);
	pack_pair(out, "expired", n.expired);
	pack_pair(out, "evicted", n.evicted);
}

void admin_cache_show(struct admin_call *a)
{
	struct auth_cache *cache = a->broker->mqtt.cache;
	struct listing l = {0};
	struct which w;
	struct buf *out;

	if (!read_which(a, &w)) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "cache.show [{mountpoint, client_id}]");
		return;
	}
	l.which = &w;
	auth_cache_each(cache, on_row, &l);
	if (buf_error(&l.rows) < 0) {
		admin_refuse(a, CODE_OVERLOADED, "no memory");
		buf_fini(&l.rows);
		return;
	}
	out = admin_answer(a);
	pack_map(out, 10);
	pack_cstr(out, "cached");
	pack_array(out, l.n);
	pack_raw(out, buf_slice(&l.rows));
	pack_cstr(out, "more");
	pack_bool(out, l.more);
	pack_counts(out, cache);
	buf_fini(&l.rows);
}

/* ---- drop -------------------------------------------------------------- */

void admin_cache_drop(struct admin_call *a)
{
	struct mqtt *mqtt = &a->broker->mqtt;
	struct which w;
	size_t n;

	if (!read_which(a, &w) || w.all == w.has_client_id) {
		admin_refuse(a, CODE_BAD_EVENT,
			     "cache.drop [{mountpoint, client_id}] or "
			     "[{all: true}]");
		return;
	}
	n = w.all ? mqtt_clear(mqtt)
		  : mqtt_drop(mqtt, w.mountpoint, w.client_id);
	pack_uint(admin_answer(a), n);
}
