/* rf-policy: writes, checks, explains, compares and activates policies. `ringfence policy …` runs it.
 *
 * It runs as the user and holds no privilege or secret. Everything but activate, rollback and history
 * is local: it reads the files that it is told to (unused: also the ledger's, and the arbiter's store)
 * and prints. Those three speak to the arbiter, which believes the kernel about who asks. If a file that
 * it reads were to take it over, an attacker could do what the user can, but change no policy without
 * the user's role. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policytool/tool.h"

struct subcommand {
	const char *name, *usage, *summary;
	unsigned min, max; /* operands */
	tool_fn *run;
};

static const struct subcommand subcommands[] = {
    {"init", "[FILE]", "write a commented starter policy (policy.yaml)", 0, 1, tool_init},
    {"check", "POLICY", "say whether it is valid, and what this build cannot enforce", 1, 1,
	tool_check},
    {"test", "POLICY [--json]", "run its examples and say what each gave", 1, 1, tool_test},
    {"explain", "[POLICY] --action FILE [--json]",
	"decide one action and show the risk part by part", 0, 1, tool_explain},
    {"diff", "BEFORE AFTER [--json]",
	"what becomes allowed, unreviewed or denied, with an action each", 2, 2, tool_diff},
    {"capabilities", "POLICY [--json]", "what each rule really permits, and what it does not bound",
	1, 1, tool_capabilities},
    {"unused", "[--policy POLICY] [--since AGE] [--dir LEDGER] [--json]",
	"what the ledger says could be tightened", 0, 1, tool_unused},
    {"schema", "", "print the JSON Schema of policy files", 0, 0, tool_schema},
    {"show", "POLICY [--json]", "print a policy, also a built-in one", 1, 1, tool_show},
    {"activate", "FILE", "make it the one that runs by its name", 1, 1, tool_activate},
    {"rollback", "NAME", "go back to the generation before", 1, 1, tool_rollback},
    {"history", "[NAME] [--json]", "the generations that were activated", 0, 1, tool_history},
};

static int
print_help(FILE *to)
{
	(void)fputs("usage: ringfence policy COMMAND …\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
		(void)fprintf(to, "  %-13s %-32s %s%s\n", subcommands[i].name, subcommands[i].usage,
		    strlen(subcommands[i].usage) > 32
			? "\n                                                 "
			: "",
		    subcommands[i].summary);
	(void)fputs(
	    "\nPOLICY is a file, - for standard input, or a built-in policy: isolated, workspace;\n"
	    "for unused also the name of an active one.\n"
	    "Exit code: 0 yes, 1 no (not valid, a test failed, it differs), 2 could not be found "
	    "out.\n",
	    to);
	return to == stdout ? TOOL_YES : TOOL_TROUBLE;
}

static const struct subcommand *
find_subcommand(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
		if (strcmp(subcommands[i].name, name) == 0)
			return &subcommands[i];
	return NULL;
}

static int
bad_usage(const struct subcommand *command)
{
	return tool_failf("usage: ringfence policy %s %s", command->name, command->usage);
}

/* Reads ARGV[*AT] if it is an option with a value that COMMAND's usage names: "--x V" or "--x=V". 1 and
 * *AT on its last word; 0 if it is not; -EINVAL if the value is missing. */
static int
read_value(const struct subcommand *command, int argc, char **argv, int *at, struct tool_args *ret)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--action", &ret->action}, {"--since", &ret->since}, {"--dir", &ret->dir}};
	const char *word = argv[*at];
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		size_t n = strlen(options[i].name);
		if (strncmp(word, options[i].name, n) != 0 || (word[n] != 0 && word[n] != '=') ||
		    strstr(command->usage, options[i].name) == NULL)
			continue;
		if (word[n] == 0 && *at + 1 >= argc)
			return -EINVAL;
		*options[i].value = word[n] == '=' ? word + n + 1 : argv[++*at];
		return 1;
	}
	return 0;
}

/* Sorts out the words after the subcommand. 0, or an exit code after saying what is wrong. */
static int
read_args(const struct subcommand *command, int argc, char **argv, struct tool_args *ret)
{
	for (int i = 2; i < argc; i++) {
		const char *word = argv[i];
		int r = read_value(command, argc, argv, &i, ret);
		if (r < 0)
			return bad_usage(command);
		if (r > 0)
			continue;
		if (strcmp(word, "--json") == 0) {
			ret->json = true;
		} else if (strcmp(word, "--policy") == 0 && i + 1 < argc && ret->n < command->max) {
			ret->operands[ret->n++] = argv[++i];
		} else if (word[0] == '-' && word[1] != 0) {
			return tool_failf("unknown option %.60s; usage: ringfence policy %s %s",
			    word, command->name, command->usage);
		} else if (ret->n < command->max) {
			ret->operands[ret->n++] = word;
		} else {
			return bad_usage(command);
		}
	}
	return ret->n < command->min ? bad_usage(command) : 0;
}

int
main(int argc, char **argv)
{
	struct tool_args args = {.n = 0};
	if (argc < 2)
		return print_help(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
	    strcmp(argv[1], "-h") == 0)
		return print_help(stdout);
	const struct subcommand *command = find_subcommand(argv[1]);
	if (command == NULL) {
		(void)tool_failf("unknown command %.60s", argv[1]);
		return print_help(stderr);
	}
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0)
			return print_help(stdout);
	int r = read_args(command, argc, argv, &args);
	if (r != 0)
		return r;
	r = command->run(&args);
	if (fflush(stdout) != 0 || ferror(stdout))
		return tool_failf("standard output could not be written");
	return r;
}
