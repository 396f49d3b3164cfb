/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a configuration file: either a configuration whose promises
 * hold, or one line of error that begins with file, line and column.
 */
#include "broker/conf/conf.h"
#include "proto/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_script(const struct conf_script *s)
{
	must(s->name && *s->name && strlen(s->name) <= CONF_NAME_MAX);
	must(!strchr(s->name, '/') && !strstr(s->name, ".."));
	must(s->workers >= 1 && s->concurrency >= 1 && s->timeout_ms >= 1);
	must(!s->globals_script || (s->workers == 1 && s->concurrency == 1));
	must(scan_whole(buf_slice(&s->config), PROTO_MAX_MESSAGE));
}

static void check_conf(const struct conf *conf)
{
	must(conf->listen.path[0] == '/' && conf->control[0] == '/');
	must(strlen(conf->listen.path) <= CONF_SOCKET_MAX);
	must(strlen(conf->control) <= CONF_SOCKET_MAX);
	must(strcmp(conf->listen.path, conf->control) != 0);
	must(conf->data_dir[0] == '/' && conf->script_dir);
	must(conf->limits.max_message <= PROTO_MAX_MESSAGE);
	for (size_t i = 0; i < conf->nscripts; i++) {
		check_script(conf->scripts[i]);
		must(i == 0 ||
		     conf->scripts[i - 1]->dialect <
			     conf->scripts[i]->dialect ||
		     conf->scripts[i - 1]->priority <=
			     conf->scripts[i]->priority);
	}
	must(!conf->mqtt.providers.n ||
	     scan_whole(buf_slice(&conf->mqtt.providers), PROTO_MAX_MESSAGE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf error = {0};
	struct conf *conf;
	int rc;

	log_setup(LOG_AUDIT, false);
	rc = conf_parse("f", "/d", slice_of(data, size), &conf, &error);
	if (rc == 0) {
		must(error.n == 0);
		check_conf(conf);
	} else {
		must(rc == ERR_FORMAT && !conf);
		must(slice_starts(buf_slice(&error), slice_str("f:")));
		must(!memchr(error.p, '\n', error.n));
	}
	conf_free(conf);
	buf_fini(&error);
	return 0;
}
