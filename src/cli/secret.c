/* `ringfence secret set | list | remove`: what the vault keeps. A value comes from standard input or a file, never from
 * the command line; it goes to the vault in a sealed memfd, and is wiped here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/say.h"
#include "ipc/messages.h"
#include "ipc/msg.h"

#define VALUE_MAX 65536
#define TIMEOUT_MS 30000 /* the vault may have to run the master key's command first */

enum {
	OPT_HOST,
	OPT_PORT,
	OPT_METHOD,
	OPT_PATH,
	OPT_PLAIN,
	OPT_AS,
	OPT_USER,
	OPT_HEADER,
	OPT_PARAM,
	OPT_COOKIE,
	OPT_ACCESS_KEY,
	OPT_REGION,
	OPT_SERVICE,
	OPT_APP_ID,
	OPT_INSTALLATION,
	OPT_REPOSITORY,
	OPT_PERMISSION,
	OPT_ISSUER,
	OPT_TOKEN_URL,
	OPT_CLIENT_ID,
	OPT_SCOPE,
	OPT_JSON,
	OPT_HELP
};

static const struct option_spec secret_options[] = {
    [OPT_HOST] = {"host", "HOST", "set: a host it may be sent to; *.NAME, **.NAME; again for more",
	0},
    [OPT_PORT] = {"port", "N", "set: a port; 443 unless given; again for more", 0},
    [OPT_METHOD] = {"method", "METHOD", "set: only for this method; again for more", 0},
    [OPT_PATH] = {"path", "GLOB", "set: only for paths like /repos/acme/**; again for more", 0},
    [OPT_PLAIN] = {"plain", NULL, "set: also without TLS", 0},
    [OPT_AS] = {"as", "HOW",
	"set: bearer (default), basic, header, query, cookie, aws, github-app or oauth", 0},
    [OPT_USER] = {"user", "USER", "set: the user of basic", 0},
    [OPT_HEADER] = {"header", "NAME", "set: the header that it is", 0},
    [OPT_PARAM] = {"param", "NAME", "set: the query parameter that it is", 0},
    [OPT_COOKIE] = {"cookie", "NAME", "set: the cookie that it is", 0},
    [OPT_ACCESS_KEY] = {"access-key", "ID", "set: of aws; the value is the secret access key", 0},
    [OPT_REGION] = {"region", "REGION", "set: of aws", 0},
    [OPT_SERVICE] = {"service", "NAME", "set: of aws; s3 unless given", 0},
    [OPT_APP_ID] = {"app-id", "N", "set: of github-app; the value is the app's private key", 0},
    [OPT_INSTALLATION] = {"installation", "N", "set: of github-app", 0},
    [OPT_REPOSITORY] = {"repository", "OWNER/NAME",
	"set: of github-app: tokens for this one only; again for more", 0},
    [OPT_PERMISSION] = {"permission", "NAME=LEVEL",
	"set: of github-app: tokens with no more than contents=write, …; again for more", 0},
    [OPT_ISSUER] = {"issuer", "URL", "set: of github-app; https://api.github.com unless given", 0},
    [OPT_TOKEN_URL] = {"token-url", "URL", "set: of oauth; the value is the client's secret", 0},
    [OPT_CLIENT_ID] = {"client-id", "ID", "set: of oauth", 0},
    [OPT_SCOPE] = {"scope", "WORDS", "set: of oauth", 0},
    [OPT_JSON] = {"json", NULL, "print JSON", 0},
    [OPT_HELP] = {"help", NULL, "this text", 'h'},
    {0},
};

/* Values of repeated options become lists of BIND. */
struct secret_arguments {
	bool json, bound; /* bound: an option of `set` was given */
	const char *verb, *name, *file;
	const char *as, *field, *user, *region, *service;
	struct json *bind, *exchange; /* owned */
};

void
secret_help(struct buf *out)
{
	(void)buf_add_str(out,
	    "  set NAME --host HOST [FILE]  seal a value, read from FILE or standard input (never "
	    "an argument)\n"
	    "  list                         names and what they are bound to; no values\n"
	    "  remove NAME                  and end every grant of it\n\n");
	options_help(secret_options, out);
	(void)buf_add_str(out,
	    "\nA rule uses it by `credential: NAME`. Without --method and --path it may go to any "
	    "of its hosts.\n"
	    "  ringfence secret set github-ro --host api.github.com --path '/repos/acme/**' < "
	    "token\n"
	    "  ringfence secret set forge --host git.example.com --user x-access-token\n"
	    "  ringfence secret set maps --host maps.example.com --param key ~/maps.key\n"
	    "  ringfence secret set store --host bucket.s3.eu-west-1.amazonaws.com --access-key "
	    "AKIA… --region eu-west-1 < key\n"
	    "What is exchanged for tokens goes to no gateway; config.yaml names the issuer in "
	    "network.issuers.\n"
	    "  ringfence secret set gh --app-id 12 --installation 34 --repository acme/app \\\n"
	    "      --permission contents=write --host github.com --host api.github.com < key.pem\n"
	    "  ringfence secret set api --token-url https://login.example.com/token --client-id ID "
	    "--host api.example.com < secret\n");
}

