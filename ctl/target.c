/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: which control socket is meant.
 *
 * The configuration is the broker's to understand; here only the lines
 * `control:` and `data_dir:` of its top level are looked for, as plain or
 * quoted words. For anything fancier there is -s.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/ctl.h"

#define USUAL_CONFIG "/etc/pinfold/pinfold.yml"
#define USUAL_SOCKET "/run/pinfold/control.sock"

enum { LINE_MAX_ = 4096 };

/* The word behind "KEY:" on this line, cut out in place, or NULL. */
static char *value_of(char *line, const char *key)
{
	size_t n = strlen(key);
	char *v, *end;

	if (strncmp(line, key, n) != 0 || line[n] != ':')
		return NULL;
	v = line + n + 1;
	if (*v != ' ' && *v != '\t')
		return NULL;
	v += strspn(v, " \t");
	if (*v == '\'' || *v == '"') {
		end = strchr(v + 1, *v);
		if (!end)
			return NULL;
		*end = 0;
		v++;
	} else {
		end = strstr(v, " #");
		if (!end)
			end = v + strlen(v);
		while (end > v && strchr(" \t\r\n", end[-1]))
			end--;
		*end = 0;
	}
	if (!*v || strcmp(v, "~") == 0 || strcmp(v, "null") == 0)
		return NULL;
	return v;
}

/* `value` below the directory of `config`, unless it is absolute. */
static int set_path(struct ctl *ctl, const char *config, const char *value,
		    const char *file)
{
	const char *slash = strrchr(config, '/');
	int dir = value[0] == '/' || !slash ? 0 : (int)(slash - config) + 1;
	int n = snprintf(ctl->path, sizeof(ctl->path), "%.*s%s%s", dir, config,
			 value, file);

	if (n < 0 || (size_t)n >= sizeof(ctl->path))
		return ctl_fail(CTL_USAGE,
				"%s: the path of the control socket is too "
				"long, say which with -s",
				config);
	return CTL_OK;
}

static int from_config(struct ctl *ctl, const char *config, FILE *f)
{
	char line[LINE_MAX_], *v;
	bool control = false, data = false;
	int rc = CTL_OK;

	while (rc == CTL_OK && !control && fgets(line, sizeof(line), f)) {
		v = value_of(line, "control");
		if (v) {
			control = true;
			rc = set_path(ctl, config, v, "");
			continue;
		}
		v = value_of(line, "data_dir");
		if (v) {
			data = true;
			rc = set_path(ctl, config, v, "/control.sock");
		}
	}
	if (rc == CTL_OK && !control && !data)
		rc = ctl_fail(CTL_USAGE,
			      "%s names no control socket (a line `control: "
			      "PATH` or `data_dir: PATH`), say which with -s",
			      config);
	return rc;
}

const char *ctl_config(const struct ctl *ctl, const char *given)
{
	if (given)
		return given;
	return ctl->option[OPT_CONFIG] ? ctl->option[OPT_CONFIG] : USUAL_CONFIG;
}

int ctl_find_socket(struct ctl *ctl)
{
	const char *config = ctl->option[OPT_CONFIG];
	const char *path = ctl->option[OPT_SOCKET];
	FILE *f;
	int rc;

	if (!path && !config)
		path = getenv("PINFOLD_CONTROL");
	if (path && *path)
		return set_path(ctl, "", path, "");
	f = fopen(config ? config : USUAL_CONFIG, "re");
	if (!f && config)
		return ctl_fail(CTL_USAGE, "cannot read %s: %s", config,
				strerror(errno));
	if (!f)
		return set_path(ctl, "", USUAL_SOCKET, "");
	rc = from_config(ctl, ctl_config(ctl, NULL), f);
	fclose(f);
	return rc;
}
