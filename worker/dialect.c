/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect: what both dialects share.
 */
#include "worker/dialect.h"

#include "worker/lib.h"

void dialect_print(void *arg, struct slice line)
{
	log_line(arg, line);
}

void dialect_look(void *arg)
{
	struct lane *l = arg;

	if (wire_say(l->host->wire) < 0)
		l->host->gone(l->host->arg);
}

void dialect_collect(void *arg)
{
	struct lane *l = arg;

	l->host->collect(l->host->arg);
}

bool dialect_source(void *arg, struct slice module, struct slice *text,
		    const char **chunkname)
{
	struct lane *l = arg;
	const struct source_file *f = script_module(l->host->script, module);

	if (!f)
		return false;
	*text = buf_slice(&f->text);
	*chunkname = f->chunkname;
	return true;
}

int dialect_compile(struct lane *l, const struct source_file *f, int *ref)
{
	*ref = LUA_NOREF;
	if (!f)
		return OK;
	if (vm_compile(&l->vm, buf_slice(&f->text), f->chunkname) < 0) {
		lua_pop(l->vm.L, 1);
		return ERR_FORMAT;
	}
	*ref = luaL_ref(l->vm.L, LUA_REGISTRYINDEX);
	return OK;
}