/* ---- arguments ---- */

static void
bind_push(struct secret_arguments *a, const char *list, struct json *value)
{
	struct json *items = json_get(a->bind, list);
	if (items == NULL) {
		(void)json_set(a->bind, list, json_new_array());
		items = json_get(a->bind, list);
	}
	(void)json_push(items, value);
	a->bound = true;
}

static int
take_port(struct secret_arguments *a, const char *value)
{
	struct error err = {0};
	long long port = 0;
	if (parse_count(value, "--port", &port, &err) < 0 || port < 1 || port > 65535) {
		say("secret: --port: %.40s is not a number between 1 and 65535", value);
		return -EINVAL;
	}
	bind_push(a, "ports", json_new_int(port));
	return 0;
}

/* An option that also says how the secret is applied. */
static int
take_how(struct secret_arguments *a, const char *as, const char **place, const char *value)
{
	if (*place != NULL || (a->as != NULL && strcmp(a->as, as) != 0)) {
		say("secret: a secret is applied in one way only; see ringfence help secret");
		return -EINVAL;
	}
	a->as = as;
	*place = value;
	a->bound = true;
	return 0;
}

/* A member of what an exchange is told. */
static int
take_exchange(struct secret_arguments *a, const char *as, const char *member, const char *value)
{
	const char *none = NULL;
	if (json_get(a->exchange, member) != NULL) {
		say("secret: %s is given twice", member);
		return -EINVAL;
	}
	(void)json_set_str(a->exchange, member, value);
	return take_how(a, as, &none, value);
}

static int
take_repository(struct secret_arguments *a, const char *value)
{
	const char *none = NULL;
	if (json_get(a->exchange, "repositories") == NULL)
		(void)json_set(a->exchange, "repositories", json_new_array());
	(void)json_push(json_get(a->exchange, "repositories"), json_new_string(value));
	return take_how(a, "github-app", &none, value);
}

static int
take_permission(struct secret_arguments *a, const char *value)
{
	const char *none = NULL, *equals = strchr(value, '=');
	char name[80];
	if (equals == NULL || equals == value || (size_t)(equals - value) >= sizeof(name)) {
		say("secret: --permission: NAME=LEVEL, as contents=write");
		return -EINVAL;
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - value), value);
	if (json_get(a->exchange, "permissions") == NULL)
		(void)json_set(a->exchange, "permissions", json_new_object());
	(void)json_set_str(json_get(a->exchange, "permissions"), name, equals + 1);
	return take_how(a, "github-app", &none, value);
}

static int
take_as(struct secret_arguments *a, const char *value)
{
	static const char *const ways[] = {
	    "bearer", "basic", "header", "query", "cookie", "aws", "github-app", "oauth", NULL};
	for (size_t i = 0; ways[i] != NULL; i++)
		if (strcmp(ways[i], value) == 0) {
			const char *none = NULL;
			return take_how(a, ways[i], &none, value);
		}
	const char *near = nearest_name(value, ways, sizeof(ways[0]));
	say("secret: --as: bearer, basic, header, query, cookie, aws, github-app or oauth%s%s%s",
	    near != NULL ? "; did you mean " : "", near != NULL ? near : "",
	    near != NULL ? "?" : "");
	return -EINVAL;
}

static int
take_operand(struct secret_arguments *a, const char *value)
{
	if (a->verb == NULL) {
		a->verb = value;
	} else if (a->name == NULL) {
		a->name = value;
	} else if (a->file == NULL && strcmp(a->verb, "set") == 0) {
		a->file = value;
	} else {
		say("secret: unexpected argument after %.64s; see ringfence help secret", a->name);
		return -EINVAL;
	}
	return 0;
}

