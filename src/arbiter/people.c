/* Parsing `people:`, passwd(5) and group(5).
 *
 * Own parsers for the two files, because the C library's would open them by path (there is none in
 * our root) and load name-service modules. Users that only a directory service knows can be mapped
 * by number. */
#include "arbiter/people.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct names {
	char **items; /* owned strings */
	size_t n;
};

struct role {
	char *name; /* owned */
	struct names users, groups;
};

struct people {
	struct role roles[PEOPLE_ROLES_MAX];
	size_t n_roles;
	char *passwd, *group; /* owned texts */
};

/* ---- passwd and group ---- */

/* Field I of the line at P (colon-separated); its length in RET_LEN. NULL if there is none. */
static const char *
line_field(const char *p, unsigned i, size_t *ret_len)
{
	for (; i > 0; i--) {
		p += strcspn(p, ":\n");
		if (*p != ':')
			return NULL;
		p++;
	}
	*ret_len = strcspn(p, ":\n");
	return p;
}

static const char *
next_line(const char *p)
{
	p += strcspn(p, "\n");
	return *p == '\n' ? p + 1 : p;
}

/* A decimal id of LEN digits and nothing else. */
static bool
parse_id(const char *text, size_t len, uint32_t *ret)
{
	uint64_t value = 0;
	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value >= UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* The line of TEXT whose field 2 is ID, or NULL. */
static const char *
find_by_id(const char *text, uint32_t id)
{
	for (const char *line = text; line != NULL && *line != '\0'; line = next_line(line)) {
		size_t len = 0;
		uint32_t found = 0;
		const char *field = line_field(line, 2, &len);
		if (field != NULL && parse_id(field, len, &found) && found == id)
			return line;
	}
	return NULL;
}

static bool
equals(const char *text, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(text, name, len) == 0;
}

/* Whether the comma-separated list of LEN bytes has NAME (of NAME_LEN bytes). */
static bool
list_has(const char *list, size_t len, const char *name, size_t name_len)
{
	const char *end = list + len;
	while (list < end) {
		size_t item = 0;
		while (list + item < end && list[item] != ',')
			item++;
		if (item == name_len && memcmp(list, name, item) == 0)
			return true;
		list += item + 1;
	}
	return false;
}

/* Whether the user on passwd line USER belongs to the group NAME (or number). */
static bool
user_in_group(const struct people *people, const char *user, const char *name)
{
	size_t user_len = 0, gid_len = 0;
	uint32_t primary = 0, wanted = 0;
	const char *user_name = line_field(user, 0, &user_len);
	const char *primary_text = line_field(user, 3, &gid_len);
	bool has_primary = primary_text != NULL && parse_id(primary_text, gid_len, &primary);
	bool by_number = parse_id(name, strlen(name), &wanted);
	if (by_number && has_primary && primary == wanted)
		return true;
	const char *line = people->group;
	for (; line != NULL && *line != '\0'; line = next_line(line)) {
		size_t len = 0, id_len = 0, list_len = 0;
		uint32_t gid = 0;
		const char *group = line_field(line, 0, &len);
		const char *id = line_field(line, 2, &id_len);
		if (id == NULL || !parse_id(id, id_len, &gid))
			continue;
		if (by_number ? gid != wanted : !equals(group, len, name))
			continue;
		const char *list = line_field(line, 3, &list_len);
		if ((has_primary && primary == gid) ||
		    (list != NULL && list_has(list, list_len, user_name, user_len)))
			return true;
	}
	return false;
}

const char *
people_name(const struct people *people, uid_t uid)
{
	static char
	    name[ROLE_NAME_MAX + 1]; /* one loop, one thread; copied by callers that keep it */
	size_t len = 0;
	const char *line = find_by_id(people->passwd, uid);
	const char *field = line != NULL ? line_field(line, 0, &len) : NULL;
	if (field == NULL || len == 0 || len > ROLE_NAME_MAX)
		return NULL;
	memcpy(name, field, len);
	name[len] = '\0';
	return name;
}

/* ---- roles ---- */

static bool
role_has(const struct people *people, const struct role *role, uid_t uid)
{
	const char *line = find_by_id(people->passwd, uid);
	size_t name_len = 0;
	const char *name = line != NULL ? line_field(line, 0, &name_len) : NULL;
	for (size_t i = 0; i < role->users.n; i++) {
		uint32_t number = 0;
		const char *user = role->users.items[i];
		if (parse_id(user, strlen(user), &number)
			? number == uid
			: name != NULL && equals(name, name_len, user))
			return true;
	}
	for (size_t i = 0; line != NULL && i < role->groups.n; i++)
		if (user_in_group(people, line, role->groups.items[i]))
			return true;
	return false;
}

static const struct role *
role_find(const struct people *people, const char *name)
{
	for (size_t i = 0; i < people->n_roles; i++)
		if (strcmp(people->roles[i].name, name) == 0)
			return &people->roles[i];
	return NULL;
}

bool
people_has_role(const struct people *people, uid_t uid, const char *role)
{
	const struct role *found = role_find(people, role);
	return found != NULL && role_has(people, found, uid);
}

bool
people_has_any_role(const struct people *people, uid_t uid)
{
	for (size_t i = 0; i < people->n_roles; i++)
		if (role_has(people, &people->roles[i], uid))
			return true;
	return false;
}

bool
people_knows_role(const struct people *people, const char *role)
{
	const struct role *found = role_find(people, role);
	return found != NULL && found->users.n + found->groups.n > 0;
}

/* ---- the configuration ---- */

static int
refuse(struct error *err, const yaml_node_t *at, const char *what)
{
	error_set(err, EINVAL, "config_invalid", "configuration:%zu:%zu: people: %s",
	    at != NULL ? at->start_mark.line + 1 : 0, at != NULL ? at->start_mark.column + 1 : 0,
	    what);
	error_remedy(
	    err, "people: maps a role to {users: [name or uid, …], groups: [name or gid, …]}");
	return -EINVAL;
}

static const char *
scalar(const yaml_node_t *node)
{
	if (node == NULL || node->type != YAML_SCALAR_NODE || node->data.scalar.length == 0 ||
	    node->data.scalar.length > ROLE_NAME_MAX ||
	    strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
		return NULL;
	return (const char *)node->data.scalar.value;
}

static int
read_names(yaml_document_t *doc, yaml_node_t *node, struct names *ret, struct error *err)
{
	if (node == NULL || node->type != YAML_SEQUENCE_NODE)
		return refuse(err, node, "users and groups are lists of names or numbers");
	size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	ret->items = calloc(n + 1, sizeof(ret->items[0]));
	if (ret->items == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "people: out of memory");
	for (size_t i = 0; i < n; i++) {
		yaml_node_t *item = yaml_document_get_node(doc, node->data.sequence.items.start[i]);
		const char *text = scalar(item);
		if (text == NULL)
			return refuse(err, item, "a user or group is a name or a number");
		ret->items[ret->n] = strdup(text);
		if (ret->items[ret->n++] == NULL)
			return error_set(err, ENOMEM, "out_of_memory", "people: out of memory");
	}
	return 0;
}

/* One role's {users: …, groups: …}. */
static int
read_role(yaml_document_t *doc, yaml_node_t *node, struct role *role, struct error *err)
{
	if (node == NULL || node->type != YAML_MAPPING_NODE)
		return refuse(err, node, "a role is a mapping with users and groups");
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(doc, pair->key);
		yaml_node_t *value = yaml_document_get_node(doc, pair->value);
		const char *name = scalar(key);
		struct names *names = name == NULL ? NULL
		    : strcmp(name, "users") == 0   ? &role->users
		    : strcmp(name, "groups") == 0  ? &role->groups
						   : NULL;
		if (names == NULL)
			return refuse(err, key, "unknown field; a role has users and groups");
		if (names->items != NULL)
			return refuse(err, key, "given twice");
		int r = read_names(doc, value, names, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
read_roles(yaml_document_t *doc, yaml_node_t *node, struct people *people, struct error *err)
{
	if (node != NULL && node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0)
		return 0;
	if (node == NULL || node->type != YAML_MAPPING_NODE)
		return refuse(err, node, "must be a mapping of roles");
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(doc, pair->key);
		const char *name = scalar(key);
		if (name == NULL)
			return refuse(err, key, "a role's name has 1 to 64 bytes");
		if (role_find(people, name) != NULL)
			return refuse(err, key, "this role is given twice");
		if (people->n_roles == PEOPLE_ROLES_MAX)
			return refuse(err, key, "too many roles");
		struct role *role = &people->roles[people->n_roles];
		role->name = strdup(name);
		if (role->name == NULL)
			return error_set(err, ENOMEM, "out_of_memory", "people: out of memory");
		people->n_roles++;
		int r = read_role(doc, yaml_document_get_node(doc, pair->value), role, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
read_document(yaml_document_t *doc, struct people *people, struct error *err)
{
	yaml_node_t *root = yaml_document_get_root_node(doc);
	if (root == NULL || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
		return 0; /* empty, or comments only */
	if (root->type != YAML_MAPPING_NODE)
		return error_set(
		    err, EINVAL, "config_invalid", "configuration:1:1: must be a mapping");
	bool seen = false;
	for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
	     pair < root->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(doc, pair->key);
		const char *name = scalar(key);
		if (name == NULL || strcmp(name, "people") != 0)
			continue;
		if (seen)
			return refuse(err, key, "given twice");
		seen = true;
		int r = read_roles(doc, yaml_document_get_node(doc, pair->value), people, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
read_config(const struct buf *config, struct people *people, struct error *err)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	if (!yaml_parser_initialize(&parser))
		return error_set(err, ENOMEM, "out_of_memory", "people: out of memory");
	const char *text = buf_str(config);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, config->len);
	int r = 0;
	if (!yaml_parser_load(&parser, &doc)) {
		r = error_set(err, EINVAL, "config_invalid", "configuration:%zu:%zu: %s",
		    parser.problem_mark.line + 1, parser.problem_mark.column + 1,
		    parser.problem != NULL ? parser.problem : "not YAML");
	} else {
		r = read_document(&doc, people, err);
		yaml_document_delete(&doc);
	}
	yaml_parser_delete(&parser);
	return r;
}

/* ---- life ---- */

int
people_parse(const struct buf *config, const struct buf *passwd, const struct buf *group,
    struct people **ret, struct error *err)
{
	struct people *people = calloc(1, sizeof(*people));
	if (people == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "people: out of memory");
	people->passwd = strdup(buf_str(passwd));
	people->group = strdup(buf_str(group));
	int r = people->passwd != NULL && people->group != NULL
	    ? read_config(config, people, err)
	    : error_set(err, ENOMEM, "out_of_memory", "people: out of memory");
	if (r < 0) {
		people_free(people);
		return r;
	}
	*ret = people;
	return 0;
}

static int
read_fd(int fd, const char *what, struct buf *out, struct error *err)
{
	off_t at = 0;
	for (;;) {
		uint8_t *room = buf_reserve(out, 16 * 1024);
		if (room == NULL)
			return error_set(err, EFBIG, "config_too_large", "%s: larger than %d bytes",
			    what, PEOPLE_FILE_MAX);
		ssize_t n = pread(fd, room, 16 * 1024, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "config_unreadable", "%s", what);
		if (n == 0)
			return 0;
		buf_grew(out, (size_t)n);
		at += n;
	}
}

int
people_read(int config_fd, int passwd_fd, int group_fd, struct people **ret, struct error *err)
{
	_cleanup_buf_ struct buf config, passwd, group;
	buf_init(&config, PEOPLE_FILE_MAX);
	buf_init(&passwd, PEOPLE_FILE_MAX);
	buf_init(&group, PEOPLE_FILE_MAX);
	int r = read_fd(config_fd, "configuration", &config, err);
	if (r == 0)
		r = read_fd(passwd_fd, "passwd", &passwd, err);
	if (r == 0)
		r = read_fd(group_fd, "group", &group, err);
	if (r < 0)
		return r;
	return people_parse(&config, &passwd, &group, ret, err);
}

static void
names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

struct people *
people_free(struct people *people)
{
	if (people == NULL)
		return NULL;
	for (size_t i = 0; i < people->n_roles; i++) {
		free(people->roles[i].name);
		names_done(&people->roles[i].users);
		names_done(&people->roles[i].groups);
	}
	free(people->passwd);
	free(people->group);
	free(people);
	return NULL;
}
