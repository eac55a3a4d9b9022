/* ringfence(1): the command line of Ringfence.
 *
 * Runs as the user who calls it, with that user's rights and no more; holds no secret, but for the
 * moment in which `secret set` passes one on. It reads options, relays the standard streams of a sandbox
 * and prints what the other programs answer; it decides nothing and enforces nothing. Subcommands that need a parser, a database or cryptography are
 * programs of their own that it executes.
 *
 * If compromised (by output of a sandbox, which it copies without reading), an attacker has what the
 * calling user has. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/sandbox.h"
#include "cli/say.h"
#include "ipc/paths.h"

struct command {
	const char *name;
	const char *usage; /* after the name */
	const char *summary;
	command_fn *run;     /* or */
	const char *program; /* what it executes instead */
	void (*help)(struct buf *out);
};

static const struct command commands[] = {
    {"run", "[options] [--] COMMAND…", "run a command in a disposable sandbox", cmd_run, NULL,
	run_help},
    {"sandbox", "create | list | exec | …", "sandboxes that stay, for many commands", cmd_sandbox,
	NULL, sandbox_help},
    {"review", "list | show ID | approve ID | deny ID | watch", "decide what waits for a person",
	cmd_review, NULL, review_help},
    {"kill", "task ID | all", "stop everything in flight, now", cmd_kill, NULL, control_help},
    {"tasks", "", "list the tasks", cmd_tasks, NULL, control_help},
    {"status", "", "what runs", cmd_status, NULL, control_help},
    {"serve", "", "run the programs in the foreground, as a service", cmd_serve, NULL, serve_help},
    {"start", "", "start the programs and leave them running", cmd_start, NULL, control_help},
    {"stop", "", "let the programs leave", cmd_stop, NULL, control_help},
    {"secret", "set NAME | list | remove NAME", "credentials that only the gateway uses",
	cmd_secret, NULL, secret_help},
    {"policy", "init | check | test | explain | diff | …", "write, check and activate policies",
	NULL, "rf-policy", NULL},
    {"audit", "show | query | tail | verify | …", "read and verify the ledger", NULL, "rf-audit",
	NULL},
    {"workspace", "…", "list, diff and apply staged changes", NULL, "rf-workspace", NULL},
    {"image", "import | list | inspect | remove | gc", "root file systems for sandboxes", NULL,
	"rf-image", NULL},
    {"doctor", "[--json]", "what this host can enforce, and how to mend the rest", NULL,
	"rf-doctor", NULL},
    {"prove", "[--only NAME] [--json] [--html FILE] [--list]",
	"attack the sandbox on this machine, and show what holds", NULL, "rf-prove", NULL},
    {"help", "[COMMAND]", "this text, or the help of a command", NULL, NULL, NULL},
    {0},
};

static const struct command *
find_command(const char *name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static int
unknown_command(const char *name)
{
	const char *near = nearest_name(name, &commands[0].name, sizeof(commands[0]));
	if (near != NULL)
		say("unknown command %.60s; did you mean %s?", name, near);
	else
		say("unknown command %.60s; see ringfence --help", name);
	return EXIT_BAD_USAGE;
}

/* Becomes PROGRAM with ARGV, whose first element names the subcommand. */
static int
execute(const char *program, char **argv)
{
	char path[PATHS_MAX];
	struct error err = {0};
	if (paths_program(program, path, &err) < 0) {
		say_error(&err);
		return EXIT_RINGFENCE;
	}
	(void)execv(path, argv);
	say("%s: %s", path, strerror(errno));
	return EXIT_RINGFENCE;
}

int
cli_help(const char *name)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 16);
	if (name == NULL) {
		(void)buf_add_str(&out,
		    "Ringfence runs an agent's program in a disposable sandbox, decides "
		    "every effect on one path, and records it.\n\nusage: ringfence COMMAND …\n\n");
		for (const struct command *c = commands; c->name != NULL; c++)
			(void)buf_addf(&out, "  %-10s %s\n", c->name, c->summary);
		(void)buf_add_str(&out, "\nTry: ringfence run -- python3 agent.py\n");
		return say_out(&out);
	}
	const struct command *c = find_command(name);
	if (c == NULL)
		return unknown_command(name);
	if (c->program != NULL) {
		char program[64], help[] = "--help";
		(void)snprintf(program, sizeof(program), "%s", c->program);
		char *argv[] = {program, help, NULL};
		return execute(c->program, argv);
	}
	(void)buf_addf(&out, "usage: ringfence %s %s\n\n%s\n\n", c->name, c->usage, c->summary);
	if (c->help != NULL)
		c->help(&out);
	return say_out(&out);
}

/* Descriptors 0 to 2 must be open before we open anything: a pipe of ours must never become the
 * standard output of someone. */
static void
open_standard_streams(void)
{
	struct pollfd fds[3] = {{.fd = 0}, {.fd = 1}, {.fd = 2}};
	if (poll(fds, 3, 0) <= 0)
		return;
	for (int i = 0; i < 3; i++)
		while ((fds[i].revents & POLLNVAL) != 0) {
			int fd = open("/dev/null", O_RDWR);
			if (fd < 0)
				_exit(EXIT_RINGFENCE);
			if (fd >= i) /* lowest free number first */
				break;
		}
}

int
main(int argc, char **argv)
{
	open_standard_streams();
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cli_help(NULL);
	if (strcmp(argv[1], "--version") == 0) {
		_cleanup_buf_ struct buf out;
		buf_init(&out, 256);
		(void)buf_add_str(&out, "ringfence " RINGFENCE_VERSION "\n");
		return say_out(&out);
	}
	if (strcmp(argv[1], "help") == 0 && argc > 3 && strcmp(argv[2], "sandbox") == 0)
		return sandbox_verb_help(argv[3]);
	if (strcmp(argv[1], "help") == 0)
		return cli_help(argc > 2 ? argv[2] : NULL);
	if (argv[1][0] == '-') {
		say("unknown option %.60s; see ringfence --help", argv[1]);
		return EXIT_BAD_USAGE;
	}
	const struct command *command = find_command(argv[1]);
	if (command == NULL)
		return unknown_command(argv[1]);
	if (command->program != NULL)
		return execute(command->program, argv + 1);
	return command->run(argc - 1, argv + 1);
}