static int
take_exchange_option(struct secret_arguments *a, int option, const char *value)
{
	switch (option) {
	case OPT_APP_ID:
		return take_exchange(a, "github-app", "app_id", value);
	case OPT_INSTALLATION:
		return take_exchange(a, "github-app", "installation", value);
	case OPT_REPOSITORY:
		return take_repository(a, value);
	case OPT_PERMISSION:
		return take_permission(a, value);
	case OPT_ISSUER:
		return take_exchange(a, "github-app", "url", value);
	case OPT_TOKEN_URL:
		return take_exchange(a, "oauth", "url", value);
	case OPT_CLIENT_ID:
		return take_exchange(a, "oauth", "client_id", value);
	case OPT_SCOPE:
		return take_exchange(a, "oauth", "scope", value);
	default:
		a->json = true;
		return 0;
	}
}

static int
take_option(struct secret_arguments *a, int option, const char *value)
{
	switch (option) {
	case OPTIONS_OPERAND:
		return take_operand(a, value);
	case OPT_HOST:
		bind_push(a, "hosts", json_new_string(value));
		return 0;
	case OPT_PORT:
		return take_port(a, value);
	case OPT_METHOD:
		bind_push(a, "methods", json_new_string(value));
		return 0;
	case OPT_PATH:
		bind_push(a, "paths", json_new_string(value));
		return 0;
	case OPT_PLAIN:
		a->bound = true;
		(void)json_set_bool(a->bind, "plain", true);
		return 0;
	case OPT_AS:
		return take_as(a, value);
	case OPT_USER:
		return take_how(a, "basic", &a->user, value);
	case OPT_HEADER:
		return take_how(a, "header", &a->field, value);
	case OPT_PARAM:
		return take_how(a, "query", &a->field, value);
	case OPT_COOKIE:
		return take_how(a, "cookie", &a->field, value);
	case OPT_ACCESS_KEY:
		return take_how(a, "aws", &a->user, value);
	case OPT_REGION:
		return take_how(a, "aws", &a->region, value);
	case OPT_SERVICE:
		return take_how(a, "aws", &a->service, value);
	default:
		return take_exchange_option(a, option, value);
	}
}

/* What an exchange needs and was not said, or NULL. */
static const char *
missing_of_exchange(const struct secret_arguments *a)
{
	bool github = a->as != NULL && strcmp(a->as, "github-app") == 0;
	bool oauth = a->as != NULL && strcmp(a->as, "oauth") == 0;
	if (github &&
	    (json_get(a->exchange, "app_id") == NULL ||
		json_get(a->exchange, "installation") == NULL))
		return "--as github-app needs --app-id N and --installation N";
	if (oauth &&
	    (json_get(a->exchange, "url") == NULL || json_get(a->exchange, "client_id") == NULL))
		return "--as oauth needs --token-url URL and --client-id ID";
	return NULL;
}

/* Whether the verb has what it needs; says what is missing. */
static int
check_verb(struct secret_arguments *a)
{
	static const char *const verbs[] = {"set", "list", "remove", NULL};
	const char *verb = a->verb != NULL ? a->verb : "";
	a->verb = verb;
	bool set = strcmp(verb, "set") == 0, list = strcmp(verb, "list") == 0;
	if (!set && !list && strcmp(verb, "remove") != 0) {
		const char *near = nearest_name(verb, verbs, sizeof(verbs[0]));
		say("secret: expected set, list or remove%s%s%s",
		    near != NULL ? "; did you mean " : "", near != NULL ? near : "",
		    near != NULL ? "?" : "");
	} else if (list ? a->name != NULL : a->name == NULL) {
		say(list ? "secret: list takes no argument" : "secret: %s needs the secret's name",
		    verb);
	} else if (!set && a->bound) {
		say("secret: only set takes these options");
	} else if (set && json_len(json_get(a->bind, "hosts")) == 0) {
		say("secret: set needs --host: a secret is sent nowhere else");
	} else if (set && a->as != NULL && a->field == NULL &&
	    (strcmp(a->as, "header") == 0 || strcmp(a->as, "query") == 0 ||
		strcmp(a->as, "cookie") == 0)) {
		say("secret: --as %s needs %s NAME", a->as,
		    a->as[0] == 'h'       ? "--header"
			: a->as[0] == 'q' ? "--param"
					  : "--cookie");
	} else if (set && a->as != NULL && strcmp(a->as, "basic") == 0 && a->user == NULL) {
		say("secret: --as basic needs --user USER");
	} else if (set && a->as != NULL && strcmp(a->as, "aws") == 0 &&
	    (a->user == NULL || a->region == NULL)) {
		say("secret: --as aws needs --access-key ID and --region REGION");
	} else if (set && missing_of_exchange(a) != NULL) {
		say("secret: %s", missing_of_exchange(a));
	} else {
		return 0;
	}
	return -EINVAL;
}

