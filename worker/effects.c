/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effects: a list in call order and the bytes that it points into. A run has
 * a few effects, at most PROTO_MAX_EFFECTS, so look-ups walk the list and
 * compare hashes.
 */
#include "worker/effects.h"

#include "proto/pack.h"
#include "proto/proto.h"

enum { KEEP = 64 << 10 };

void effects_clear(struct effects *e)
{
	if (e->list.n == 0 && e->bytes.n == 0 && !buf_error(&e->bytes))
		return;
	buf_reset(&e->bytes, KEEP);
	buf_reset(&e->list, KEEP);
}

void effects_fini(struct effects *e)
{
	buf_fini(&e->bytes);
	buf_fini(&e->list);
}

static struct effect *at(const struct effects *e, uint32_t i)
{
	return (struct effect *)(void *)e->list.p + i;
}

const struct effect *effects_at(const struct effects *e, uint32_t i)
{
	return at(e, i);
}

struct slice effect_key(const struct effects *e, const struct effect *one)
{
	return slice_of(e->bytes.p + one->key, one->key_len);
}

struct slice effect_value(const struct effects *e, const struct effect *one)
{
	return slice_of(e->bytes.p + one->value, one->value_len);
}

static uint32_t hash(struct slice s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 16777619u;
	return h;
}

static bool room_for(const struct effects *e, size_t bytes)
{
	size_t max = e->max_bytes ? e->max_bytes : PROTO_MAX_EFFECT_BYTES;

	return bytes <= max && e->bytes.n <= max - bytes;
}

static uint32_t keep(struct effects *e, struct slice s)
{
	uint32_t off = (uint32_t)e->bytes.n;

	buf_add_slice(&e->bytes, s);
	return off;
}

static int add(struct effects *e, struct effect one, struct slice key,
	       struct slice value)
{
	if (effects_count(e) >= (e->max ? e->max : PROTO_MAX_EFFECTS) ||
	    !room_for(e, key.n + value.n))
		return ERR_FULL;
	one.hash = hash(key);
	one.key_len = (uint32_t)key.n;
	one.value_len = (uint32_t)value.n;
	one.key = keep(e, key);
	one.value = keep(e, value);
	if (!buf_error(&e->bytes))
		buf_add(&e->list, &one, sizeof(one));
	return buf_error(&e->bytes) ? ERR_NOMEM : buf_error(&e->list);
}

static struct effect *find_kv(const struct effects *e, struct slice key)
{
	uint32_t n = effects_count(e), h = n ? hash(key) : 0;

	for (uint32_t i = 0; i < n; i++) {
		struct effect *one = at(e, i);

		if (one->kind <= EFFECT_KV_DELETE && one->hash == h &&
		    slice_eq(effect_key(e, one), key))
			return one;
	}
	return NULL;
}

const struct effect *effects_kv_find(const struct effects *e, struct slice key)
{
	return find_kv(e, key);
}

int effects_kv_set(struct effects *e, struct slice key, struct slice value,
		   uint64_t ttl_ms)
{
	struct effect *one = find_kv(e, key);

	if (!one)
		return add(e,
			   (struct effect){.kind = EFFECT_KV_SET,
					   .number = ttl_ms},
			   key, value);
	if (value.n <= one->value_len) {
		if (value.n)
			memmove(e->bytes.p + one->value, value.p, value.n);
	} else {
		if (!room_for(e, value.n))
			return ERR_FULL;
		one->value = keep(e, value);
	}
	one->kind = EFFECT_KV_SET;
	one->value_len = (uint32_t)value.n;
	one->number = ttl_ms;
	return buf_error(&e->bytes);
}

int effects_kv_delete(struct effects *e, struct slice key)
{
	struct effect *one = find_kv(e, key);

	if (!one)
		return add(e, (struct effect){.kind = EFFECT_KV_DELETE}, key,
			   (struct slice){0});
	one->kind = EFFECT_KV_DELETE;
	return OK;
}

