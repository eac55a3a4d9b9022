/* `ringfence sandbox inspect`: one sandbox, whole: limits, use, commands, and the receipt, which says for
 * each lock what the kernel was seen to do. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/sandbox.h"
#include "ipc/messages.h"

#define SHOWN_MAX (4u << 20)
#define LABEL "%-12s"

static void
row_text(struct buf *out, const char *label, const char *text)
{
	if (text == NULL)
		return;
	(void)buf_addf(out, LABEL, label);
	say_add_text(out, text);
	(void)buf_add_char(out, '\n');
}

static void
row_age(struct buf *out, const char *label, int64_t ms, const char *after)
{
	if (ms < 0)
		return;
	(void)buf_addf(out, LABEL, label);
	sandbox_add_age(out, ms);
	(void)buf_addf(out, "%s\n", after);
}

static bool
ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);
	return a >= b && strcmp(text + a - b, end) == 0;
}

/* NAME's unit is its ending: limits and usage are named so. */
static void
add_value(struct buf *out, const char *name, const struct json *v)
{
	size_t len = strlen(name);
	int64_t n = json_int(v, 0);
	if (ends_with(name, "_bytes")) {
		(void)buf_addf(out, "%.*s ", (int)len - 6, name);
		say_add_bytes(out, n);
	} else if (ends_with(name, "_ms")) {
		(void)buf_addf(out, "%.*s ", (int)len - 3, name);
		if (n == 0)
			(void)buf_add_str(out, "0 s");
		else
			say_add_ns(out, n * 1000000);
	} else if (ends_with(name, "_millis")) {
		(void)buf_addf(out, "%.*s %lld.%03lld", (int)len - 7, name, (long long)(n / 1000),
		    (long long)(n % 1000));
	} else if (json_type(v) == JSON_INT) {
		(void)buf_addf(out, "%s %lld", name, (long long)n);
	} else {
		(void)buf_addf(out, "%s ", name);
		say_add_text(out,
		    json_type(v) == JSON_BOOL ? (json_bool(v, false) ? "yes" : "no")
					      : json_str(v, NULL));
	}
}

/* The numbers and texts of OBJECT on one line. */
static void
row_values(struct buf *out, const char *label, const struct json *object)
{
	size_t shown = 0;
	for (size_t i = 0; i < json_len(object); i++) {
		const struct json *v = json_at(object, i);
		if (json_type(v) == JSON_OBJECT || json_type(v) == JSON_ARRAY)
			continue;
		if (shown++ == 0)
			(void)buf_addf(out, LABEL, label);
		else
			(void)buf_add_str(out, ", ");
		add_value(out, json_name_at(object, i), v);
	}
	if (shown > 0)
		(void)buf_add_char(out, '\n');
}

static void
add_commands(struct buf *out, const struct json *commands)
{
	int64_t now = clock_wall_ms();
	for (size_t i = 0; i < json_len(commands); i++) {
		const struct json *c = json_at(commands, i);
		(void)buf_addf(out, LABEL "%lld  ", i == 0 ? "commands" : "",
		    (long long)json_get_int(c, "command", 0));
		say_add_text(out, json_get_str(c, "program", NULL));
		(void)buf_add_str(out, ", for ");
		sandbox_add_age(out, now - json_get_int(c, "since_ms", now));
		(void)buf_add_char(out, '\n');
	}
}

/* One line for each lock: what it is, how strong, and how we know. */
static void
add_locks(struct buf *out, const struct json *receipt)
{
	const struct json *locks = json_get(receipt, "locks");
	for (size_t i = 0; i < json_len(locks); i++) {
		const struct json *lock = json_at(locks, i);
		const char *name = json_name_at(locks, i);
		if (name == NULL)
			name = json_get_str(lock, "name", json_get_str(lock, "term", "?"));
		(void)buf_addf(out, LABEL, i == 0 ? "locks" : "");
		say_add_text(out, name);
		if (!json_get_bool(lock, "engaged", true))
			(void)buf_add_str(out, ": NOT engaged");
		for (size_t k = 0; k < json_len(lock); k++) {
			const struct json *v = json_at(lock, k);
			const char *member = json_name_at(lock, k);
			if (strcmp(member, "engaged") == 0 || strcmp(member, "name") == 0 ||
			    strcmp(member, "term") == 0 || json_type(v) == JSON_OBJECT ||
			    json_type(v) == JSON_ARRAY)
				continue;
			(void)buf_add_str(out, ", ");
			add_value(out, member, v);
		}
		(void)buf_add_char(out, '\n');
	}
}

