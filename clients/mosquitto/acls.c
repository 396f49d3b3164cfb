/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acls: per client a short list, oldest first. Which clients have to be asked
 * about is told by the list that each is in, so that nothing is searched for.
 */
#include "clients/mosquitto/acls.h"

#include <stdlib.h>

enum { ENTRIES = 16 }; /* of one client; the oldest beyond that goes */

struct entry {
	struct acl *acl;
	int64_t until; /* ms; 0: for ever */
	unsigned run;  /* of acls */
};

struct acls_client {
	struct list node;
	struct slice client_id; /* the map's key; behind this struct */
	unsigned ended;		/* sessions, untold; then it is doubtful */
	unsigned n;		/* 0 only then, and while it is asked about */
	struct entry entry[ENTRIES]; /* the newest is the last */
};

static void client_free(struct acls_client *c)
{
	for (unsigned i = 0; i < c->n; i++)
		acl_free(c->entry[i].acl);
	list_remove(&c->node);
	free(c);
}

void acls_init(struct acls *a)
{
	*a = (struct acls){0};
	list_init(&a->current);
	list_init(&a->doubtful);
	list_init(&a->asked);
	list_init(&a->foreign);
}

void acls_fini(struct acls *a)
{
	struct acls_client *c;
	size_t at = 0;

	while ((c = map_next(&a->clients, &at)))
		client_free(c);
	map_fini(&a->clients);
}

static struct acls_client *client_of(struct acls *a, struct slice client_id)
{
	struct acls_client *c = map_get(&a->clients, client_id);
	uint8_t *key;

	if (c)
		return c;
	c = calloc(1, sizeof(*c) + client_id.n);
	if (!c)
		return NULL;
	key = (uint8_t *)(c + 1);
	if (client_id.n)
		memcpy(key, client_id.p, client_id.n);
	c->client_id = slice_of(key, client_id.n);
	list_init(&c->node);
	if (map_put(&a->clients, c->client_id, c, NULL) == 0)
		return c;
	free(c);
	return NULL;
}

static void remove_first(struct acls_client *c)
{
	acl_free(c->entry[0].acl);
	c->n--;
	memmove(&c->entry[0], &c->entry[1], c->n * sizeof(c->entry[0]));
}

static void move(struct acls_client *c, struct list *to)
{
	list_remove(&c->node);
	list_push(to, &c->node);
}

int acls_insert(struct acls *a, struct slice canonical, bool renews,
		int64_t now)
{
	struct acls_client *c;
	struct acl *acl;
	uint64_t ttl;
	int rc = acl_new(canonical, &acl);

	if (rc < 0)
		return rc;
	c = client_of(a, acl_client_id(acl));
	if (!c) {
		acl_free(acl);
		return ERR_NOMEM;
	}
	if (renews && c->n > 0)
		acl_free(c->entry[--c->n].acl);
	if (c->n == ENTRIES)
		remove_first(c);
	ttl = acl_ttl_ms(acl);
	if (ttl > INT32_MAX * (uint64_t)1000)
		ttl = 0;
	c->entry[c->n++] = (struct entry){
		.acl = acl,
		.until = ttl ? now + (int64_t)ttl : 0,
		.run = a->run,
	};
	if (c->ended == 0)
		move(c, &a->current);
	return 0;
}

const struct acl *acls_find(const struct acls *a, struct slice client_id,
			    int64_t now)
{
	struct acls_client *c = map_get(&a->clients, client_id);
	const struct entry *e;

	if (!c || c->n == 0)
		return NULL;
	e = &c->entry[c->n - 1];
	return e->until && now >= e->until ? NULL : e->acl;
}

static void client_remove(struct acls *a, struct acls_client *c)
{
	(void)map_del(&a->clients, c->client_id);
	client_free(c);
}

enum acls_run acls_remove_oldest(struct acls *a, struct slice client_id)
{
	struct acls_client *c = map_get(&a->clients, client_id);
	bool this;

	if (!c || c->n == 0)
		return ACLS_NONE;
	this = c->entry[0].run == a->run;
	if (c->n == 1 && c->ended == 0)
		client_remove(a, c);
	else
		remove_first(c);
	return this ? ACLS_THIS : ACLS_OTHER;
}

void acls_drop(struct acls *a, struct slice client_id)
{
	struct acls_client *c = map_get(&a->clients, client_id);

	if (c)
		client_remove(a, c);
}

/* ---- asking again ------------------------------------------------------ */

void acls_owe(struct acls *a, struct slice client_id)
{
	struct acls_client *c = client_of(a, client_id);

	if (!c)
		return;
	c->ended++;
	move(c, &a->doubtful);
}

/* There is nobody to tell, or to ask. */
static void disown(struct acls *a)
{
	list_each(node, next, &a->doubtful)
	{
		struct acls_client *c =
			container_of(node, struct acls_client, node);

		c->ended = 0;
		if (c->n == 0)
			client_remove(a, c);
	}
	list_splice(&a->foreign, &a->doubtful);
	a->run++;
}

void acls_connected(struct acls *a, bool same)
{
	list_splice(&a->doubtful, &a->asked);
	list_splice(&a->doubtful, &a->current);
	if (!same)
		disown(a);
}

bool acls_ask(struct acls *a,
	      bool (*ask)(void *arg, struct slice client_id, unsigned ended),
	      void *arg)
{
	if (!list_empty(&a->asked))
		return false;
	for (int i = 0; i < ACLS_ASK && !list_empty(&a->doubtful); i++) {
		struct list *node = list_first(&a->doubtful);
		struct acls_client *c =
			container_of(node, struct acls_client, node);

		if (!ask(arg, c->client_id, c->ended))
			break;
		c->ended = 0;
		move(c, &a->asked);
	}
	return !list_empty(&a->asked);
}
