/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: open addressing with linear probing and backward-shift deletion (no
 * tombstones, so that a map that sees millions of short-lived keys stays as
 * fast as a new one). The hash is seeded once per process from getrandom.
 */
#include "lib/map.h"

#include <stdlib.h>
#include <sys/random.h>

static uint64_t seed;

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t r = (__uint128_t)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static uint64_t word_at(const uint8_t *p, size_t n)
{
	uint64_t w = 0;

	memcpy(&w, p, n < sizeof(w) ? n : sizeof(w));
	return w;
}

/* Multiply-and-fold over 8-byte words with a secret start. */
uint64_t map_hash(struct slice key, uint64_t before)
{
	uint64_t h;
	size_t i;

	if (!seed) {
		if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
			seed = (uint64_t)(uintptr_t)&seed;
		seed |= 1;
	}
	h = seed ^ before ^ key.n;
	for (i = 0; i < key.n; i += 8)
		h = mix(h ^ word_at(key.p + i, key.n - i),
			0x9e3779b97f4a7c15u ^ seed);
	return mix(h, 0xd6e8feb86659fd93u ^ seed);
}

static uint32_t hash(struct slice key)
{
	return (uint32_t)(map_hash(key, 0) >> 16);
}

void map_fini(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

/* The slot that holds the key, or the free one where it would go. */
static size_t find(const struct map *m, struct slice key, uint32_t h)
{
	size_t i = h & (m->cap - 1);

	while (m->slots[i].value) {
		if (m->slots[i].hash == h && slice_eq(m->slots[i].key, key))
			break;
		i = (i + 1) & (m->cap - 1);
	}
	return i;
}

void *map_get(const struct map *m, struct slice key)
{
	if (m->n == 0)
		return NULL;
	return m->slots[find(m, key, hash(key))].value;
}

static int grow(struct map *m)
{
	struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .n = m->n};

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return ERR_NOMEM;
	for (size_t i = 0; i < m->cap; i++) {
		struct map_slot *s = &m->slots[i];

		if (s->value)
			bigger.slots[find(&bigger, s->key, s->hash)] = *s;
	}
	free(m->slots);
	*m = bigger;
	return OK;
}

int map_put(struct map *m, struct slice key, void *value, void **old)
{
	uint32_t h = hash(key);
	struct map_slot *s;
	int r;

	must(value);
	if ((m->n + 1) * 4 > m->cap * 3 && (r = grow(m)) < 0)
		return r;
	s = &m->slots[find(m, key, h)];
	if (old)
		*old = s->value;
	if (!s->value)
		m->n++;
	*s = (struct map_slot){key, value, h};
	return OK;
}

void *map_del(struct map *m, struct slice key)
{
	size_t mask = m->cap - 1, hole, i;
	void *value;

	if (m->n == 0)
		return NULL;
	hole = find(m, key, hash(key));
	value = m->slots[hole].value;
	if (!value)
		return NULL;
	/* Close the gap: move back what had probed past it. */
	for (i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole] = (struct map_slot){0};
	m->n--;
	return value;
}

void *map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		void *value = m->slots[(*at)++].value;

		if (value)
			return value;
	}
	return NULL;
}
