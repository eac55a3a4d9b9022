/* What an attack wants to see run: a program and a library that no rule names. Says a word that stands in no
 * command line, so that a message about the attempt cannot be taken for its success. */
#include <unistd.h>

#define WORD "UNLISTED-CODE-RAN\n"

static void
say(void)
{
	ssize_t n = write(STDOUT_FILENO, WORD, sizeof(WORD) - 1);
	(void)n;
}

#ifdef LIBRARY
__attribute__((constructor)) static void
on_load(void)
{
	say();
}
#else
int
main(void)
{
	say();
	return 0;
}
#endif
