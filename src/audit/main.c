/* rf-audit: reads and verifies the ledger. `ringfence audit` executes it.
 *
 * It runs as the user, holds no secret and needs no running program (checkpoint asks one if it is
 * there). What it reads was written by rf-ledger but says what agents did: every byte of it that goes
 * to a person is escaped. */
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "base/log.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
    {"show", show_main,
	"show ACTION|SEQ [--dir DIR] [--json]              one action's records, or one record"},
    {"query", query_main,
	"query [--task T] [--action A] [--event E] [--decision D] [--since T] [--until T]\n"
	"                        [--limit N] [--dir DIR] [--json]  search"},
    {"tail", tail_main,
	"tail [-f] [-n N] [--dir DIR] [--json]             the last records, and those to come"},
    {"verify", verify_main,
	"verify [DIR] [--key FILE] [--since CHECKPOINT] [--json]\n"
	"                                                  prove that nothing was altered"},
    {"checkpoint", checkpoint_main,
	"checkpoint [--dir DIR] [--witness FILE]           sign now; print the checkpoint"},
    {"export", export_main,
	"export [--from SEQ] [--to SEQ] [--dir DIR] FILE   a tar file that verifies by itself"},
};

static int
help(FILE *to, int code)
{
	(void)fprintf(to, "usage: ringfence audit COMMAND\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)fprintf(to, "  ringfence audit %s\n", commands[i].help);
	(void)fprintf(to, "\nExit codes: 0 fine, 1 tampered with, 2 cannot tell.\n");
	return code;
}

int
main(int argc, char **argv)
{
	log_program("rf-audit");
	if (argc < 2)
		return help(stderr, EXIT_UNUSABLE);
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0)
		return help(stdout, 0);
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return help(stdout, 0);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	char shown[120];
	log_escape(argv[1], strlen(argv[1]), shown, sizeof(shown));
	(void)fprintf(stderr, "ringfence audit: unknown command %s\n", shown);
	return help(stderr, EXIT_UNUSABLE);
}
