/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system call filter, run here by a small BPF machine, against what it
 * should do: may() below, written from SECURITY.md and not from policy.h.
 */
#include <criterion/criterion.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "worker/seccomp.h"

enum { NRULES = sizeof(policy_rules) / sizeof(policy_rules[0]) };

#ifdef __x86_64__
#define OURS AUDIT_ARCH_X86_64
#else
#define OURS AUDIT_ARCH_AARCH64
#endif

static struct seccomp filter;

static void build(void)
{
	seccomp_begin(&filter);
	seccomp_allow(&filter, policy_rules, NRULES);
	seccomp_end(&filter);
}

/* Only what the filter uses; anything else is a failure of the test. */
static uint32_t run(const struct seccomp_data *data)
{
	uint32_t a = 0;
	size_t pc = 0;

	while (pc < filter.n) {
		const struct sock_filter *i = &filter.code[pc++];
		bool yes;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			cr_assert(i->k % 4 == 0 && i->k + 4 <= sizeof(*data));
			memcpy(&a, (const char *)data + i->k, 4);
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (a & i->k) != 0;
			break;
		default:
			cr_assert_fail("instruction %#x", i->code);
		}
		pc += yes ? i->jt : i->jf;
	}
	cr_assert_fail("the program runs past its end");
	return 0;
}

static bool may(uint32_t arch, uint32_t nr, const uint64_t a[6])
{
	if (arch != OURS)
		return false;
	switch (nr) {
	case SYS_read:
	case SYS_write:
		return (uint32_t)a[0] == 3;
	case SYS_munmap:
	case SYS_rt_sigreturn:
	case SYS_exit_group:
		return true;
	case SYS_clock_gettime:
		return (int32_t)a[0] >= 0 && (int32_t)a[0] < 8;
	case SYS_getrandom:
		return (uint32_t)a[2] < 2;
	case SYS_mmap:
		return a[0] == 0 && a[2] == 3 && a[3] == 0x22;
	case SYS_mremap:
		return a[3] < 2;
	case SYS_madvise:
		return (uint32_t)a[2] == 4;
	default:
		return false;
	}
}

static void check(uint32_t arch, uint32_t nr, const uint64_t a[6])
{
	struct seccomp_data data = {.nr = (int)nr, .arch = arch};
	uint32_t want;

	memcpy(data.args, a, sizeof(data.args));
	want = may(arch, nr, a) ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS;
	cr_assert_eq(run(&data), want,
		     "arch %#x nr %u (%#lx %#lx %#lx %#lx %#lx %#lx)", arch, nr,
		     a[0], a[1], a[2], a[3], a[4], a[5]);
}

Test(policy, rows_are_sorted_and_say_why)
{
	for (size_t i = 0; i < NRULES; i++) {
		cr_assert(strlen(policy_rules[i].why) > 10);
		if (i > 0)
			cr_assert(strcmp(policy_rules[i - 1].name,
					 policy_rules[i].name) <= 0);
	}
	cr_assert_leq(NRULES, 12, "every call more is a door more");
}

Test(policy, every_number_with_no_arguments, .init = build)
{
	static const uint64_t none[6];

	for (uint32_t nr = 0; nr < 5000; nr++)
		check(OURS, nr, none);
}

Test(policy, x32_and_other_architectures_die, .init = build)
{
	static const uint64_t fd3[6] = {3};
	static const uint32_t others[] = {
		AUDIT_ARCH_I386, AUDIT_ARCH_ARM,   AUDIT_ARCH_PPC64LE, 0,
		UINT32_MAX,	 OURS ^ 0x80000000};

	for (uint32_t nr = 0; nr < 600; nr++) {
		check(OURS, 0x40000000 | nr, fd3);
		check(OURS, 0x80000000 | nr, fd3);
		for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
			check(others[i], nr, fd3);
	}
	check(OURS, UINT32_MAX, fd3);
}

