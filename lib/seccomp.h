/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp: rows of a policy -> a BPF program -> the kernel.
 *
 *   seccomp_begin(&s);
 *   seccomp_allow(&s, rules, n);
 *   seccomp_end(&s);                      what no row allowed, kills
 *
 * One row is one allowed form of one system call; rows of the same call are
 * alternatives, the checks of one row must all hold. The program first checks
 * the architecture and refuses the x32 numbers, so that a number means the
 * same call everywhere.
 *
 * The kernel reads some arguments as int and drops the upper half; `wide` is
 * for those that it reads whole (unsigned long).
 */
#ifndef PF_LIB_SECCOMP_H
#define PF_LIB_SECCOMP_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

enum { SECCOMP_MAX = 1024 };

enum policy_op {
	POLICY_END = 0, /* no more checks in this row */
	POLICY_IS,	/* argument == value */
	POLICY_BITS,	/* no bit outside of value */
	POLICY_UPTO,	/* argument <= value, unsigned */
	POLICY_ANY,	/* at least one bit of value */
};

enum { POLICY_ARGS = 3 };

struct policy_arg {
	enum policy_op op;
	unsigned index; /* 0-5 */
	uint32_t value;
	bool wide;
};

struct policy_rule {
	const char *name;
	uint32_t nr;
	const char *why;
	struct policy_arg args[POLICY_ARGS];
};

struct seccomp {
	struct sock_filter code[SECCOMP_MAX];
	unsigned short n;
};

void seccomp_begin(struct seccomp *s);
void seccomp_allow(struct seccomp *s, const struct policy_rule *rules,
		   size_t n);

/* Give that call, whatever its arguments, an answer of seccomp(2):
 * SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO | E... */
void seccomp_answer(struct seccomp *s, uint32_t nr, uint32_t action);

void seccomp_end(struct seccomp *s);
void seccomp_end_with(struct seccomp *s, uint32_t action);

/* Bind the process to it, for good. Needs no_new_privs or the capability. 0 or
 * ERR_IO (errno says why). */
int seccomp_install(const struct seccomp *s) must_check;

#endif