/* 0; 1 when help was printed; negative after saying what is wrong. */
static int
take_arguments(int argc, char **argv, struct secret_arguments *a)
{
	struct options options;
	struct error err = {0};
	const char *value;
	int option;
	options_init(&options, secret_options, argc, argv);
	while ((option = options_next(&options, &value, &err)) != OPTIONS_END) {
		if (option == OPTIONS_BAD) {
			say_error(&err);
			return -EINVAL;
		}
		if (option == OPT_HELP)
			return cli_help("secret") == 0 ? 1 : -EPIPE;
		if (take_option(a, option, value) < 0)
			return -EINVAL;
	}
	return check_verb(a);
}

/* ---- the value ---- */

struct value {
	char bytes[VALUE_MAX +
	    3]; /* a newline may follow, and one byte more shows that it is too long */
	size_t len;
};

static int
read_all(int fd, struct value *value)
{
	while (value->len < sizeof(value->bytes)) {
		ssize_t n = read(fd, value->bytes + value->len, sizeof(value->bytes) - value->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		value->len += (size_t)n;
	}
	return -EFBIG;
}

/* A line from the terminal FD, already without echo. Keys that would end us end the question instead, so that the
 * terminal is put back. */
static int
read_line(int fd, struct value *value)
{
	for (;;) {
		char c;
		ssize_t n = read(fd, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || c == 3 || c == 28 || (c == 4 && value->len == 0))
			return -ECANCELED;
		if (c == '\r' || c == '\n' || c == 4)
			return 0;
		if (c == 21)
			value->len = 0;
		else if ((c == 8 || c == 127) && value->len > 0)
			value->len--;
		else if (c != 8 && c != 127 && value->len == sizeof(value->bytes))
			return -EFBIG;
		else if (c != 8 && c != 127)
			value->bytes[value->len++] = c;
	}
}

static int
ask_terminal(int fd, const char *name, struct value *value)
{
	struct termios before, silent;
	if (tcgetattr(fd, &before) < 0)
		return -errno;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
	silent.c_cc[VMIN] = 1;
	silent.c_cc[VTIME] = 0;
	if (tcsetattr(fd, TCSAFLUSH, &silent) < 0)
		return -errno;
	_cleanup_buf_ struct buf prompt;
	buf_init(&prompt, 256);
	(void)buf_add_str(&prompt, "value of ");
	say_add_text(&prompt, name);
	(void)buf_add_str(&prompt, " (not shown): ");
	(void)say_write(STDERR_FILENO, prompt.data, prompt.len);
	int r = read_line(fd, value);
	(void)tcsetattr(fd, TCSAFLUSH, &before);
	(void)say_write(STDERR_FILENO, "\n", 1);
	return r;
}

static int
read_value(const struct secret_arguments *a, struct value *value)
{
	_cleanup_close_ int file = -1;
	int fd = STDIN_FILENO;
	if (a->file != NULL && strcmp(a->file, "-") != 0) {
		file = open(a->file, O_RDONLY | O_NOCTTY | O_CLOEXEC);
		if (file < 0) { /* which may be the value itself: it is not repeated */
			say("secret: cannot open the file to read the value from: %s; a value is "
			    "never an "
			    "argument, it is read from standard input or a file",
			    strerror(errno));
			return -EINVAL;
		}
		fd = file;
	}
	if (isatty(fd) && a->as != NULL && strcmp(a->as, "github-app") == 0) {
		say("secret: a private key has several lines: give its file, or `< key.pem`");
		return -EINVAL;
	}
	int r = isatty(fd) ? ask_terminal(fd, a->name, value) : read_all(fd, value);
	if (r == -EFBIG)
		say("secret: the value is longer than %d bytes", VALUE_MAX);
	else if (r < 0)
		say("secret: the value cannot be read: %s", strerror(-r));
	return r;
}

/* VALUE in a memfd that nobody can change any more. fd or -errno. */
static int
seal_value(const struct value *value)
{
	_cleanup_close_ int fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int r = say_write(fd, value->bytes, value->len);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

/* ---- printing ---- */

static void
add_list(struct buf *out, const struct json *list, const char *none)
{
	if (list == NULL)
		(void)buf_add_str(out, none);
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *item = json_at(list, i);
		if (i > 0)
			(void)buf_add_char(out, ' ');
		if (json_type(item) == JSON_INT)
			(void)buf_addf(out, "%lld", (long long)json_int(item, 0));
		else
			(void)buf_add_str(out, json_str(item, "?"));
	}
}

static void
cell_list(struct table *t, const struct json *list, const char *none)
{
	_cleanup_buf_ struct buf cell;
	buf_init(&cell, 64 << 10);
	add_list(&cell, list, none);
	table_cell(t, buf_str(&cell));
}

static void
cell_how(struct table *t, const struct json *secret)
{
	const struct json *exchange = json_get(secret, "exchange");
	const char *name = json_get_str(secret, "header", json_get_str(secret, "user", NULL));
	if (exchange != NULL)
		name = json_get_str(exchange, "app_id", json_get_str(exchange, "client_id", NULL));
	if (name == NULL)
		table_cell(t, json_get_str(secret, "as", NULL));
	else
		table_cellf(t, "%s %s", json_get_str(secret, "as", "?"), name);
}

/* What there is to know about the key that seals. */
static void
add_key(struct buf *out, const struct json *key)
{
	const char *error = json_get_str(key, "error", NULL);
	if (error != NULL) {
		(void)buf_add_str(out, "no grant and no new secret is possible: ");
		say_add_text(out, error);
	} else if (json_get_bool(key, "conventional", false)) {
		(void)buf_add_str(out,
		    "the key lies beside the secrets: conventional; vault.master_key in "
		    "config.yaml names another");
	} else {
		(void)buf_add_str(out, "sealed with the key of ");
		say_add_text(out, json_get_str(key, "where", NULL));
	}
	(void)buf_add_char(out, '\n');
}

static int
print_list(const struct json *body)
{
	static const char *const head[] = {
	    "NAME", "AS", "HOSTS", "PORTS", "METHODS", "PATHS", "VERSION", "SET", "STATE"};
	const struct json *list = json_get(body, "secrets");
	_cleanup_buf_ struct buf out;
	buf_init(&out, 64 << 20);
	struct table t;
	table_init(&t, ARRAY_LEN(head));
	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		table_cell(&t, head[i]);
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *secret = json_at(list, i), *bind = json_get(secret, "bind");
		char set[32] = "-";
		if (json_get_int(secret, "set_ms", 0) > 0)
			clock_format(json_get_int(secret, "set_ms", 0), set);
		set[strcspn(set, ".")] = 0;
		table_cell(&t, json_get_str(secret, "name", NULL));
		cell_how(&t, secret);
		cell_list(&t, json_get(bind, "hosts"), "-");
		cell_list(&t, json_get(bind, "ports"),
		    json_get_bool(bind, "plain", false) ? "443 80" : "443");
		cell_list(&t, json_get(bind, "methods"), "any");
		cell_list(&t, json_get(bind, "paths"), "any");
		table_cellf(&t, "%lld", (long long)json_get_int(secret, "version", 0));
		table_cell(&t, set);
		table_cell(&t, json_get_str(secret, "state", NULL));
	}
	table_print(&t, &out);
	if (json_len(list) == 0) {
		buf_clear(&out);
		(void)buf_add_str(&out, "no secrets\n");
	}
	add_key(&out, json_get(body, "key"));
	return say_out(&out);
}

