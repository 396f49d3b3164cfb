/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml: drives libyaml's event interface and builds the tree.
 *
 * Not here: the meaning of any key (conf.c). Start at yaml_tree_read(). The
 * stack of open containers is an array, so that nesting costs no recursion.
 */
#include "broker/conf/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "lib/map.h"

struct level {
	struct yaml_node *node;
	struct yaml_node **tail; /* where the next child is hung */
	struct yaml_node *key;	 /* map: a key that waits for its value */
	struct map keys;	 /* map: text -> key node, to see doubles */
};

struct builder {
	yaml_parser_t parser;
	struct yaml_tree *tree;
	struct yaml_mistake *mistake;
	struct level level[YAML_TREE_DEPTH];
	unsigned depth;
	unsigned nodes;
	unsigned documents;
};

/* Record a mistake at a place of libyaml's (which counts from 0). */
static int wrong(struct builder *b, yaml_mark_t at, const char *what)
{
	b->mistake->line = (uint32_t)at.line + 1;
	b->mistake->column = (uint32_t)at.column + 1;
	buf_addf(&b->mistake->what, "%s", what);
	return ERR_FORMAT;
}

static int syntax(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	yaml_mark_t at = p->problem_mark;

	if (p->error == YAML_MEMORY_ERROR)
		return ERR_NOMEM;
	if (p->error == YAML_READER_ERROR) {
		b->mistake->line = (uint32_t)p->mark.line + 1;
		b->mistake->column = (uint32_t)p->mark.column + 1;
		buf_addf(&b->mistake->what,
			 "not YAML text: %s at byte %zu, UTF-8 expected",
			 p->problem, p->problem_offset);
		return ERR_FORMAT;
	}
	wrong(b, at, "not YAML: ");
	buf_addf(&b->mistake->what, "%s",
		 p->problem ? p->problem : "unknown mistake");
	if (p->context)
		buf_addf(&b->mistake->what, " (%s that began at line %zu)",
			 p->context, p->context_mark.line + 1);
	return ERR_FORMAT;
}

static int node_new(struct builder *b, const yaml_event_t *ev,
		    enum yaml_kind kind, struct yaml_node **out)
{
	bool scalar = kind == YAML_SCALAR;
	size_t n = scalar ? ev->data.scalar.length : 0;
	struct yaml_node *node;
	char *text;

	if (++b->nodes > YAML_TREE_NODES)
		return wrong(b, ev->start_mark,
			     "more than 100000 values in one file");
	node = calloc(1, sizeof(*node) + n + 1);
	if (!node)
		return ERR_NOMEM;
	text = (char *)(node + 1);
	if (n)
		memcpy(text, ev->data.scalar.value, n);
	*node = (struct yaml_node){
		.kind = kind,
		.line = (uint32_t)ev->start_mark.line + 1,
		.column = (uint32_t)ev->start_mark.column + 1,
		.text = slice_of(text, n),
		.made = b->tree->made,
	};
	b->tree->made = node;
	*out = node;
	return 0;
}

static int take_key(struct builder *b, struct level *top,
		    struct yaml_node *node, const yaml_event_t *ev)
{
	struct yaml_node *first;
	int rc;

	if (node->kind != YAML_SCALAR)
		return wrong(b, ev->start_mark,
			     "a key that is a list or a map, expected a word");
	first = map_get(&top->keys, node->text);
	if (first) {
		wrong(b, ev->start_mark, "key ");
		yaml_describe(node, &b->mistake->what);
		buf_addf(&b->mistake->what,
			 " is there twice, expected once (first at line %u)",
			 first->line);
		return ERR_FORMAT;
	}
	rc = map_put(&top->keys, node->text, node, NULL);
	if (rc == 0)
		top->key = node;
	return rc;
}

/* Hang a new node where it belongs: root, list item, key or value. */
static int place(struct builder *b, struct yaml_node *node,
		 const yaml_event_t *ev)
{
	struct level *top;

	if (b->depth == 0) {
		b->tree->root = node;
		return 0;
	}
	top = &b->level[b->depth - 1];
	if (top->node->kind == YAML_MAP && !top->key)
		return take_key(b, top, node, ev);
	node->key = top->key;
	top->key = NULL;
	top->node->n++;
	*top->tail = node;
	top->tail = &node->next;
	return 0;
}

