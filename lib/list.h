/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list: an intrusive, circular, doubly linked list.
 *
 * A head and its nodes are all `struct list`. A node that was removed (or
 * initialised) points to itself, so list_remove() may be called twice.
 */
#ifndef PF_LIB_LIST_H
#define PF_LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define container_of(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_push(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_push_front(struct list *head, struct list *node)
{
	list_push(head->next, node);
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* The first node, or NULL. It stays where it is. */
static inline struct list *list_first(const struct list *head)
{
	return head->next == head ? NULL : head->next;
}

/* The first node, removed, or NULL. */
static inline struct list *list_pop(struct list *head)
{
	struct list *first = list_first(head);

	if (first)
		list_remove(first);
	return first;
}

/* Move all nodes of `from` behind those of `head`. */
static inline void list_splice(struct list *head, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	list_init(from);
}

/* The loop's body may remove `it`. */
#define list_each(it, next_, head)                                             \
	for (struct list *it = (head)->next, *next_ = it->next; it != (head);  \
	     it = next_, next_ = it->next)

#endif
