/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: pinfold-worker. Reads its options, gives up everything but its socket
 * (sandbox.h), says so to the broker and serves (sched.h). It is started by
 * the broker only: descriptor 3 is the socket.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/pack.h"
#include "proto/proto.h"
#include "proto/rpc.h"
#include "worker/heap.h"
#include "worker/sandbox.h"
#include "worker/sched.h"

static struct sched sched; /* for the signal handler */

static void on_signal(int sig)
{
	int error = errno;

	(void)sig;
	sched_arm(&sched);
	errno = error;
}

static void on_soft_limit(void *arg)
{
	sched_collect(arg);
}

static bool take_option(const char *arg, const char *name, size_t *value)
{
	size_t n = strlen(name);
	char *end;

	if (strncmp(arg, name, n) != 0 || arg[n] != '=')
		return false;
	*value = strtoul(arg + n + 1, &end, 10);
	return *end == '\0' && end != arg + n + 1;
}

static bool take_options(char **argv, struct sandbox_options *o)
{
	size_t uid = 0, gid = 0, namespaces = 1;

	for (; *argv; argv++)
		if (!take_option(*argv, "--uid", &uid) &&
		    !take_option(*argv, "--gid", &gid) &&
		    !take_option(*argv, "--memory", &o->memory) &&
		    !take_option(*argv, "--namespaces", &namespaces))
			return false;
	o->uid = (unsigned)uid;
	o->gid = (unsigned)gid;
	o->namespaces = namespaces != 0;
	return true;
}

static void install_handlers(void)
{
	struct sigaction usr1 = {.sa_handler = on_signal};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	/* Without SA_RESTART: a read that was interrupted is begun again, a
	 * run that waits in it cannot be stopped from here anyway. */
	(void)sigaction(SIGUSR1, &usr1, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

static void pack_names(struct buf *out, const char *key,
		       const char *const *names, unsigned n)
{
	pack_cstr(out, key);
	pack_array(out, n);
	for (unsigned i = 0; i < n; i++)
		pack_cstr(out, names[i]);
}

static void say_ready(struct buf *out, const struct sandbox_report *r)
{
	rpc_notification(out, "ready", 1);
	pack_map(out, 2);
	pack_names(out, "sandbox", r->held, r->nheld);
	pack_names(out, "missing", r->missing, r->nmissing);
}

/* Half locked, with no heap yet: the last thing that this process does. */
static void say_failed(const struct sandbox_report *r)
{
	static uint8_t bytes[128];
	struct buf out = {
		.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
	ssize_t written;

	rpc_notification(&out, "failed", 2);
	pack_cstr(&out, r->failed);
	pack_int(&out, r->error);
	written = write(SANDBOX_FD, out.p, out.n);
	(void)written; /* the exit code says enough */
}

int main(int argc, char **argv)
{
	struct sandbox_options options = {0};
	struct sandbox_report report = {0};

	if (argc < 1 || !take_options(argv + 1, &options))
		return EXIT_WORKER_PROTOCOL;
	install_handlers();
	if (sandbox_enter(&options, &report) < 0) {
		say_failed(&report);
		_exit(EXIT_WORKER_SANDBOX);
	}
#ifndef PINFOLD_SANITIZE
	heap_setup(options.memory, on_soft_limit, &sched);
	heap_soft(options.memory / 4 * 3);
#else
	(void)on_soft_limit;
#endif
	if (sched_init(&sched, SANDBOX_FD) < 0)
		_exit(EXIT_WORKER_MEMORY);
	heap_last_words(sched_last_words, &sched);
	say_ready(&sched.wire.out, &report);
	if (wire_flush(&sched.wire) < 0)
		_exit(0);
	_exit(sched_run(&sched));
}
