/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the reason phrases of HTTP status codes (RFC 9110 and the IANA
 * registry).
 */
#ifndef PF_WORKER_STATUS_H
#define PF_WORKER_STATUS_H

#include <stdint.h>

/* "" for a code without one. */
const char *status_text(int64_t code);

#endif
