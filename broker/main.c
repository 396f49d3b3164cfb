/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pinfoldd: arguments, the configuration, the loop. Everything else begins in
 * broker.c.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/check.h"
#include "lib/log.h"

static const char usage[] =
	"usage: pinfoldd -c FILE [--check [--json]]\n"
	"\n"
	"  -c, --config FILE  the configuration (YAML)\n"
	"      --check        is it right, and does every script load? Opens "
	"no\n"
	"                     socket and no database\n"
	"      --json         print what the check finds as JSON\n"
	"      --version      print the version\n"
	"  -h, --help         print this\n"
	"\n"
	"Runs in the foreground, logs to stderr, prints `ready` when it "
	"serves,\n"
	"ends on SIGTERM once what is in flight has ended.\n"
	"Exit status: 0 ended as asked, 64 usage, 65 data_dir is damaged,\n"
	"69 a socket or data_dir is in use, or the sandbox does not hold,\n"
	"71 no memory, 74 input/output, 78 configuration.\n";

/* The usual soft limit, 1024, is for programs that use select(). */
static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

static int serve(struct conf *conf)
{
	static struct broker broker;
	struct buf why = {0};
	uv_loop_t loop;
	int status;

	raise_files();
	must(uv_loop_init(&loop) == 0);
	status = broker_open(&broker, &loop, conf, &why);
	if (status) {
		/* What was opened goes with the process: nothing was served
		 * and nothing written. */
		fprintf(stderr, "%.*s\n", (int)why.n, (const char *)why.p);
		_exit(status);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	status = broker.exit_status;
	broker_fini(&broker);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'C'},
		{"json", no_argument, NULL, 'J'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *file = NULL;
	struct buf error = {0};
	struct conf *conf;
	bool check = false, json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'c') {
			file = optarg;
		} else if (c == 'C') {
			check = true;
		} else if (c == 'J') {
			json = true;
		} else if (c == 'V') {
			puts(PROTO_SERVER " " PROTO_RELEASE);
			return 0;
		} else {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : EX_USAGE;
		}
	}
	if (!file || optind != argc || (json && !check)) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	if (check)
		return check_run(file, json);
	if (conf_load(file, &conf, &error) < 0) {
		fprintf(stderr, "%.*s\n", (int)error.n, (const char *)error.p);
		buf_fini(&error);
		return EX_CONFIG;
	}
	log_setup(conf->log_level, conf->log_json);
	return serve(conf);
}
