/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib: what the libraries of lib.h share.
 */
#include "worker/lib.h"

#include "worker/mq.h"

void lib_open(struct lane *l)
{
	vm_library(&l->vm, "kv", lib_kv);
	vm_library(&l->vm, "bus", lib_bus);
	vm_library(&l->vm, "artifacts", lib_artifacts);
	vm_library(&l->vm, "data_store", lib_data_store);
	vm_alias(&l->vm, "data", "data_store");
	vm_library(&l->vm, "log", lib_log);
	mq_open_providers(l);
}

/* The next element of a path; false at its end. */
static bool element(struct slice *rest, struct slice *out)
{
	const uint8_t *end;

	while (rest->n && *rest->p == '/')
		*rest = slice_of(rest->p + 1, rest->n - 1);
	if (!rest->n)
		return false;
	end = memchr(rest->p, '/', rest->n);
	out->p = rest->p;
	out->n = end ? (size_t)(end - rest->p) : rest->n;
	*rest = slice_of(rest->p + out->n, rest->n - out->n);
	return true;
}

bool lib_clean(lua_State *L, struct slice name, struct slice *out)
{
	char clean[LIB_MAX_NAME];
	struct slice one;
	size_t n = 0;

	if (name.n > sizeof(clean) || (name.n && memchr(name.p, 0, name.n)))
		return false;
	while (element(&name, &one)) {
		if (slice_is(one, "."))
			continue;
		if (slice_is(one, "..")) {
			while (n && clean[--n] != '/')
				;
			continue;
		}
		if (n)
			clean[n++] = '/';
		memcpy(clean + n, one.p, one.n);
		n += one.n;
	}
	lua_pushlstring(L, clean, n);
	out->p = (const uint8_t *)lua_tolstring(L, -1, &out->n);
	return true;
}

static void sift(struct slice *list, size_t i, size_t n)
{
	struct slice one = list[i];

	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n &&
		    slice_cmp(list[child + 1], list[child]) > 0)
			child++;
		if (slice_cmp(list[child], one) <= 0)
			break;
		list[i] = list[child];
	}
	list[i] = one;
}

void lib_sort(struct slice *list, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(list, i, n);
	while (n > 1) {
		struct slice top = list[0];

		list[0] = list[--n];
		list[n] = top;
		sift(list, 0, n);
	}
}

bool lib_denied(lua_State *L, const char *kind, struct slice name)
{
	if (script_granted(lane_of(L)->host->script, kind, name))
		return false;
	lua_pushfstring(L, "denied: no grant for %s '", kind);
	lua_pushlstring(L, (const char *)name.p, name.n < 128 ? name.n : 128);
	lua_pushliteral(L, "'");
	lua_concat(L, 3);
	return true;
}