static bool is_str_tag(const yaml_char_t *tag)
{
	const char *t = (const char *)tag;

	return strcmp(t, "!") == 0 || strcmp(t, YAML_STR_TAG) == 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *ev)
{
	const yaml_char_t *tag = ev->data.scalar.tag;
	struct yaml_node *node;
	int rc;

	if (tag && !is_str_tag(tag))
		return wrong(b, ev->start_mark,
			     "a tag, expected a value without one");
	rc = node_new(b, ev, YAML_SCALAR, &node);
	if (rc < 0)
		return rc;
	node->plain = !tag && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return place(b, node, ev);
}

static int on_open(struct builder *b, const yaml_event_t *ev,
		   enum yaml_kind kind, const yaml_char_t *tag)
{
	struct yaml_node *node;
	int rc;

	if (tag)
		return wrong(b, ev->start_mark,
			     "a tag, expected a value without one");
	if (b->depth == YAML_TREE_DEPTH)
		return wrong(b, ev->start_mark, "nested deeper than 64 levels");
	rc = node_new(b, ev, kind, &node);
	if (rc == 0)
		rc = place(b, node, ev);
	if (rc < 0)
		return rc;
	b->level[b->depth++] = (struct level){
		.node = node,
		.tail = &node->child,
	};
	return 0;
}

static void on_close(struct builder *b)
{
	b->depth--;
	map_fini(&b->level[b->depth].keys);
}

static int on_event(struct builder *b, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++b->documents > 1)
			return wrong(b, ev->start_mark,
				     "a second document, expected one");
		return 0;
	case YAML_ALIAS_EVENT:
		return wrong(b, ev->start_mark,
			     "an alias, expected the value written out");
	case YAML_SCALAR_EVENT:
		return on_scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, ev, YAML_LIST, ev->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, ev, YAML_MAP, ev->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		on_close(b);
		return 0;
	default:
		return 0;
	}
}

static int build(struct builder *b)
{
	bool end = false;
	int rc = 0;

	while (rc == 0 && !end) {
		yaml_event_t ev;

		if (!yaml_parser_parse(&b->parser, &ev))
			return syntax(b);
		rc = on_event(b, &ev);
		end = ev.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
	}
	return rc;
}

int yaml_tree_read(struct slice text, struct yaml_tree *out,
		   struct yaml_mistake *mistake)
{
	struct builder *b;
	int rc;

	*out = (struct yaml_tree){0};
	if (text.n > YAML_TREE_BYTES) {
		mistake->line = mistake->column = 1;
		buf_addf(&mistake->what, "larger than 1 MiB");
		return ERR_FORMAT;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	b->tree = out;
	b->mistake = mistake;
	if (yaml_parser_initialize(&b->parser)) {
		yaml_parser_set_input_string(
			&b->parser, text.n ? text.p : (const uint8_t *)"",
			text.n);
		rc = build(b);
		yaml_parser_delete(&b->parser);
	} else {
		rc = ERR_NOMEM;
	}
	while (b->depth > 0)
		on_close(b);
	free(b);
	if (rc < 0)
		yaml_tree_fini(out);
	return rc;
}

void yaml_tree_fini(struct yaml_tree *tree)
{
	while (tree->made) {
		struct yaml_node *node = tree->made;

		tree->made = node->made;
		free(node);
	}
	tree->root = NULL;
}

const struct yaml_node *yaml_tree_get(const struct yaml_node *map,
				      const char *key)
{
	const struct yaml_node *it;

	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (it = map->child; it; it = it->next) {
		if (slice_is(it->key->text, key))
			return it;
	}
	return NULL;
}

void yaml_describe(const struct yaml_node *node, struct buf *out)
{
	size_t i, n = node->text.n < 60 ? node->text.n : 60;

	if (node->kind != YAML_SCALAR) {
		buf_addf(out, node->kind == YAML_MAP ? "a map" : "a list");
		return;
	}
	if (yaml_core(node).type == YAML_NULL) {
		buf_addf(out, "null");
		return;
	}
	buf_add_byte(out, '\'');
	for (i = 0; i < n; i++) {
		uint8_t c = node->text.p[i];

		buf_add_byte(out, c < 0x20 || c == 0x7f ? '?' : c);
	}
	buf_addf(out, n < node->text.n ? "...'" : "'");
}
