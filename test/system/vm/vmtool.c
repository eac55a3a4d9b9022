/* What the virtual machine's shell cannot do: run as another user, mark a group as systemd does, use memory. */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static int
eat(long mib)
{
	for (long i = 0; i < mib; i++) {
		char *block = malloc(1 << 20);
		if (block == NULL)
			return 3;
		memset(block, 1, 1 << 20);
	}
	return puts("ate it") < 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "eat") == 0)
		return eat(strtol(argv[2], NULL, 10));
	if (argc == 5 && strcmp(argv[1], "xattr") == 0)
		return setxattr(argv[2], argv[3], argv[4], strlen(argv[4]), 0) < 0;
	if (argc > 3 && strcmp(argv[1], "as") == 0) {
		unsigned id = (unsigned)strtoul(argv[2], NULL, 10);
		if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 ||
		    setresuid(id, id, id) < 0)
			return 126;
		execvp(argv[3], argv + 3);
	}
	return 127;
}