int effects_emit(struct effects *e, struct slice name, struct slice packed)
{
	return add(e, (struct effect){.kind = EFFECT_EMIT}, name, packed);
}

int effects_write(struct effects *e, struct slice name, uint64_t blob,
		  uint64_t size)
{
	return add(e,
		   (struct effect){
			   .kind = EFFECT_WRITE, .number = blob, .size = size},
		   name, (struct slice){0});
}

int effects_delete(struct effects *e, struct slice name)
{
	return add(e, (struct effect){.kind = EFFECT_DELETE}, name,
		   (struct slice){0});
}

int effects_rename(struct effects *e, struct slice from, struct slice to)
{
	return add(e, (struct effect){.kind = EFFECT_RENAME}, from, to);
}

/* Is `name` the thing itself or below it? *rest: what is below. */
static bool within(struct slice name, struct slice top, struct slice *rest)
{
	if (!slice_starts(name, top))
		return false;
	*rest = slice_of(name.p + top.n, name.n - top.n);
	return rest->n == 0 || rest->p[0] == '/';
}

/* The name that `name` had before this rename. False: it was taken away. */
static bool undo_rename(struct slice from, struct slice to, struct slice *name,
			struct buf *scratch)
{
	struct slice rest;
	size_t start;

	if (within(*name, to, &rest)) {
		/* Older names stay where they are: `rest` may be in one. */
		uint8_t tail[2048];

		if (rest.n > sizeof(tail))
			return false;
		memcpy(tail, rest.p, rest.n);
		start = scratch->n;
		buf_add_slice(scratch, from);
		buf_add(scratch, tail, rest.n);
		*name = slice_of(scratch->p + start, scratch->n - start);
		return true;
	}
	return !within(*name, from, &rest);
}

enum artifact_where effects_artifact(const struct effects *e,
				     struct slice *name, struct buf *scratch,
				     uint64_t *blob, uint64_t *size)
{
	for (uint32_t i = effects_count(e); i-- > 0;) {
		const struct effect *one = at(e, i);
		struct slice key = effect_key(e, one);

		if (one->kind == EFFECT_RENAME) {
			if (!undo_rename(key, effect_value(e, one), name,
					 scratch))
				return ARTIFACT_GONE;
		} else if (one->kind < EFFECT_WRITE || !slice_eq(key, *name)) {
			continue;
		} else if (one->kind == EFFECT_DELETE) {
			return ARTIFACT_GONE;
		} else {
			*blob = one->number;
			*size = one->size;
			return ARTIFACT_HERE;
		}
	}
	return ARTIFACT_BROKER;
}

static void pack_one(const struct effects *e, const struct effect *one,
		     struct buf *out)
{
	static const struct {
		const char *name;
		uint32_t args;
	} heads[] = {
		[EFFECT_KV_SET] = {"kv.set", 3},
		[EFFECT_KV_DELETE] = {"kv.delete", 1},
		[EFFECT_EMIT] = {"bus.emit", 2},
		[EFFECT_WRITE] = {"artifact.write", 3},
		[EFFECT_DELETE] = {"artifact.delete", 1},
		[EFFECT_RENAME] = {"artifact.rename", 2},
	};

	pack_array(out, 1 + heads[one->kind].args);
	pack_cstr(out, heads[one->kind].name);
	pack_text(out, effect_key(e, one));
	if (one->kind == EFFECT_KV_SET) {
		pack_bin(out, effect_value(e, one));
		pack_uint(out, one->number);
	} else if (one->kind == EFFECT_EMIT) {
		pack_raw(out, effect_value(e, one));
	} else if (one->kind == EFFECT_WRITE) {
		pack_uint(out, one->number);
		pack_uint(out, one->size);
	} else if (one->kind == EFFECT_RENAME) {
		pack_text(out, effect_value(e, one));
	}
}

void effects_pack(const struct effects *e, struct buf *out)
{
	for (uint32_t i = 0; i < effects_count(e); i++)
		pack_one(e, at(e, i), out);
}
