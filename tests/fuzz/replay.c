/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay: runs a fuzz target over the files of its corpus, with any compiler.
 *
 * `make test` links this to every fuzz_NAME.c instead of libFuzzer, so that
 * each input that was ever worth keeping is tried on every run. A corpus that
 * is missing or empty is a failure: it would test nothing.
 *
 *   fuzz_NAME FILE-OR-DIRECTORY...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned files;

static int replay_file(const char *path, size_t size)
{
	/* An allocation of the exact size lets ASan see any overrun. */
	uint8_t *data = malloc(size ? size : 1);
	FILE *f = fopen(path, "rb");
	int bad = !data || !f || fread(data, 1, size, f) != size;

	if (!bad) {
		LLVMFuzzerTestOneInput(data, size);
		files++;
	} else {
		perror(path);
	}
	if (f)
		fclose(f);
	free(data);
	return bad;
}

static int replay(const char *path)
{
	struct dirent **names;
	struct stat st;
	int bad = 0;
	int n;

	if (stat(path, &st) < 0) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char child[4096];

		snprintf(child, sizeof(child), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			bad |= replay(child);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return bad | (n < 0);
}

int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad |= replay(argv[i]);
	printf("%u inputs replayed\n", files);
	return bad || files == 0;
}
