/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway-probe: enters the very sandbox of the gateway and then makes the
 * system calls that it is told to: a gateway that a hostile server has taken
 * over. It speaks as probe.c does, which does the same for a worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/sandbox.h"
#include "proto/proto.h"

enum op { OP_SYSCALL = 1, OP_PUT = 7, OP_GET = 8 };

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

static void take(void *p, size_t n)
{
	unsigned char *at = p;

	while (n > 0) {
		ssize_t got = read(SANDBOX_FD, at, n);

		if (got <= 0)
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
#else
static int64_t native(const uint64_t a[7])
{
	return syscall((long)a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
}
#endif

static size_t list(char *p, size_t n, const char *head, const char *const *name)
{
	size_t used = (size_t)snprintf(p, n, "%s", head);

	for (; *name != NULL; name++)
		used += (size_t)snprintf(p + used, n - used, " %s", *name);
	return used + (size_t)snprintf(p + used, n - used, "\n");
}

static void tell(int result, const struct sandbox_report *r)
{
	const char *names[SANDBOX_LAYERS + 1] = {NULL};
	char text[1024];
	size_t n;

	memcpy(names, r->held, r->nheld * sizeof(*names));
	n = list(text, sizeof(text), "held", names);
	memset(names, 0, sizeof(names));
	memcpy(names, r->missing, r->nmissing * sizeof(*names));
	n += list(text + n, sizeof(text) - n, "missing", names);
	names[0] = r->failed;
	names[1] = NULL;
	n += list(text + n, sizeof(text) - n, "failed", names);
	give(result, text, n);
}

int main(int argc, char **argv)
{
	struct sandbox_options o = {0};
	struct sandbox_report r;
	struct ask q;
	int result;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--uid=", 6) == 0)
			o.uid = (unsigned)strtoul(argv[i] + 6, NULL, 10);
		else if (strncmp(argv[i], "--gid=", 6) == 0)
			o.gid = (unsigned)strtoul(argv[i] + 6, NULL, 10);
	}
	result = sandbox_enter(&o, &r);
	tell(result, &r);
	if (result != 0)
		_exit(EXIT_WORKER_SANDBOX);
	for (;;) {
		take(&q, sizeof(q));
		if (q.op == OP_SYSCALL) {
			give(native(q.args), NULL, 0);
		} else if (q.op == OP_PUT && q.args[0] <= sizeof(scratch) &&
			   q.n <= sizeof(scratch) - q.args[0]) {
			take(scratch + q.args[0], q.n);
			give((int64_t)(uintptr_t)(scratch + q.args[0]), NULL,
			     0);
		} else if (q.op == OP_GET && q.args[0] <= sizeof(scratch) &&
			   q.args[1] <= sizeof(scratch) - q.args[0]) {
			give(0, scratch + q.args[0], q.args[1]);
		} else {
			_exit(EXIT_WORKER_PROTOCOL);
		}
	}
}
