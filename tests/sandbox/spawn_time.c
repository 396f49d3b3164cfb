/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn-time: how long from the spawn of a process to its first message, by
 * the layers that it enters. A measurement, not a test.
 *
 *   spawn-time PROBE [COUNT]
 *
 * Prints p50, p99 and the greatest in microseconds for each level. As root the
 * probe drops to an unused uid, as workers do.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/spawn.h"

#define NO_NS "user,net,ipc,uts,mount"
#define MINIMUM                                                                \
	"environment,fds,uid,capabilities,rlimits,"                            \
	"dumpable,pdeathsig"

static const struct {
	const char *name, *without;
} levels[] = {
	{"nothing", MINIMUM ",no_new_privs,seccomp,landlock,mdwe," NO_NS},
	{"seccomp", MINIMUM ",landlock,mdwe," NO_NS},
	{"mandatory", "landlock,mdwe," NO_NS},
	{"+ landlock, mdwe", NO_NS},
	{"+ user, ipc, uts, mount", "net"},
	{"all", ""},
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Microseconds, or negative. */
static double once(const char *path, const char *without, unsigned uid)
{
	char text[4][200];
	char *argv[] = {text[0], text[1], text[2], "--memory=67108864",
			NULL,	 NULL};
	struct pollfd p = {.events = POLLIN};
	double start, end = -1;
	char head[16];
	pid_t pid;

	snprintf(text[0], sizeof(text[0]), "probe");
	snprintf(text[1], sizeof(text[1]), "--uid=%u", uid);
	snprintf(text[2], sizeof(text[2]), "--gid=%u", uid);
	snprintf(text[3], sizeof(text[3]), "--without=%s", without);
	if (*without)
		argv[4] = text[3];
	start = now_us();
	if (spawn_program(path, argv, &pid, &p.fd) != 0)
		return -1;
	if (poll(&p, 1, 5000) == 1 && read(p.fd, head, sizeof(head)) == 16 &&
	    memcmp(head, "\0\0\0\0\0\0\0\0", 8) == 0)
		end = now_us();
	close(p.fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return end < 0 ? end : end - start;
}

int main(int argc, char **argv)
{
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 200;
	struct spawn_uids uids;
	double *us;

	if (argc < 2 || n < 1 || n > 100000) {
		fprintf(stderr, "usage: spawn-time PROBE [COUNT]\n");
		return 64;
	}
	us = calloc(n, sizeof(*us));
	if (us == NULL || spawn_uids_init(&uids, 0) != 0)
		return 1;
	printf("%-24s %7s %7s %7s  (us, n=%zu)\n", "layers", "p50", "p99",
	       "max", n);
	for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
		for (size_t i = 0; i < n; i++) {
			unsigned uid = geteuid() ? 0 : spawn_unused_uid(&uids);

			us[i] = once(argv[1], levels[l].without, uid);
			if (us[i] < 0) {
				fprintf(stderr, "%s: failed\n", levels[l].name);
				return 1;
			}
		}
		qsort(us, n, sizeof(*us), by_value);
		printf("%-24s %7.0f %7.0f %7.0f\n", levels[l].name, us[n / 2],
		       us[n * 99 / 100], us[n - 1]);
	}
	free(us);
	return 0;
}