static int
print_set(const struct json *body)
{
	const struct json *secret = json_at(json_get(body, "secrets"), 0);
	const struct json *bind = json_get(secret, "bind");
	_cleanup_buf_ struct buf out, hosts;
	buf_init(&out, 64 << 10);
	buf_init(&hosts, 64 << 10);
	add_list(&hosts, json_get(bind, "hosts"), "");
	(void)buf_add_str(&out, "sealed ");
	say_add_text(&out, json_get_str(secret, "name", NULL));
	(void)buf_addf(&out, ", version %lld, for ", (long long)json_get_int(secret, "version", 0));
	say_add_text(&out, buf_str(&hosts));
	(void)buf_addf(&out, "%s\n",
	    json_get(bind, "methods") == NULL && json_get(bind, "paths") == NULL
		? ", any method and path"
		: "");
	add_key(&out, json_get(body, "key"));
	return say_out(&out);
}

/* ---- asking ---- */

static int
fail(const struct error *err)
{
	say_error(err);
	return EXIT_FAILURE;
}

static struct json *
set_body(struct secret_arguments *a)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "name", a->name);
	(void)json_set_str(body, "as", a->as != NULL ? a->as : "bearer");
	if (a->field != NULL)
		(void)json_set_str(body, "header", a->field);
	if (a->user != NULL)
		(void)json_set_str(body, "user", a->user);
	if (a->region != NULL)
		(void)json_set_str(body, "region", a->region);
	if (a->region != NULL)
		(void)json_set_str(body, "service", a->service != NULL ? a->service : "s3");
	if (a->as != NULL && strcmp(a->as, "github-app") == 0 &&
	    json_get(a->exchange, "url") == NULL)
		(void)json_set_str(a->exchange, "url", "https://api.github.com");
	if (json_len(a->exchange) > 0)
		(void)json_set(body, "exchange", TAKE_PTR(a->exchange));
	(void)json_set(body, "bind", TAKE_PTR(a->bind));
	return body;
}

