/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox-probe: enters the very sandbox of a worker and then does what it is
 * told, for tests that want to see it stopped. It stands for a worker whose
 * script has taken it over: any system call, any address.
 *
 *   sandbox-probe [--uid=N --gid=N --memory=BYTES --namespaces=0|1]
 *                 [--without=LAYER,LAYER...]
 *
 * On descriptor 3 it first tells how that went, then answers one struct ask
 * after the other with one struct answer (tests/sandbox/probe.py knows them
 * too). It uses no memory of the heap and nothing of stdio once it is inside.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "proto/proto.h"
#include "worker/sandbox.h"

enum op {
	OP_SYSCALL = 1, /* nr, six arguments -> what the kernel returned */
	OP_INT80,	/* the same through the 32-bit gate, five arguments */
	OP_POKE,	/* write one byte at an address */
	OP_CALL,	/* jump to an address */
	OP_ABORT,
	OP_STACK, /* recurse until something happens */
	OP_PUT,	  /* bytes into scratch memory at an offset -> address */
	OP_GET,	  /* offset, length -> bytes of scratch memory */
	OP_LOOP,  /* never answers */
	OP_MASK,  /* SIGUSR1's handler shall return with all signals masked */
	OP_COUNT, /* how often has SIGUSR1 been handled? */
};

struct ask {
	uint32_t op;
	uint32_t n; /* bytes that follow */
	uint64_t args[7];
};

struct answer {
	int64_t result;
	uint32_t n; /* bytes that follow */
	uint32_t zero;
};

static unsigned char scratch[65536] __attribute__((aligned(4096)));
static volatile sig_atomic_t handled, mask_all;

static void on_usr1(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	handled = handled + 1;
	if (mask_all)
		memset(&uc->uc_sigmask, 255, 8);
}

static void take(void *p, size_t n)
{
	unsigned char *at = p;

	while (n > 0) {
		ssize_t got = read(SANDBOX_FD, at, n);

		if (got < 0)
			continue; /* a signal */
		if (got == 0)
			_exit(0);
		at += got;
		n -= (size_t)got;
	}
}

static void give(int64_t result, const void *p, size_t n)
{
	struct answer a = {result, (uint32_t)n, 0};

	if (write(SANDBOX_FD, &a, sizeof(a)) != (ssize_t)sizeof(a) ||
	    (n > 0 && write(SANDBOX_FD, p, n) != (ssize_t)n))
		_exit(EXIT_WORKER_PROTOCOL);
}

#ifdef __x86_64__
static int64_t native(const uint64_t a[7])
{
	register uint64_t r10 __asm__("r10") = a[4];
	register uint64_t r8 __asm__("r8") = a[5];
	register uint64_t r9 __asm__("r9") = a[6];
	int64_t result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(a[0]), "D"(a[1]), "S"(a[2]), "d"(a[3]), "r"(r10),
			   "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static int64_t int80(const uint64_t a[7])
{
	int64_t result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3]),
			   "S"(a[4]), "D"(a[5])
			 : "r8", "r9", "r10", "r11", "memory");
	return result;
}
#else
static int64_t native(const uint64_t a[7])
{
	long result = syscall((long)a[0], a[1], a[2], a[3], a[4], a[5], a[6]);

	return result;
}

static int64_t int80(const uint64_t a[7])
{
	(void)a;
	return -1;
}
#endif

/* Through a variable, or the compiler sees that it never ends. */
static unsigned overflow(unsigned n);
static unsigned (*volatile deeper)(unsigned n) = overflow;

static unsigned overflow(unsigned n)
{
	volatile unsigned char frame[1024];

	frame[n % sizeof(frame)] = 1;
	return deeper(n + 1) + frame[0];
}

/* Wild addresses are on purpose. */
static int64_t obey(const struct ask *q)
{
	switch (q->op) {
	case OP_SYSCALL:
		return native(q->args);
	case OP_INT80:
		return int80(q->args);
	case OP_POKE:
		*(volatile unsigned char *)(uintptr_t)q->args[0] = 1;
		return 0;
	case OP_CALL:
		((void (*)(void))(uintptr_t)q->args[0])();
		return 0;
	case OP_ABORT:
		abort();
	case OP_STACK:
		return overflow(0);
	case OP_PUT:
		if (q->args[0] > sizeof(scratch) ||
		    q->n > sizeof(scratch) - q->args[0])
			_exit(EXIT_WORKER_PROTOCOL);
		take(scratch + q->args[0], q->n);
		return (int64_t)(uintptr_t)(scratch + q->args[0]);
	case OP_LOOP:
		for (volatile int forever = 1; forever;)
			;
		return 0;
	case OP_MASK:
		mask_all = 1;
		return 0;
	case OP_COUNT:
		return handled;
	default:
		_exit(EXIT_WORKER_PROTOCOL);
	}
}

static unsigned bits_of(char *list)
{
	unsigned bits = 0;

	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		if (sandbox_bit(name) == 0) {
			fprintf(stderr, "no such layer: %s\n", name);
			exit(64);
		}
		bits |= sandbox_bit(name);
	}
	return bits;
}

static unsigned parse(int argc, char **argv, struct sandbox_options *o)
{
	unsigned without = 0;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value == NULL)
			exit(64);
		*value++ = '\0';
		if (strcmp(argv[i], "--uid") == 0)
			o->uid = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--gid") == 0)
			o->gid = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--memory") == 0)
			o->memory = strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--namespaces") == 0)
			o->namespaces = *value == '1';
		else if (strcmp(argv[i], "--without") == 0)
			without = bits_of(value);
		else
			exit(64);
	}
	return without;
}

static size_t list(char *p, size_t n, const char *head, const char *const *name)
{
	size_t used = (size_t)snprintf(p, n, "%s", head);

	for (; *name != NULL; name++)
		used += (size_t)snprintf(p + used, n - used, " %s", *name);
	return used + (size_t)snprintf(p + used, n - used, "\n");
}

int main(int argc, char **argv)
{
	struct sigaction usr1 = {.sa_sigaction = on_usr1,
				 .sa_flags = SA_SIGINFO};
	struct sandbox_options o = {.namespaces = true};
	unsigned without = parse(argc, argv, &o);
	const char *names[SANDBOX_LAYERS + 1] = {NULL};
	struct sandbox_report r;
	char text[1024];
	struct ask q;
	size_t n;
	int result;

	sigaction(SIGUSR1, &usr1, NULL);
	sigaction(SIGUSR2, &usr1, NULL); /* the sandbox takes it away */
	result = sandbox_enter_without(&o, without, &r);
	memcpy(names, r.held, r.nheld * sizeof(*names));
	n = list(text, sizeof(text), "held", names);
	memset(names, 0, sizeof(names));
	memcpy(names, r.missing, r.nmissing * sizeof(*names));
	n += list(text + n, sizeof(text) - n, "missing", names);
	names[0] = r.failed;
	names[1] = NULL;
	n += list(text + n, sizeof(text) - n, "failed", names);
	give(result, text, n);
	if (result != 0)
		_exit(EXIT_WORKER_SANDBOX);
	for (;;) {
		take(&q, sizeof(q));
		if (q.op == OP_GET && q.args[0] <= sizeof(scratch) &&
		    q.args[1] <= sizeof(scratch) - q.args[0])
			give(0, scratch + q.args[0], q.args[1]);
		else
			give(obey(&q), NULL, 0);
	}
}
