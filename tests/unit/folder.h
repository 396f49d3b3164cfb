/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder: a new directory for each case of a suite, and files in it.
 */
#ifndef PF_TESTS_UNIT_FOLDER_H
#define PF_TESTS_UNIT_FOLDER_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/slice.h"

static char dir[64];

static inline void folder_make(void)
{
	strcpy(dir, "/tmp/pf-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static inline void folder_remove(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

/* A file of that content below dir; folders on the way are made. */
static inline void folder_put(const char *name, struct slice content)
{
	char path[4096];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s/", dir);
	FILE *f;

	for (; *name; name++) {
		path[n] = 0;
		if (*name == '/')
			(void)mkdir(path, 0755);
		path[n++] = *name;
	}
	path[n] = 0;
	f = fopen(path, "w");
	cr_assert_not_null(f, "%s", path);
	cr_assert_eq(fwrite(content.p, 1, content.n, f), content.n);
	fclose(f);
}

#endif
