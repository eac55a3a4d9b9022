/* `ringfence serve`: rf-supervisor in the foreground, for a service manager or a terminal. It becomes that
 * program: what the manager watches, signals and limits is the supervisor itself. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/say.h"
#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/paths.h"

static const struct option_spec serve_options[] = {
    {"help", NULL, "this text", 'h'},
    {0},
};

void
serve_help(struct buf *out)
{
	options_help(serve_options, out);
	(void)buf_add_str(out,
	    "\nStays until SIGTERM or SIGINT, or `ringfence stop`; every sandbox ends with it. "
	    "Logs to "
	    "standard\nerror. Under systemd: Type=notify.\n");
}

/* Whether somebody serves the state directory already; says so. */
static bool
is_served(void)
{
	struct connection c = CONNECTION_INIT;
	struct error err = {0};
	char state[PATHS_MAX];
	uid_t uid;
	gid_t gid;
	pid_t pid = 0;
	int r = connect_supervisor(CONNECT_JOIN, &c, &err);
	if (r == -ENOTCONN)
		return false;
	if (r < 0) {
		say_error(&err);
	} else if (paths_state_dir(state, &err) == 0 && msg_peer(c.fd, &uid, &gid, &pid) == 0) {
		say("%s is served already, by rf-supervisor with pid %d; `ringfence stop` ends it",
		    state, (int)pid);
	}
	connect_done(&c);
	return true;
}

int
cmd_serve(int argc, char **argv)
{
	struct options options;
	struct error err = {0};
	const char *value;
	options_init(&options, serve_options, argc, argv);
	int option = options_next(&options, &value, &err);
	if (option >= 0)
		return cli_help("serve");
	if (option == OPTIONS_OPERAND)
		say("serve: unexpected argument %.200s; see ringfence help serve", value);
	else if (option == OPTIONS_BAD)
		say_error(&err);
	if (option != OPTIONS_END)
		return EXIT_BAD_USAGE;
	if (is_served())
		return EXIT_FAILURE;
	if (connect_serve(&err) < 0)
		say_error(&err);
	return EXIT_RINGFENCE;
}
