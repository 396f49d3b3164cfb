/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker_children: where workers and the gateway come from, for broker.c.
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "broker/broker.h"

/* What is configured, or the program of that name beside this one. */
static char *path_of(const char *configured, const char *name)
{
	char path[4096];
	size_t n = sizeof(path) - 32;
	char *slash;

	if (configured)
		return strdup(configured);
	if (uv_exepath(path, &n) < 0)
		return NULL;
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, name);
	return strdup(path);
}

char *broker_worker_path(const struct conf *conf)
{
	return path_of(conf->worker, "pinfold-worker");
}

/* It runs from the start when something is configured for it. */
static int open_gateway(struct broker *b)
{
	struct slice providers = buf_slice(&b->conf->mqtt.providers);
	struct gateway_options options = {
		.path = path_of(b->conf->gateway, "pinfold-gateway"),
		.strict = b->conf->sandbox.strict,
	};

	if (!options.path)
		return EX_OSERR;
	if (b->nursery.drop_uid)
		options.uid = options.gid = spawn_unused_uid(&b->nursery.uids);
	gateway_init(&b->gateway, &b->turn, &b->wheel, &options);
	b->calls.gateway = &b->gateway;
	if (gateway_configure(&b->gateway, providers) < 0)
		return EX_OSERR;
	if (providers.n)
		gateway_start(&b->gateway);
	return 0;
}

int broker_open_children(struct broker *b, struct buf *why)
{
	struct child_house house = {
		.turn = &b->turn,
		.wheel = &b->wheel,
		.strict = b->conf->sandbox.strict,
	};
	struct nursery_options options = {
		.worker = broker_worker_path(b->conf),
		.memory = (size_t)64 << 20,
		.uid_base = (unsigned)b->conf->sandbox.uid,
	};

	if (!options.worker)
		return EX_OSERR;
	if (nursery_init(&b->nursery, &house, &options, why) < 0)
		return EX_CONFIG;
	return open_gateway(b);
}

void broker_close_children(struct broker *b)
{
	nursery_close(&b->nursery);
	gateway_close(&b->gateway);
}

void broker_free_paths(struct broker *b)
{
	free((char *)(uintptr_t)b->nursery.options.worker);
	free((char *)(uintptr_t)b->gateway.options.path);
}
