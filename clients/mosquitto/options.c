/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: names and values from mosquitto.conf, checked one by one: an option
 * that is misspelt must not be a policy that silently is not there.
 */
#include "clients/mosquitto/options.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/un.h>

#include "clients/mosquitto/api.h"

enum {
	TIMEOUT_LEAST = 10,
	TIMEOUT_MOST = 60000,
	QUEUE_LEAST = 64 << 10,
	QUEUE_MOST = 256 << 20,
};

struct row {
	const char *name;
	int (*set)(struct options *o, const char *value);
	const char *wants;
};

static int set_text(char **at, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return ERR_NOMEM;
	free(*at);
	*at = copy;
	return 0;
}

static int set_socket(struct options *o, const char *value)
{
	struct sockaddr_un un;

	if (value[0] == '\0' || strlen(value) >= sizeof(un.sun_path))
		return ERR_TYPE;
	return set_text(&o->socket, value);
}

static int set_mountpoint(struct options *o, const char *value)
{
	return set_text(&o->mountpoint, value);
}

static int number(const char *value, long least, long most, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(value, &end, 10);
	if (errno || end == value || *end || *out < least || *out > most)
		return ERR_TYPE;
	return 0;
}

static int set_timeout(struct options *o, const char *value)
{
	long v;
	int rc = number(value, TIMEOUT_LEAST, TIMEOUT_MOST, &v);

	if (rc == 0)
		o->timeout_ms = (int)v;
	return rc;
}

static int set_queue(struct options *o, const char *value)
{
	long v;
	int rc = number(value, QUEUE_LEAST, QUEUE_MOST, &v);

	if (rc == 0)
		o->queue = (size_t)v;
	return rc;
}

/* One of two words. */
static int set_word(bool *at, const char *value, const char *no,
		    const char *yes)
{
	if (strcmp(value, yes) != 0 && strcmp(value, no) != 0)
		return ERR_TYPE;
	*at = strcmp(value, yes) == 0;
	return 0;
}

static int set_unavailable(struct options *o, const char *value)
{
	return set_word(&o->defer, value, "deny", "defer");
}

static int set_mods(struct options *o, const char *value)
{
	return set_word(&o->ignore_mods, value, "deny", "ignore");
}

static int set_kick(struct options *o, const char *value)
{
	return set_word(&o->kick, value, "false", "true");
}

static int set_late(struct options *o, const char *value)
{
	return set_word(&o->late_publish_m5, value, "false", "true");
}

static int set_delayed(struct options *o, const char *value)
{
	return set_word(&o->delayed_auth, value, "false", "true");
}

static const struct row rows[] = {
	{"socket", set_socket, "the path of a socket"},
	{"timeout_ms", set_timeout, "10 to 60000"},
	{"on_unavailable", set_unavailable, "deny or defer"},
	{"mountpoint", set_mountpoint, "text"},
	{"queue_bytes", set_queue, "65536 to 268435456"},
	{"unmapped_modifiers", set_mods, "deny or ignore"},
	{"disconnect_on_denied_publish", set_kick, "true or false"},
	{"publish_m5_properties", set_late, "true or false"},
	{"delayed_auth", set_delayed, "true or false"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static int set(struct options *o, const struct mosquitto_opt *opt,
	       struct buf *why)
{
	const char *value = opt->value ? opt->value : "";
	int rc = ERR_TYPE, i;

	for (i = 0; i < ROWS; i++)
		if (strcmp(opt->key, rows[i].name) == 0)
			break;
	if (i < ROWS)
		rc = rows[i].set(o, value);
	if (rc == ERR_TYPE && i < ROWS)
		buf_addf(why, "plugin_opt_%s: '%s' is not %s", opt->key, value,
			 rows[i].wants);
	else if (rc == ERR_TYPE)
		buf_addf(why, "plugin_opt_%s is no option of this plugin",
			 opt->key);
	return rc;
}

int options_init(struct options *o, const struct mosquitto_opt *opts, int n,
		 struct buf *why)
{
	*o = (struct options){
		.timeout_ms = 2000,
		.queue = 4 << 20,
		.late_publish_m5 = true,
		.delayed_auth = true,
		.mountpoint = strdup(""),
	};
	if (!o->mountpoint)
		return ERR_NOMEM;
	for (int i = 0; i < n; i++) {
		int rc = set(o, &opts[i], why);

		if (rc < 0)
			return rc;
	}
	if (o->socket)
		return 0;
	buf_addf(why, "plugin_opt_socket is missing: the socket of pinfoldd");
	return ERR_TYPE;
}

void options_fini(struct options *o)
{
	free(o->socket);
	free(o->mountpoint);
	*o = (struct options){0};
}
