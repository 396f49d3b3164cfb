/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: what client.c and hello.c share about a connection. Private; the
 * public face is pinfold_client.h.
 */
#ifndef PF_CLIENT_H
#define PF_CLIENT_H

#include "clients/c/pinfold_client.h"
#include "proto/rpc.h"
#include "proto/scan.h"

enum slot_state {
	SLOT_FREE,
	SLOT_WAITS,
	SLOT_FORGOTTEN, /* still counted: the broker still counts it too */
};

struct slot {
	void *tag;
	uint32_t uses; /* its lower bits are in the id */
	uint32_t next; /* free: the next free one */
	enum slot_state state;
};

struct pf_client {
	size_t max_in;	    /* bytes of a message that comes */
	size_t max_message; /* of one that goes: hello may lower it */
	size_t max_output;
	struct buf in, out;
	size_t in_at, out_at; /* what of them is done with */
	struct scan scan;     /* of the message at in_at */
	struct slot *slots;
	uint32_t nslots, free, used, forgotten;
	int error; /* sticky */

	bool hello_asked;
	uint32_t hello_id;
	bool hello_lazy;       /* what our hello offered */
	uint32_t may_inflight; /* the smaller of ours and the broker's */
	size_t inline_body;    /* SIZE_MAX: no lazy bodies */
	struct buf hooks;      /* the packed map of hooks, empty: unknown */
};

/* What the broker said. Nonsense in it is passed over. */
void pf_learn_hello(struct pf_client *c, struct slice result);
void pf_learn_hooks(struct pf_client *c, struct slice hooks);

/* The error map of a response or of a result's `errors`. */
void pf_error_read(struct slice value, struct pf_error *out);

#endif
