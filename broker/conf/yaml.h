/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml: text -> a bounded tree of nodes that know their line and column.
 *
 * The only face that libyaml has in this project. It is given what libyaml
 * 0.2.5 lacks: limits on size, nesting and count, no aliases (a few bytes of
 * them can stand for gigabytes), no duplicate keys. What a scalar means is
 * asked for later (yaml_core), since the reader of a key knows better.
 *
 * Names start with yaml_tree where libyaml exports the shorter one.
 */
#ifndef PF_BROKER_YAML_H
#define PF_BROKER_YAML_H

#include "lib/buf.h"

enum {
	YAML_TREE_BYTES = 1 << 20,
	YAML_TREE_DEPTH = 64,
	YAML_TREE_NODES = 100000,
};

enum yaml_kind {
	YAML_SCALAR,
	YAML_LIST,
	YAML_MAP,
};

struct yaml_node {
	enum yaml_kind kind;
	bool plain;	       /* scalar without quotes or !!str */
	uint32_t line, column; /* where it starts, from 1 */
	uint32_t n;	       /* list, map: how many children */
	struct slice text;     /* scalar: its bytes; a NUL follows them */
	struct yaml_node *key; /* in a map: the scalar this is the value of */
	struct yaml_node *child, *next;
	struct yaml_node *made; /* the tree's own list, for freeing */
};

struct yaml_tree {
	struct yaml_node *root; /* NULL: the text holds no document */
	struct yaml_node *made;
};

/* What is wrong and where; `what` is one line without position. */
struct yaml_mistake {
	uint32_t line, column;
	struct buf what;
};

/*
 * Read one document. On 0 the tree is the caller's, to be given to
 * yaml_tree_fini(); on an error it is empty. ERR_FORMAT with the mistake
 * filled in (its buf is the caller's too), or ERR_NOMEM.
 */
int yaml_tree_read(struct slice text, struct yaml_tree *out,
		   struct yaml_mistake *mistake) must_check;
void yaml_tree_fini(struct yaml_tree *tree); /* accepts a zeroed one */

/* The value of `key` in a map, or NULL. */
const struct yaml_node *yaml_tree_get(const struct yaml_node *map,
				      const char *key);

/* A scalar by the core schema of YAML 1.2. */
enum yaml_type {
	YAML_NULL,
	YAML_BOOL,
	YAML_INT,
	YAML_FLOAT, /* also integers that do not fit in 64 bits */
	YAML_STR,
};

struct yaml_value {
	enum yaml_type type;
	bool b;
	int64_t i;
	double f;
};

struct yaml_value yaml_core(const struct yaml_node *scalar);

/* "a list", "a map", "null", "'text'": for messages; appends to `out`. */
void yaml_describe(const struct yaml_node *node, struct buf *out);

#endif
