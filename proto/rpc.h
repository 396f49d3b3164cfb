/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc: MessagePack-RPC envelopes <-> bytes (PROTOCOL.md 1).
 */
#ifndef PF_PROTO_RPC_H
#define PF_PROTO_RPC_H

#include "lib/buf.h"

enum rpc_type {
	RPC_REQUEST = 0,
	RPC_RESPONSE = 1,
	RPC_NOTIFICATION = 2,
};

/* Slices point into the message. */
struct rpc {
	enum rpc_type type;
	uint32_t id;	     /* not of a notification */
	struct slice method; /* request, notification */
	struct slice params; /* raw bytes of the array, header included */
	uint32_t nparams;
	struct slice error;  /* response: raw value; is nil when it went well */
	struct slice result; /* response: raw value */
	bool failed;	     /* response: error is not nil */
};

/* `msg` is one scanned value. ERR_FORMAT when it is no envelope. */
int rpc_decode(struct slice msg, struct rpc *out) must_check;

/* Envelope heads; the caller packs exactly what is named behind them. */
void rpc_request(struct buf *b, uint32_t id, const char *method,
		 uint32_t nparams); /* then nparams values */
void rpc_notification(struct buf *b, const char *method,
		      uint32_t nparams);      /* then nparams values */
void rpc_result(struct buf *b, uint32_t id);  /* then one value */
void rpc_failure(struct buf *b, uint32_t id); /* then the error value */
void rpc_failure_end(struct buf *b);	      /* the nil result */

#endif
