/* SPDX-License-Identifier: Apache-2.0 */
/* data_space: what data.c and data_work.c share. Nobody else includes it. */
#ifndef PF_BROKER_DATA_SPACE_H
#define PF_BROKER_DATA_SPACE_H

#include "broker/data.h"

struct data {
	uv_loop_t *loop;
	int root;
	uint32_t refs; /* calls under way, and the owner */
	uint32_t calls;
};

#endif
