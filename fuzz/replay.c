/* Runs a fuzzer's function over files and directories of files, without libFuzzer: so that every corpus,
 * and with it every input that ever crashed, is an ordinary unit test. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay_file(const char *path)
{
	FILE *file = fopen(path, "rbe");
	if (file == NULL)
		return -errno;
	/* Exactly as large as the input, so that a sanitizer sees a read past its end. */
	(void)fseek(file, 0, SEEK_END);
	long size = ftell(file);
	rewind(file);
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	size_t n = data == NULL || size < 0 ? 0 : fread(data, 1, (size_t)size, file);
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 0;
}

static int
replay_directory(const char *path)
{
	DIR *dir = opendir(path);
	if (dir == NULL)
		return -errno;
	int n = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		char name[4096];
		(void)snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.' && replay_file(name) == 0)
			n++;
	}
	(void)closedir(dir);
	return n;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int n = replay_directory(argv[i]);
		if (n <= 0) {
			(void)fprintf(stderr, "replay: nothing in %s\n", argv[i]);
			return 1;
		}
		(void)printf("replay: %d inputs of %s\n", n, argv[i]);
	}
	return 0;
}
