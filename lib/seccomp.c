/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assembles the system call filter. What is allowed stands in a policy;
 * this file only knows how a row becomes instructions: each row is a block that
 * ends in ALLOW, and every check that does not hold jumps behind its block.
 */
#include "lib/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no system call policy for this architecture"
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "halves of args");

enum {
	X32_BIT = 0x40000000, /* also above every number of other ABIs */
	ELSEWHERE = 255,      /* a jump to behind the row, not yet known */
};

static void emit(struct seccomp *s, struct sock_filter insn)
{
	must(s->n < SECCOMP_MAX);
	s->code[s->n++] = insn;
}

static void load(struct seccomp *s, size_t offset)
{
	emit(s, (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0,
				     (uint32_t)offset});
}

static void jump(struct seccomp *s, unsigned op, uint32_t k, unsigned yes,
		 unsigned no)
{
	emit(s, (struct sock_filter){(uint16_t)(BPF_JMP | op | BPF_K),
				     (uint8_t)yes, (uint8_t)no, k});
}

static void verdict(struct seccomp *s, uint32_t action)
{
	emit(s, (struct sock_filter){BPF_RET | BPF_K, 0, 0, action});
}

static void check(struct seccomp *s, const struct policy_arg *a)
{
	size_t low = offsetof(struct seccomp_data, args) +
		     sizeof(uint64_t) * a->index;

	if (a->wide) {
		load(s, low + sizeof(uint32_t));
		jump(s, BPF_JEQ, 0, 0, ELSEWHERE);
	}
	load(s, low);
	switch (a->op) {
	case POLICY_IS:
		jump(s, BPF_JEQ, a->value, 0, ELSEWHERE);
		break;
	case POLICY_BITS:
		jump(s, BPF_JSET, ~a->value, ELSEWHERE, 0);
		break;
	case POLICY_UPTO:
		jump(s, BPF_JGT, a->value, ELSEWHERE, 0);
		break;
	case POLICY_ANY:
		jump(s, BPF_JSET, a->value, 0, ELSEWHERE);
		break;
	default:
		must(!"a known check");
	}
}

static void allow(struct seccomp *s, const struct policy_rule *rule)
{
	unsigned short i, start = s->n;

	load(s, offsetof(struct seccomp_data, nr));
	jump(s, BPF_JEQ, rule->nr, 0, ELSEWHERE);
	for (i = 0; i < POLICY_ARGS && rule->args[i].op != POLICY_END; i++)
		check(s, &rule->args[i]);
	verdict(s, SECCOMP_RET_ALLOW);
	for (i = start; i < s->n; i++) {
		struct sock_filter *insn = &s->code[i];
		unsigned behind = s->n - i - 1u;

		if (BPF_CLASS(insn->code) != BPF_JMP)
			continue;
		must(behind < ELSEWHERE);
		if (insn->jt == ELSEWHERE)
			insn->jt = (uint8_t)behind;
		if (insn->jf == ELSEWHERE)
			insn->jf = (uint8_t)behind;
	}
}

void seccomp_begin(struct seccomp *s)
{
	s->n = 0;
	load(s, offsetof(struct seccomp_data, arch));
	jump(s, BPF_JEQ, ARCH, 1, 0);
	verdict(s, SECCOMP_RET_KILL_PROCESS);
	load(s, offsetof(struct seccomp_data, nr));
	jump(s, BPF_JGE, X32_BIT, 0, 1);
	verdict(s, SECCOMP_RET_KILL_PROCESS);
}

void seccomp_allow(struct seccomp *s, const struct policy_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		allow(s, &rules[i]);
}

void seccomp_answer(struct seccomp *s, uint32_t nr, uint32_t action)
{
	load(s, offsetof(struct seccomp_data, nr));
	jump(s, BPF_JEQ, nr, 0, 1);
	verdict(s, action);
}

void seccomp_end(struct seccomp *s)
{
	seccomp_end_with(s, SECCOMP_RET_KILL_PROCESS);
}

void seccomp_end_with(struct seccomp *s, uint32_t action)
{
	verdict(s, action);
}

int seccomp_install(const struct seccomp *s)
{
	/* The kernel only reads it. */
	struct sock_fprog program = {s->n,
				     (struct sock_filter *)(uintptr_t)s->code};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		return ERR_IO;
	return 0;
}
