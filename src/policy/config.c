/* Reading config.yaml by field tables, as a policy is read: the same errors, with line and column. */
#include "policy/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/field.h"
#include "policy/patterns.h"
#include "policy/tree.h"
#include "policy/units.h"

#define ARENA_BYTES_MAX (16u << 20)
#define DNS_PORT 53
#define HTTPS_PORT 443
#define COMMAND_MAX 64 /* words of a command */

struct network_read {
	struct list resolvers, issuers;
	const char *authorities;
};

struct master_key_read {
	const char *file;
	struct list command;
};

struct vault_read {
	struct master_key_read master_key;
};

/* ---- addresses of resolvers ---- */

/* TEXT as ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; the address goes to HOST. */
static bool
split_resolver(const char *text, char host[INET6_ADDRSTRLEN], int64_t *ret_port)
{
	uint8_t bytes[16];
	const char *end = text + strlen(text), *from = text, *port = NULL;
	if (*text == '[') {
		from = text + 1;
		end = strchr(text, ']');
		if (end == NULL || (end[1] != 0 && end[1] != ':'))
			return false;
		port = end[1] == ':' ? end + 2 : NULL;
	} else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
		end = strchr(text, ':');
		port = end + 1;
	}
	size_t len = (size_t)(end - from);
	if (len >= INET6_ADDRSTRLEN)
		return false;
	memcpy(host, from, len);
	host[len] = 0;
	*ret_port = DNS_PORT;
	if (port != NULL && (units_int(port, ret_port) < 0 || *ret_port < 1 || *ret_port > 65535))
		return false;
	return inet_pton(AF_INET6, host, bytes) == 1 ||
	    (*text != '[' && inet_pton(AF_INET, host, bytes) == 1);
}

static const char *
check_resolver(const char *text)
{
	char host[INET6_ADDRSTRLEN];
	int64_t port;
	return split_resolver(text, host, &port)
	    ? NULL
	    : "an address such as 10.0.0.53, 127.0.0.1:5353 or \"[2001:db8::53]:53\"";
}

/* ---- issuers ---- */

/* HOST or HOST:PORT; the host's length goes to RET_LEN. */
static bool
split_issuer(const char *text, size_t *ret_len, int64_t *ret_port)
{
	const char *colon = strchr(text, ':');
	char host[256];
	*ret_len = colon != NULL ? (size_t)(colon - text) : strlen(text);
	*ret_port = HTTPS_PORT;
	if (*ret_len == 0 || *ret_len >= sizeof(host) ||
	    (colon != NULL &&
		(units_int(colon + 1, ret_port) < 0 || *ret_port < 1 || *ret_port > 65535)))
		return false;
	memcpy(host, text, *ret_len);
	host[*ret_len] = 0;
	for (size_t i = 0; i < *ret_len; i++)
		if (host[i] >= 'A' && host[i] <= 'Z')
			return false;
	return host_is_plain(host);
}

static const char *
check_issuer(const char *text)
{
	size_t len;
	int64_t port;
	return split_issuer(text, &len, &port)
	    ? NULL
	    : "a host in lower case such as api.github.com or login.example.com:8443";
}

static const char *
check_path(const char *text)
{
	return text[0] == '/' ? NULL : "an absolute path";
}

/* ---- the tables ---- */

/* clang-format off */
static const struct field network_fields[] = {
	{"resolvers", FIELD_LIST, 0, offsetof(struct network_read, resolvers), .check = check_resolver,
	 .doc = "the name servers that names are asked of; unless given, those of /etc/resolv.conf"},
	{"authorities", FIELD_TEXT, 0, offsetof(struct network_read, authorities), .check = check_path,
	 .doc = "the certificates (PEM) that servers are verified against"},
	{"issuers", FIELD_LIST, 0, offsetof(struct network_read, issuers), .check = check_issuer,
	 .doc = "who may exchange secrets for tokens; unless given, nobody"},
	{NULL}};