/* One argument at a time away from a call that is allowed. */
Test(policy, neighbours_of_what_is_allowed, .init = build)
{
	static const struct {
		uint32_t nr;
		uint64_t args[6];
	} good[] = {
		{SYS_read, {3, 1 << 20, 4096}},
		{SYS_write, {3, 1 << 20, 4096}},
		{SYS_clock_gettime, {1, 1 << 20}},
		{SYS_getrandom, {1 << 20, 8, 0}},
		{SYS_mmap, {0, 1 << 20, 3, 0x22, UINT32_MAX, 0}},
		{SYS_mremap, {1 << 20, 4096, 8192, 1}},
		{SYS_madvise, {1 << 20, 4096, 4}},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		check(OURS, good[i].nr, good[i].args);
		cr_assert(may(OURS, good[i].nr, good[i].args));
		for (unsigned arg = 0; arg < 6; arg++) {
			for (unsigned bit = 0; bit < 64; bit++) {
				uint64_t a[6];

				memcpy(a, good[i].args, sizeof(a));
				a[arg] ^= UINT64_C(1) << bit;
				check(OURS, good[i].nr, a);
			}
		}
	}
}

static uint64_t draw(void)
{
	static const uint64_t often[] = {0, 1, 2, 3, 4, 5, 7, 8, 0x22, 0x32};
	uint64_t r = (uint64_t)random();

	if (r % 4 != 0)
		return often[r / 4 % 10] |
		       (r & 1 << 20 ? UINT64_C(1) << 32 : 0);
	return r << 40 ^ (uint64_t)random() << 20 ^ (uint64_t)random();
}

Test(policy, drawn_arguments, .init = build)
{
	unsigned allowed = 0;

	srandom(1);
	for (unsigned i = 0; i < 2000000; i++) {
		uint32_t nr = policy_rules[random() % NRULES].nr;
		uint64_t a[6];

		if (i % 8 == 0)
			nr = (uint32_t)draw();
		for (unsigned j = 0; j < 6; j++)
			a[j] = draw();
		check(OURS, nr, a);
		allowed += may(OURS, nr, a);
	}
	cr_assert_gt(allowed, 10000, "both sides have to be seen");
}

/* An alternative row does not widen the first one. */
Test(policy, rows_of_one_call_are_alternatives)
{
	static const struct policy_rule rows[] = {
		{"x",
		 7,
		 "both",
		 {{POLICY_IS, 0, 1, true}, {POLICY_IS, 1, 1, true}}},
		{"x", 7, "or this", {{POLICY_UPTO, 5, 9, true}}},
	};
	struct seccomp_data data = {.nr = 7, .arch = OURS};

	seccomp_begin(&filter);
	seccomp_allow(&filter, rows, 2);
	seccomp_end(&filter);
	data.args[5] = 10;
	for (unsigned i = 0; i < 4; i++) {
		data.args[0] = i & 1;
		data.args[1] = i >> 1;
		cr_assert_eq(run(&data), i == 3 ? SECCOMP_RET_ALLOW
						: SECCOMP_RET_KILL_PROCESS);
	}
	data.args[5] = 9;
	cr_assert_eq(run(&data), SECCOMP_RET_ALLOW);
	data.args[5] = UINT64_C(1) << 32;
	data.args[0] = 0;
	cr_assert_eq(run(&data), SECCOMP_RET_KILL_PROCESS);
}

/* The kernel's own check of a program, in short: it ends, it jumps inside. */
Test(policy, program_is_well_formed, .init = build)
{
	cr_assert_lt(filter.n, SECCOMP_MAX);
	cr_assert_eq(filter.code[filter.n - 1].code, BPF_RET | BPF_K);
	cr_assert_eq(filter.code[filter.n - 1].k, SECCOMP_RET_KILL_PROCESS);
	for (unsigned i = 0; i < filter.n; i++) {
		const struct sock_filter *insn = &filter.code[i];

		if (BPF_CLASS(insn->code) != BPF_JMP)
			continue;
		cr_assert_lt(i + 1 + insn->jt, filter.n);
		cr_assert_lt(i + 1 + insn->jf, filter.n);
	}
}
