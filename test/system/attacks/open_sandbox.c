/* A `ringfence` that holds nothing, for test_prove.py: `run … -- PROGRAM ARGUMENT…` executes the program of that
 * name beside itself, or of that path, without a sandbox. A proof of it must fail. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char path[4096];
	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		const char *name = strrchr(argv[i + 1], '/');
		ssize_t n = readlink("/proc/self/exe", path, sizeof(path) / 2);
		if (n <= 0 || name == NULL)
			return 125;
		path[n] = 0;
		(void)snprintf(strrchr(path, '/'), 100, "%s", name);
		(void)execv(path, argv + i + 1);
		(void)execv(argv[i + 1], argv + i + 1);
		return 127;
	}
	return 2;
}