static const struct shape network_shape = {"network", network_fields, .size = sizeof(struct network_read)};

static const struct field master_key_fields[] = {
	{"file", FIELD_TEXT, 0, offsetof(struct master_key_read, file), .check = check_path,
	 .doc = "a file with the key"},
	{"command", FIELD_LIST, 0, offsetof(struct master_key_read, command),
	 .doc = "a program, with its arguments, that writes the key to its standard output"},
	{NULL}};
static const struct shape master_key_shape = {"master_key", master_key_fields,
    .size = sizeof(struct master_key_read)};

static const struct field vault_fields[] = {
	{"master_key", FIELD_MAP, 0, offsetof(struct vault_read, master_key), .sub = &master_key_shape,
	 .doc = "what secrets are sealed with; unless given, a key file of the vault's own"},
	{NULL}};
static const struct shape vault_shape = {"vault", vault_fields, .size = sizeof(struct vault_read)};
/* clang-format on */

/* ---- sections ---- */

static int
no_memory(const struct field_reader *rd)
{
	return error_set(rd->err, ENOMEM, "out_of_memory", "%s: out of memory", rd->file);
}

/* "network:" with nothing after it is the same as without it. */
static bool
is_absent(const struct node *node)
{
	return node == NULL || (node->type == NODE_SCALAR && node->plain && node->text[0] == 0);
}

static int
set_resolvers(struct field_reader *rd, const struct node *node, const struct list *list,
    struct config *config)
{
	if (list->n > CONFIG_RESOLVERS_MAX)
		return field_error(rd, tree_get(node, "resolvers"),
		    "resolvers: too many (%d at most)", CONFIG_RESOLVERS_MAX);
	for (size_t i = 0; i < list->n; i++) {
		char host[INET6_ADDRSTRLEN];
		int64_t port;
		if (!split_resolver(list->items[i], host, &port))
			return field_error(
			    rd, tree_get(node, "resolvers"), "resolvers: not an address");
		const char *address = arena_text(&config->arena, host, strlen(host));
		if (address == NULL)
			return no_memory(rd);
		config->resolvers[config->n_resolvers++] =
		    (struct config_resolver){address, (uint16_t)port};
	}
	return 0;
}

static int
set_issuers(struct field_reader *rd, const struct node *node, const struct list *list,
    struct config *config)
{
	if (list->n > CONFIG_ISSUERS_MAX)
		return field_error(rd, tree_get(node, "issuers"), "issuers: too many (%d at most)",
		    CONFIG_ISSUERS_MAX);
	for (size_t i = 0; i < list->n; i++) {
		size_t len;
		int64_t port;
		if (!split_issuer(list->items[i], &len, &port))
			return field_error(rd, tree_get(node, "issuers"), "issuers: not a host");
		const char *host = arena_text(&config->arena, list->items[i], len);
		if (host == NULL)
			return no_memory(rd);
		config->issuers[config->n_issuers++] = (struct config_issuer){host, (uint16_t)port};
	}
	return 0;
}

bool
config_pins_issuer(const struct config *config, const char *host, int port)
{
	for (size_t i = 0; config != NULL && i < config->n_issuers; i++)
		if (config->issuers[i].port == port && strcmp(config->issuers[i].host, host) == 0)
			return true;
	return false;
}

static int
read_network(struct field_reader *rd, const struct node *node, struct config *config)
{
	struct network_read read = {.authorities = NULL};
	(void)snprintf(rd->path, sizeof(rd->path), "network");
	int r = field_read(rd, node, &network_shape, &read);
	if (r == 0)
		r = set_resolvers(rd, node, &read.resolvers, config);
	if (r == 0)
		r = set_issuers(rd, node, &read.issuers, config);
	if (r == 0 && read.authorities != NULL)
		config->authorities = read.authorities;
	return r;
}

