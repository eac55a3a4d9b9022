/* rf-attack — one attack of `ringfence prove`, or the processes that it aims at.
 *
 *   rf-attack NAME [key=value…]          tries it; what it prints and how it exits is in prove/attack.h
 *   rf-attack --check NAME [key=value…]  from outside: what the attack left
 *   rf-attack --fixture key=value…       what attacks aim at
 *   rf-attack --internet                 the internet of sandboxes with a network
 *   rf-attack --all [key=value…]         tries all that end by themselves and exhaust nothing, one after the
 *                                        other, and says of each how it ended; for any sandbox, also another's
 *   rf-attack --list                     every attack that can be tried, with what it needs (the bits)
 *   rf-attack --true | --am-i-root       what attacks on executables try to run
 *
 * Static, so that it runs in any root. It is no part of what protects anybody: it is started by rf-prove, in
 * sandboxes of rf-prove's own, and does no harm where nothing stops it. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "prove/attacks/attacks.h"

#define MISUSE 3

static int
misuse(const char *what, const char *which)
{
	(void)fprintf(stderr, "rf-attack: %s%s\n", what, which);
	return MISUSE;
}

static int
list(void)
{
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++)
		if (a->not_tested == NULL)
			(void)printf("{\"name\":\"%s\",\"boundary\":\"%s\",\"needs\":%u}\n",
			    a->name, boundary_name(a->boundary), a->needs);
	return 0;
}

static int
try_all(const struct fixtures *f)
{
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++) {
		if (a->not_tested != NULL || (a->needs & (NEEDS_BOUNDS | ACT_KILL)) != 0)
			continue;
		pid_t pid = fork();
		if (pid == 0) {
			answer_as(a->name);
			errno = 0;
			finish(a->run(f));
		}
		if (pid < 0 || waitpid(pid, NULL, 0) < 0)
			return misuse("no process", "");
	}
	return 0;
}

int
main(int argc, char **argv)
{
	int at = 1;
	if (argc > 1 && strcmp(argv[1], "--list") == 0)
		return list();
	if (argc > 1 && strcmp(argv[1], "--all") == 0)
		return try_all(&(struct fixtures){argc - 2, argv + 2});
	if (argc > 1 && strcmp(argv[1], "--fixture") == 0)
		return fixture_serve(argv);
	if (argc > 1 && strcmp(argv[1], "--internet") == 0)
		return internet_serve();
	if (argc > 1 && strcmp(argv[1], "--true") == 0)
		return 0; /* attacks on executables start copies of this program */
	if (argc > 1 && strcmp(argv[1], "--am-i-root") == 0)
		return geteuid() == 0 ? 0 : EPERM;
	bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
	at += check;
	if (argc <= at)
		return misuse("usage: rf-attack [--check] NAME [key=value...]", "");
	const struct attack *attack = attack_find(argv[at]);
	if (attack == NULL)
		return misuse("no such attack: ", argv[at]);
	struct fixtures f = {argc - at - 1, argv + at + 1};
	if (attack->not_tested != NULL)
		return misuse("not tested: ", attack->not_tested);
	if (check && attack->check == NULL)
		return misuse("nothing to check from outside: ", attack->name);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)printf("{\"result\":\"started\"}\n");
	(void)fflush(stdout);
	errno = 0;
	finish(check ? attack->check(&f) : attack->run(&f));
}
