/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload_wish: see reload_wish.h. Start at reload_wants(), which is asked for
 * each script of the file.
 */
#include "broker/reload_wish.h"

#include <stdlib.h>

struct override {
	struct list node;
	bool enabled;
	char name[CONF_NAME_MAX + 1];
};

struct loaded_path {
	struct list node;
	uint32_t place;
	char path[2048];
};

/* ---- enable and disable ------------------------------------------------ */

static struct override *find_override(struct broker *b, struct slice name)
{
	list_each(node, next, &b->overrides)
	{
		struct override *o = container_of(node, struct override, node);

		if (slice_is(name, o->name))
			return o;
	}
	return NULL;
}

int reload_override(struct broker *b, struct slice name, bool enabled)
{
	struct override *o = find_override(b, name);

	if (!o) {
		if (name.n > CONF_NAME_MAX)
			return ERR_RANGE;
		o = calloc(1, sizeof(*o));
		if (!o)
			return ERR_NOMEM;
		memcpy(o->name, name.p, name.n);
		list_push(&b->overrides, &o->node);
	}
	o->enabled = enabled;
	return OK;
}

enum reload_wish reload_wished(struct broker *b, struct slice name)
{
	const struct override *o = find_override(b, name);

	if (!o)
		return WISH_NONE;
	return o->enabled ? WISH_ENABLED : WISH_DISABLED;
}

void reload_wish_again(struct broker *b, const char *name,
		       enum reload_wish before)
{
	struct override *o = find_override(b, slice_str(name));

	if (o && before == WISH_NONE) {
		list_remove(&o->node);
		free(o);
	} else if (o) {
		o->enabled = before == WISH_ENABLED;
	}
}

void reload_forget_overrides(struct broker *b)
{
	struct list *node;

	while ((node = list_pop(&b->overrides)))
		free(container_of(node, struct override, node));
	while ((node = list_pop(&b->commands)))
		free(container_of(node, struct loaded_path, node));
}

/* ---- script.load and unload -------------------------------------------- */

static struct loaded_path *find_path(struct broker *b, const char *path)
{
	list_each(node, next, &b->commands)
	{
		struct loaded_path *p =
			container_of(node, struct loaded_path, node);

		if (conf_same_file(p->path, path))
			return p;
	}
	return NULL;
}

int reload_command(struct broker *b, const char *path)
{
	size_t n = strlen(path);
	struct loaded_path *p;

	if (find_path(b, path))
		return OK;
	if (n >= sizeof(p->path) || n < 6 || strcmp(path + n - 4, ".lua") != 0)
		return ERR_RANGE;
	p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	memcpy(p->path, path, n);
	p->place = ++b->ncommands;
	list_push(&b->commands, &p->node);
	return OK;
}

bool reload_withdraw(struct broker *b, const char *path)
{
	struct loaded_path *p = find_path(b, path);

	if (!p)
		return false;
	list_remove(&p->node);
	free(p);
	return true;
}

int reload_add_commands(struct broker *b, struct conf *conf, struct buf *why)
{
	list_each(node, next, &b->commands)
	{
		struct loaded_path *p =
			container_of(node, struct loaded_path, node);
		struct conf_script *c = conf_find_file(conf, p->path);
		int rc;

		if (c) { /* also when it had been unloaded */
			c->enabled = true;
			rc = reload_override(b, slice_str(c->name), true);
			if (rc < 0)
				return rc;
			continue;
		}
		rc = conf_add_command(conf, p->path, p->place);
		if (rc == ERR_EXISTS)
			buf_addf(why,
				 "%s: there is another script of that name",
				 p->path);
		else if (rc == ERR_RANGE)
			buf_addf(why, "%s: its name is no script's", p->path);
		if (rc < 0)
			return rc;
	}
	return OK;
}

bool reload_wants(struct broker *b, const struct conf *conf,
		  const struct conf_script *c)
{
	struct override *o = find_override(b, slice_str(c->name));

	if (c->dialect == DIALECT_HTTP && !conf->plugin_enabled)
		return false;
	return o ? o->enabled : c->enabled;
}