static int
set_command(struct field_reader *rd, const struct node *node, const struct list *list,
    struct config *config)
{
	if (list->n == 0)
		return 0;
	if (list->n > COMMAND_MAX)
		return field_error(rd, node, "too many words (%d at most)", COMMAND_MAX);
	if (check_path(list->items[0]) != NULL)
		return field_error(
		    rd, node, "\"%.100s\": expected an absolute path first", list->items[0]);
	const char **argv = arena_array(&config->arena, list->n + 1, sizeof(*argv));
	if (argv == NULL)
		return no_memory(rd);
	for (size_t i = 0; i < list->n; i++)
		argv[i] = list->items[i];
	config->master_key_command = argv;
	return 0;
}

static int
read_vault(struct field_reader *rd, const struct node *node, struct config *config)
{
	struct vault_read read = {.master_key = {.file = NULL}};
	(void)snprintf(rd->path, sizeof(rd->path), "vault");
	int r = field_read(rd, node, &vault_shape, &read);
	if (r < 0)
		return r;
	const struct node *key = tree_get(node, "master_key");
	if (key == NULL)
		return 0;
	(void)snprintf(rd->path, sizeof(rd->path), "vault.master_key");
	if ((read.master_key.file != NULL) == (read.master_key.command.n > 0))
		return field_error(
		    rd, key, "expected one of \"file: PATH\" and \"command: [PATH, …]\"");
	config->master_key_file = read.master_key.file;
	(void)snprintf(rd->path, sizeof(rd->path), "vault.master_key.command");
	const struct node *command = tree_get(key, "command");
	return command == NULL ? 0 : set_command(rd, command, &read.master_key.command, config);
}

static int
read_sections(struct field_reader *rd, const struct node *tree, struct config *config)
{
	if (tree->type != NODE_MAP)
		return is_absent(tree)
		    ? 0
		    : field_error(rd, tree, "expected a mapping, found %s", tree_what(tree));
	const struct node *network = tree_get(tree, "network"), *vault = tree_get(tree, "vault");
	int r = is_absent(network) ? 0 : read_network(rd, network, config);
	if (r == 0)
		r = is_absent(vault) ? 0 : read_vault(rd, vault, config);
	return r;
}

/* ---- life ---- */

/* Nothing but blanks and comments. */
static bool
is_blank(const char *text, size_t len)
{
	bool comment = false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			comment = false;
		else if (text[i] == '#' && (i == 0 || strchr(" \t\r\n", text[i - 1]) != NULL))
			comment = true;
		else if (!comment && strchr(" \t\r", text[i]) == NULL)
			return false;
		else if (text[i] == 0)
			return false;
	}
	return true;
}

static int
load_into(struct config *config, const char *text, size_t len, const char *name, struct error *err)
{
	if (len > CONFIG_BYTES_MAX)
		return error_set(err, EMSGSIZE, "config_invalid",
		    "%s: %zu bytes are too many (1 MiB at most)", name, len);
	if (is_blank(text, len))
		return 0;
	struct node *tree;
	int r = tree_parse(text, len, name, &config->arena, &tree, err);
	if (r < 0)
		return r;
	struct field_reader rd = {.file = name, .arena = &config->arena, .err = err};
	return read_sections(&rd, tree, config);
}

int
config_load(const char *text, size_t len, const char *name, struct config **ret, struct error *err)
{
	struct error ignored;
	if (err == NULL)
		err = &ignored;
	struct config *config = calloc(1, sizeof(*config));
	if (config == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "%s: out of memory", name);
	arena_init(&config->arena, ARENA_BYTES_MAX);
	config->authorities = CONFIG_AUTHORITIES;
	int r = load_into(config, text, len, name, err);
	if (r == 0) {
		*ret = config;
		return 0;
	}
	/* The tree and the tables speak of policies. */
	if (r != -ENOMEM)
		(void)snprintf(err->code, sizeof(err->code), "config_invalid");
	config_free(config);
	return r;
}

struct config *
config_free(struct config *config)
{
	if (config != NULL)
		arena_done(&config->arena);
	free(config);
	return NULL;
}