static int
run_set(struct secret_arguments *a)
{
	static struct value value;
	struct error err = {0};
	struct msg reply = MSG_INIT;
	int r = read_value(a, &value);
	_cleanup_close_ int sealed = r < 0 ? r : seal_value(&value);
	explicit_bzero(&value, sizeof(value));
	if (r < 0)
		return EXIT_FAILURE;
	if (sealed < 0)
		return say("secret: the value cannot be handed over: %s", strerror(-sealed)),
		       EXIT_FAILURE;
	_cleanup_json_ struct json *body = set_body(a);
	_cleanup_close_ int fd = connect_program("vault", CONNECT_START, &err);
	if (fd < 0)
		return fail(&err);
	r = msg_call(fd, MSG_SECRET_SET, body, &sealed, 1, TIMEOUT_MS, &reply, &err);
	if (r < 0)
		r = fail(&err);
	else
		r = a->json ? say_json(reply.body) : print_set(reply.body);
	msg_done(&reply);
	return r;
}

static int
run_remove(const struct secret_arguments *a)
{
	struct error err = {0};
	struct msg reply = MSG_INIT;
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_str(body, "name", a->name);
	_cleanup_close_ int fd = connect_program("vault", CONNECT_START, &err);
	if (fd < 0)
		return fail(&err);
	int r = msg_call(fd, MSG_SECRET_REMOVE, body, NULL, 0, TIMEOUT_MS, &reply, &err);
	if (r < 0)
		r = fail(&err);
	else if (a->json)
		r = say_json(reply.body);
	else
		say("removed %.64s", a->name);
	msg_done(&reply);
	return r;
}

/* Asks again until all came; the secrets are collected in BODY. */
static int
list_all(int fd, struct json **ret, struct error *err)
{
	_cleanup_json_ struct json *all = NULL;
	for (;;) {
		struct msg reply = MSG_INIT;
		struct json *list = json_get(all, "secrets");
		_cleanup_json_ struct json *ask = json_new_object();
		if (json_len(list) > 0)
			(void)json_set_str(ask, "after",
			    json_get_str(json_at(list, json_len(list) - 1), "name", ""));
		int r = msg_call(fd, MSG_SECRET_LIST, ask, NULL, 0, TIMEOUT_MS, &reply, err);
		if (r < 0)
			return r;
		struct json *more = json_get(reply.body, "secrets");
		bool last = json_get_int(reply.body, "omitted", 0) == 0 || json_len(more) == 0;
		for (size_t i = 0; all != NULL && i < json_len(more); i++)
			(void)json_push(list, json_copy(json_at(more, i)));
		if (all == NULL)
			all = TAKE_PTR(reply.body);
		msg_done(&reply);
		if (last)
			break;
	}
	json_unset(all, "omitted");
	*ret = TAKE_PTR(all);
	return 0;
}

static int
run_list(const struct secret_arguments *a)
{
	struct error err = {0};
	_cleanup_json_ struct json *body = NULL;
	_cleanup_close_ int fd = connect_program("vault", CONNECT_START, &err);
	if (fd < 0 || list_all(fd, &body, &err) < 0)
		return fail(&err);
	return a->json ? say_json(body) : print_list(body);
}

int
cmd_secret(int argc, char **argv)
{
	struct secret_arguments a = {.bind = json_new_object(), .exchange = json_new_object()};
	int r = take_arguments(argc, argv, &a);
	if (r != 0)
		r = r > 0 ? 0 : EXIT_BAD_USAGE;
	else if (strcmp(a.verb, "set") == 0)
		r = run_set(&a);
	else if (strcmp(a.verb, "remove") == 0)
		r = run_remove(&a);
	else
		r = run_list(&a);
	json_free(a.bind);
	json_free(a.exchange);
	return r;
}
