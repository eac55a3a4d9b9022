/* `ringfence sandbox kill | pause | resume`: each answers when it is so. */
#include "cli/cli.h"
#include "cli/sandbox.h"
#include "ipc/messages.h"

static int
control_one(struct connection *c, const char *sandbox, const char *what)
{
	_cleanup_json_ struct json *body = sandbox_body(sandbox);
	struct msg reply = MSG_INIT;
	struct error err = {0};
	(void)json_set_str(body, "do", what);
	int r =
	    sandbox_ask(c, CONNECT_JOIN, MSG_SESSION_CONTROL, body, NULL, 0, MSG_OK, &reply, &err);
	msg_done(&reply);
	return r < 0 ? sandbox_fail(&err) : 0;
}

/* One sandbox after the other, once the options are known to be right; all are tried. The worst exit
 * code. */
static int
control(int argc, char **argv, const char *what)
{
	struct connection c = CONNECTION_INIT;
	struct options options;
	struct error err = {0};
	const char *value;
	int option, worst = 0, n = 0;
	options_init(&options, sandbox_plain_options, argc, argv);
	options.at = 2;
	for (; (option = options_next(&options, &value, &err)) == OPTIONS_OPERAND; n++)
		;
	if (option >= 0)
		return sandbox_verb_help(argv[1]);
	if (option == OPTIONS_BAD)
		say_error(&err);
	else if (n == 0)
		say("sandbox %s: which one? ringfence sandbox list shows them", argv[1]);
	if (option == OPTIONS_BAD || n == 0)
		return EXIT_BAD_USAGE;
	options_init(&options, sandbox_plain_options, argc, argv);
	options.at = 2;
	while (options_next(&options, &value, &err) == OPTIONS_OPERAND) {
		int code = control_one(&c, value, what);
		worst = MAX(worst, code);
	}
	connect_done(&c);
	return worst;
}

int
sandbox_kill(int argc, char **argv)
{
	return control(argc, argv, "kill");
}

int
sandbox_pause(int argc, char **argv)
{
	return control(argc, argv, "pause");
}

int
sandbox_resume(int argc, char **argv)
{
	return control(argc, argv, "resume");
}
