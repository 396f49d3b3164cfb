/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers: the header fields of one message as a flat list of offsets into
 * the event's bytes, with the header ops of earlier scripts applied.
 */
#ifndef PF_WORKER_HEADERS_H
#define PF_WORKER_HEADERS_H

#include "lib/buf.h"
#include "proto/ops.h"

struct header {
	uint32_t name, value; /* offsets from the base */
	uint32_t name_len, value_len;
	bool dead; /* replaced or deleted */
	bool kept; /* its values are in a table of the script */
};

struct headers {
	struct buf list; /* of struct header */
	bool ready;
};

static inline size_t headers_count(const struct headers *h)
{
	return h->list.n / sizeof(struct header);
}

static inline struct header *headers_at(const struct headers *h, size_t i)
{
	return (struct header *)(void *)h->list.p + i;
}

static inline struct slice header_name(const struct header *h,
				       const uint8_t *base)
{
	return slice_of(base + h->name, h->name_len);
}

static inline struct slice header_value(const struct header *h,
					const uint8_t *base)
{
	return slice_of(base + h->value, h->value_len);
}

void headers_clear(struct headers *h); /* keeps the memory */
void headers_fini(struct headers *h);

/* Read the event's value: an array of [name, value] or a map of name to a
 * string or an array of strings. ERR_FORMAT when it is neither. */
int headers_load(struct headers *h, const uint8_t *base,
		 struct slice value) must_check;

/* One header op of an earlier script; a and b of `op` lie behind base too. */
void headers_set(struct headers *h, const uint8_t *base,
		 const struct op_view *op);
void headers_add(struct headers *h, const uint8_t *base,
		 const struct op_view *op);
void headers_del(struct headers *h, const uint8_t *base, struct slice name);

/* The canonical form of a name ("x-cli" -> "X-Cli"), as many bytes as the
 * name has; a name that is no token stays as it is. True: it was canonical. */
bool header_canonical(struct slice name, uint8_t *out);

#endif
