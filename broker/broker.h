/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker: everything of one pinfoldd, put together, and its three phases.
 *
 *   STARTING --all scripts loaded or refused--> SERVING --SIGTERM--> DRAINING
 *   DRAINING: no new events; what runs may end (shutdown_timeout); then
 *   flush.lua runs, workers end, the store is synced, the loop ends
 */
#ifndef PF_BROKER_BROKER_H
#define PF_BROKER_BROKER_H

#include "broker/bus.h"
#include "broker/call/call.h"
#include "broker/chain.h"
#include "broker/client.h"
#include "broker/gateway.h"
#include "broker/mqtt_client.h"
#include "broker/nursery.h"
#include "broker/server.h"

enum broker_phase {
	BROKER_STARTING,
	BROKER_SERVING,
	BROKER_DRAINING, /* events in flight may end */
	BROKER_FLUSHING, /* flush.lua runs */
	BROKER_ENDING,	 /* workers, store and handles close */
};

struct broker {
	uv_loop_t *loop;
	struct conf *conf;
	enum broker_phase phase;
	struct turn turn;
	struct wheel wheel;
	struct nursery nursery;
	struct gateway gateway;
	struct chain_house chains;
	struct client_house clients;
	struct server server;
	struct call_house calls;
	struct mqtt mqtt; /* the auth cache */
	struct mqtt_clients mqtt_clients;
	struct store *store;
	struct crew_ops crew_ops;
	struct reload *reload; /* under way, or NULL */
	bool reload_wanted;    /* by a signal, and not begun */
	struct list overrides; /* of reload.c */
	struct list commands;  /* likewise: scripts that commands loaded */
	uint32_t ncommands;
	struct list execs;     /* of admin_exec.c */
	struct list recorders; /* of admin_record.c */
	size_t nrecorders;
	uv_signal_t sigterm, sigint, sighup;
	struct wheel_timer shutdown;
	struct turn_task renew; /* the hooks of a script have changed */
	char session[37];	/* this run's id, a UUID */
	uint64_t started_ms;
	uint64_t generation;
	size_t loading;	 /* crews that have not told yet */
	size_t flushing; /* flush events that have not ended */
	int exit_status;
};

/*
 * Put it together on `loop` and start. Takes conf in any case. 0, or an exit
 * status of sysexits.h with a line of text in `why`: 65 damaged data, 69 a
 * socket or the data is in use, 74 input/output, 78 configuration.
 */
int broker_open(struct broker *b, uv_loop_t *loop, struct conf *conf,
		struct buf *why) must_check;

/* Drain and end; asked twice, at once. */
void broker_stop(struct broker *b);

/* Of `worker` in the configuration, or beside this program; owned by the
 * caller. NULL: no memory, or it cannot be found out. */
char *broker_worker_path(const struct conf *conf) must_check;

/* Workers and the gateway: open, close the handles, free what they are called.
 * As broker_open(). */
int broker_open_children(struct broker *b, struct buf *why) must_check;
void broker_close_children(struct broker *b);
void broker_free_paths(struct broker *b);

/* For printf, with the cause. */
#define BROKER_NO_SANDBOX                                                      \
	"the sandbox does not hold on this system: a worker ended before it "  \
	"was locked cause=%s"

/* After the loop has ended. */
void broker_fini(struct broker *b);

/*
 * Run flush.lua of every script that has one, with opts.session. `done` (may
 * be NULL) is called when all have ended, possibly at once.
 */
struct broker_flush {
	struct broker *broker;
	size_t running;
	void (*done)(struct broker_flush *f);
	void *arg;
};
void broker_flush(struct broker_flush *f, struct slice session);

#endif
