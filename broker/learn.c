/* SPDX-License-Identifier: Apache-2.0 */
/*
 * learn: start at learn_note(). It is called for every call and effect, so
 * what is needed often moves to the front.
 */
#include "broker/learn.h"

#include <stdlib.h>
#include <string.h>

static struct slice text_of(const struct learn_name *name)
{
	return slice_of(name->bytes, name->n);
}

/* The first n bytes of it, without half a character at the end. */
static struct slice cut(struct slice name, size_t n)
{
	if (n >= name.n)
		return name;
	while (n > 0 && (name.p[n] & 0xc0) == 0x80)
		n--;
	return slice_of(name.p, n);
}

static size_t count_under(const struct learn_list *l, struct slice stem)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += slice_starts(text_of(&l->name[i]), stem);
	return n;
}

/* In place of all that begins so. There is room, or one such. */
static void put(struct learn_list *l, struct slice stem)
{
	struct learn_name name = {.n = (uint8_t)stem.n};
	size_t kept = 0;

	if (stem.n)
		memcpy(name.bytes, stem.p, stem.n); /* may be one of them */
	for (size_t i = 0; i < l->n; i++)
		if (!slice_starts(text_of(&l->name[i]), text_of(&name)))
			l->name[kept++] = l->name[i];
	l->name[kept] = name;
	l->n = kept + 1;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Does a part of the name begin at `at`? */
static bool is_joint(struct slice name, size_t at)
{
	uint8_t last = name.p[at - 1];

	if (last && strchr(":/.-_|,;@ ", last))
		return true;
	return at < name.n && is_digit(name.p[at]) && !is_digit(last);
}

/* Was that one too many below some stem of it? The longest that has too many
 * takes their place. */
static void widen(struct learn_list *l, struct slice name)
{
	for (size_t at = name.n; at > 0; at--) {
		struct slice stem = slice_of(name.p, at);

		if (is_joint(name, at) && count_under(l, stem) > LEARN_FAN) {
			put(l, stem);
			return;
		}
	}
}

static size_t common(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

/* Make room: the two that are most alike become what they share. */
static void merge(struct learn_list *l)
{
	struct slice best = {0};

	for (size_t i = 0; i < l->n; i++) {
		for (size_t k = i + 1; k < l->n; k++) {
			struct slice a = text_of(&l->name[i]);
			size_t n = common(a, text_of(&l->name[k]));

			if (n > best.n)
				best = cut(a, n);
		}
	}
	put(l, best);
}

static bool find(struct learn_list *l, struct slice name)
{
	for (size_t i = 0; i < l->n; i++) {
		struct learn_name hit;

		if (!slice_starts(name, text_of(&l->name[i])))
			continue;
		if (i > 0) {
			hit = l->name[i];
			l->name[i] = l->name[i / 2];
			l->name[i / 2] = hit;
		}
		return true;
	}
	return false;
}

void learn_note(struct learn *learn, enum grant kind, struct slice name)
{
	struct learn_list *l = &learn->list[kind];

	if (find(l, name))
		return;
	if (!l->name)
		l->name = calloc(LEARN_NAMES, sizeof(*l->name));
	if (!l->name)
		return;
	name = cut(name, LEARN_BYTES);
	if (l->n == LEARN_NAMES)
		merge(l);
	if (find(l, name))
		return;
	put(l, name);
	widen(l, name);
}

struct slice learn_at(const struct learn *l, enum grant kind, size_t i)
{
	return text_of(&l->list[kind].name[i]);
}

void learn_fini(struct learn *l)
{
	for (int i = 0; i < GRANT_COUNT; i++)
		free(l->list[i].name);
	*l = (struct learn){0};
}
