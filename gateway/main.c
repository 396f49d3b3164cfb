/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: pinfold-gateway, the only process of pinfold with a way to other
 * machines. Reads its configuration from the broker, gives up all but sockets
 * and a few files to read, says so and serves (front.h). It is started by the
 * broker only: descriptor 3 is the socket.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/front.h"
#include "gateway/sandbox.h"
#include "proto/proto.h"

static bool take_option(const char *arg, const char *name, unsigned *value)
{
	size_t n = strlen(name);
	char *end;

	if (strncmp(arg, name, n) != 0 || arg[n] != '=')
		return false;
	*value = (unsigned)strtoul(arg + n + 1, &end, 10);
	return *end == '\0' && end != arg + n + 1;
}

int main(int argc, char **argv)
{
	static struct front front;
	struct sandbox_options options = {0};
	struct sandbox_report report = {0};
	int r;

	for (int i = 1; i < argc; i++)
		if (!take_option(argv[i], "--uid", &options.uid) &&
		    !take_option(argv[i], "--gid", &options.gid))
			_exit(EXIT_WORKER_PROTOCOL);
	(void)signal(SIGPIPE, SIG_IGN);
	if (front_init(&front, SANDBOX_FD) < 0 || front_read_config(&front) < 0)
		_exit(EXIT_WORKER_PROTOCOL);
	options.config = buf_slice(&front.config);
	if (sandbox_enter(&options, &report) < 0 ||
	    front_ready(&front, &report) < 0)
		_exit(EXIT_WORKER_SANDBOX);
	r = front_run(&front);
	if (!front_close(&front))
		_exit(0); /* a thread hangs in a call */
	exit(r < 0 ? EXIT_WORKER_PROTOCOL : 0);
}
