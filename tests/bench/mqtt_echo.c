/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_echo: a Mosquitto plugin that does nothing with a publish but to send
 * 200 bytes over a Unix socket and to wait for 64 (mqtt_hops.c). Only for
 * tests/bench: the floor that pinfold's plugin is measured against.
 */
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ASK = 200, ANSWER = 64 };

static int fd = -1;

static int on_acl(int event, void *data, void *arg)
{
	const struct mosquitto_evt_acl_check *ev = data;
	char buf[ASK] = {0};
	size_t n = 0;

	(void)event;
	(void)arg;
	if (ev->access != MOSQ_ACL_WRITE)
		return MOSQ_ERR_SUCCESS;
	if (write(fd, buf, ASK) != ASK)
		return MOSQ_ERR_ACL_DENIED;
	while (n < ANSWER) {
		ssize_t k = read(fd, buf + n, ANSWER - n);

		if (k <= 0)
			return MOSQ_ERR_ACL_DENIED;
		n += (size_t)k;
	}
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int n, const int *versions)
{
	(void)n;
	(void)versions;
	return 5;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **userdata,
			  struct mosquitto_opt *opts, int n)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	(void)userdata;
	if (n != 1 || strlen(opts[0].value) >= sizeof(to.sun_path))
		return 1;
	strcpy(to.sun_path, opts[0].value);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return 1;
	return mosquitto_callback_register(id, MOSQ_EVT_ACL_CHECK, on_acl, NULL,
					   NULL);
}

int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *opts, int n)
{
	(void)userdata;
	(void)opts;
	(void)n;
	close(fd);
	return 0;
}
