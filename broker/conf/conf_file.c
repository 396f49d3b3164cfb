/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_file: getting the bytes of the configuration file, and giving a
 * configuration back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/conf/conf_mqtt.h"
#include "broker/conf/yaml.h"

/* The directory of `path`, absolute, without a slash at its end. */
static int directory(const char *path, struct buf *out)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (path[0] != '/') {
		char *cwd = getcwd(NULL, 0);

		if (!cwd)
			return ERR_IO;
		buf_addf(out, "%s%s", strcmp(cwd, "/") == 0 ? "" : cwd,
			 slash ? "/" : "");
		free(cwd);
	}
	buf_add(out, path, n);
	buf_add_byte(out, 0);
	return buf_error(out) ? ERR_NOMEM : 0;
}

static int read_all(int fd, struct buf *out)
{
	for (;;) {
		uint8_t *room;
		ssize_t got;

		if (buf_reserve(out, 65536, &room) < 0)
			return ERR_NOMEM;
		got = read(fd, room, 65536);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return ERR_IO;
		buf_commit(out, (size_t)got);
		if (got == 0 || out->n > YAML_TREE_BYTES)
			return 0; /* too long is said by yaml_tree_read */
	}
}

/* 0, ERR_IO with errno, or ERR_NOMEM. */
static int read_file(const char *path, struct buf *text)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc = 0, saved;

	if (fd < 0)
		return ERR_IO;
	if (fstat(fd, &st) < 0) {
		rc = ERR_IO;
	} else if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		rc = ERR_IO;
	} else {
		if (st.st_mode & S_IWOTH)
			log_warn("conf", "%s can be changed by everybody",
				 path);
		rc = read_all(fd, text);
	}
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

int conf_load(const char *path, struct conf **out, struct buf *error)
{
	struct buf text = {0}, dir = {0};
	int rc;

	*out = NULL;
	rc = read_file(path, &text);
	if (rc == 0)
		rc = directory(path, &dir);
	if (rc == ERR_IO)
		buf_addf(error, "%s: cannot be read: %s", path,
			 strerror(errno));
	else if (rc < 0)
		buf_addf(error, "%s: out of memory", path);
	else
		rc = conf_parse(path, (const char *)dir.p, buf_slice(&text),
				out, error);
	if (*out) {
		rc = conf_find_scripts(*out, (const char *)dir.p, error);
		if (rc == ERR_NOMEM)
			buf_addf(error, "%s: out of memory", path);
		if (rc < 0) {
			conf_free(*out);
			*out = NULL;
		}
	}
	buf_fini(&text);
	buf_fini(&dir);
	return rc;
}

static void list_free(struct conf_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->item[i]);
	free(list->item);
}

void conf_script_free(struct conf_script *script)
{
	if (!script)
		return;
	list_free(&script->grants.kv_read.allow);
	list_free(&script->grants.kv_write.allow);
	list_free(&script->grants.bus.allow);
	list_free(&script->grants.artifacts.allow);
	list_free(&script->grants.data.allow);
	list_free(&script->grants.providers.allow);
	list_free(&script->subscribe);
	buf_fini(&script->config);
	free(script->name);
	free(script->file);
	free(script->root);
	free(script);
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < conf->nscripts; i++)
		conf_script_free(conf->scripts[i]);
	free(conf->scripts);
	free(conf->script_dir);
	free(conf->listen.path);
	free(conf->listen.group);
	free(conf->listen.uids);
	free(conf->control);
	free(conf->data_dir);
	free(conf->data_store);
	free(conf->worker);
	free(conf->gateway);
	conf_mqtt_fini(&conf->mqtt);
	free(conf->file);
	free(conf);
}