/* "lo; local 0.0.0.0/0, local ::/0; ports 53, 443, …; gateway pid …": what the receipt says of it. */
static void
add_network(struct buf *out, const struct json *network)
{
	const struct json *interfaces = json_get(network, "interfaces");
	const struct json *routes = json_get(network, "routes");
	const struct json *listeners = json_get(network, "listeners");
	if (network == NULL)
		return;
	(void)buf_addf(out, LABEL "interfaces", "network");
	for (size_t i = 0; i < json_len(interfaces); i++) {
		(void)buf_add_char(out, ' ');
		say_add_text(out, json_str(json_at(interfaces, i), NULL));
	}
	for (size_t i = 0; i < json_len(routes); i++) {
		(void)buf_add_str(out, ", ");
		say_add_text(out, json_get_str(json_at(routes, i), "type", NULL));
		(void)buf_add_char(out, ' ');
		say_add_text(out, json_get_str(json_at(routes, i), "to", NULL));
	}
	(void)buf_addf(out, "\n" LABEL, "");
	for (size_t i = 0; i < json_len(listeners); i++) {
		(void)buf_add_str(out, i > 0 ? ", " : "listens: ");
		say_add_text(out, json_get_str(json_at(listeners, i), "role", NULL));
		(void)buf_addf(
		    out, " %lld", (long long)json_get_int(json_at(listeners, i), "port", 0));
	}
	(void)buf_add_char(out, '\n');
	row_values(out, "gateway", json_get(network, "gateway"));
}

static int
print_session(const struct json *s)
{
	const struct json *workspace = json_get(s, "workspace"), *policy = json_get(s, "policy");
	int64_t now = clock_wall_ms();
	_cleanup_buf_ struct buf out;
	buf_init(&out, SHOWN_MAX);
	row_text(&out, "sandbox", json_get_str(s, "sandbox", NULL));
	row_text(&out, "name", json_get_str(s, "name", NULL));
	row_text(&out, "state", json_get_str(s, "state", NULL));
	row_text(&out, "task", json_get_str(s, "task", NULL));
	row_text(&out, "policy", json_str(policy, json_get_str(policy, "name", NULL)));
	if (workspace != NULL) {
		(void)buf_addf(&out, LABEL, "workspace");
		say_add_text(&out, json_get_str(workspace, "path", NULL));
		(void)buf_add_str(&out, ", ");
		say_add_text(&out, json_get_str(workspace, "mode", NULL));
		(void)buf_addf(
		    &out, ", %lld checkpoints\n", (long long)json_get_int(s, "checkpoints", 0));
	}
	row_age(&out, "age", now - json_get_int(s, "created_ms", now + 1), "");
	row_age(&out, "last used", now - json_get_int(s, "last_used_ms", now + 1), " ago");
	row_age(&out, "idle ends", json_get_int(s, "idle_ms", -1), " after the last command");
	row_age(&out, "life ends", json_get_int(s, "lifetime_ms", -1), " after its start");
	row_values(&out, "limits", json_get(s, "limits"));
	row_values(&out, "used", json_get(s, "usage"));
	add_commands(&out, json_get(s, "commands"));
	add_locks(&out, json_get(s, "receipt"));
	add_network(&out, json_get(json_get(s, "receipt"), "network"));
	return say_out(&out);
}

int
sandbox_inspect(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct connection c = CONNECTION_INIT;
	struct msg reply = MSG_INIT;
	struct error err = {0};
	int r = sandbox_parse(argc, argv, sandbox_json_options, 1, 1, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	_cleanup_json_ struct json *body = sandbox_body(a.operands[0]);
	r = sandbox_ask(
	    &c, CONNECT_JOIN, MSG_SESSION_INSPECT, body, NULL, 0, MSG_SESSION, &reply, &err);
	if (r < 0)
		r = sandbox_fail(&err);
	else
		r = a.json ? say_json(reply.body) : print_session(reply.body);
	msg_done(&reply);
	connect_done(&c);
	return r;
}
