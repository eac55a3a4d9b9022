/* Reading what the dialer needs of the host, as whoever the supervisor is, before the locks. */
#include "dialer/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/config.h"
#include "proto/address.h"
#include "proto/hostname.h"

#define FILE_MAX (8 * 1024 * 1024)
#define RESOLVERS_TEXT 1024
#define RESOLV_CONF_MAX 3 /* name servers that resolv.conf(5) knows */

/* ---- files ---- */

/* Appends all of FD. 0 or -errno. */
static int
read_all(int fd, struct buf *out)
{
	for (;;) {
		uint8_t *room = buf_reserve(out, 16 * 1024);
		if (room == NULL)
			return -EFBIG;
		ssize_t n = read(fd, room, 16 * 1024);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			buf_grew(out, (size_t)n);
	}
}

/* A file that may be absent, as both are in a container: then it is empty. */
static int
read_file(const char *path, struct buf *out, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	int r = fd < 0 ? -errno : read_all(fd, out);
	return r < 0 ? error_set_errno(err, -r, "start_failed", "%s", path) : 0;
}

/* The next word of *TEXT's line, its length in RET_LEN; NULL at the end of the line or a comment. */
static const char *
next_word(const char **text, size_t *ret_len)
{
	const char *word = *text + strspn(*text, " \t\r");
	*ret_len = strcspn(word, " \t\r\n#;");
	*text = word + *ret_len;
	return *ret_len > 0 ? word : NULL;
}

static const char *
next_line(const char *text)
{
	text += strcspn(text, "\n");
	return *text == '\n' ? text + 1 : text;
}

/* WORD as an address, without its zone if it has one. */
static int
word_address(const char *word, size_t len, uint8_t ret[16])
{
	char text[64];
	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, word, len);
	text[len] = '\0';
	return address_parse_any(text, ret);
}

/* ---- resolvers ---- */

static int
add_resolver(struct buf *resolvers, const uint8_t address[16], unsigned port)
{
	char text[ADDRESS_TEXT];
	address_format(address, text);
	bool ipv4 = address_is_ipv4(address);
	return buf_addf(resolvers, "%s%s%s%s:%u", resolvers->len > 0 ? "," : "", ipv4 ? "" : "[",
	    text, ipv4 ? "" : "]", port);
}

int
settings_resolv_conf(const char *text, struct buf *resolvers)
{
	int found = 0;
	for (; *text != '\0' && found < RESOLV_CONF_MAX; text = next_line(text)) {
		size_t len;
		uint8_t address[16];
		const char *at = text, *word = next_word(&at, &len);
		if (word == NULL || len != strlen("nameserver") ||
		    strncmp(word, "nameserver", len) != 0)
			continue;
		word = next_word(&at, &len);
		if (word == NULL || word_address(word, len, address) < 0)
			continue;
		int r = add_resolver(resolvers, address, 53);
		if (r < 0)
			return r;
		found++;
	}
	return 0;
}

static int
configured_resolvers(const struct config *config, struct buf *resolvers, struct error *err)
{
	for (size_t i = 0; i < config->n_resolvers; i++) {
		const struct config_resolver *c = &config->resolvers[i];
		uint8_t address[16];
		if (address_parse_any(c->address, address) < 0)
			return error_set(err, EINVAL, "config_invalid",
			    "config.yaml: network.resolvers[%zu]: %s is not an address", i,
			    c->address);
		if (add_resolver(resolvers, address, c->port) < 0)
			return error_set(err, ENOMEM, "no_memory", "out of memory");
	}
	return 0;
}

static int
read_resolvers(int config_fd, struct settings *settings, struct error *err)
{
	_cleanup_buf_ struct buf text, system;
	buf_init(&text, CONFIG_BYTES_MAX + 16 * 1024);
	buf_init(&system, FILE_MAX);
	int r = read_all(config_fd, &text);
	if (r < 0)
		return error_set_errno(err, -r, "config_unreadable", "config.yaml");
	struct config *config;
	r = config_load(buf_str(&text), text.len, "config.yaml", &config, err);
	if (r < 0)
		return r;
	r = configured_resolvers(config, &settings->resolvers, err);
	config_free(config);
	if (r < 0 || settings->resolvers.len > 0)
		return r;
	r = read_file("/etc/resolv.conf", &system, err);
	if (r < 0)
		return r;
	r = settings_resolv_conf(buf_str(&system), &settings->resolvers);
	/* resolv.conf(5): without any, the one of this host. */
	if (r == 0 && settings->resolvers.len == 0)
		r = buf_add_str(&settings->resolvers, "127.0.0.1:53");
	return r < 0 ? error_set(err, ENOMEM, "no_memory", "out of memory") : 0;
}

/* ---- /etc/hosts ---- */

static int
add_host(struct settings *settings, const char *word, size_t len, const uint8_t address[16])
{
	char name[HOSTNAME_TEXT];
	if (hostname_canonical(word, len, name) < 0 || settings->n_hosts >= HOSTS_MAX)
		return 0;
	if ((settings->n_hosts & (settings->n_hosts - 1)) == 0) { /* 0 or a power of two: full */
		size_t room = settings->n_hosts == 0 ? 1 : 2 * settings->n_hosts;
		struct host *hosts = reallocarray(settings->hosts, room, sizeof(*hosts));
		if (hosts == NULL)
			return -ENOMEM;
		settings->hosts = hosts;
	}
	struct host *host = &settings->hosts[settings->n_hosts];
	host->name = strdup(name);
	if (host->name == NULL)
		return -ENOMEM;
	memcpy(host->address, address, sizeof(host->address));
	settings->n_hosts++;
	return 0;
}

int
settings_hosts(const char *text, struct settings *settings)
{
	for (; *text != '\0'; text = next_line(text)) {
		size_t len;
		uint8_t address[16];
		const char *at = text, *word = next_word(&at, &len);
		if (word == NULL || word_address(word, len, address) < 0)
			continue;
		while ((word = next_word(&at, &len)) != NULL) {
			int r = add_host(settings, word, len, address);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

size_t
settings_find(const struct settings *settings, const char *name, uint8_t (*ret)[16], size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < settings->n_hosts && n < max; i++)
		if (strcmp(settings->hosts[i].name, name) == 0)
			memcpy(ret[n++], settings->hosts[i].address, 16);
	return n;
}

static int
read_hosts(struct settings *settings, struct error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, FILE_MAX);
	int r = read_file("/etc/hosts", &text, err);
	if (r < 0)
		return r;
	r = settings_hosts(buf_str(&text), settings);
	return r < 0 ? error_set(err, ENOMEM, "no_memory", "out of memory") : 0;
}

/* ---- all ---- */

int
settings_read(int config_fd, struct settings *ret, struct error *err)
{
	*ret = (struct settings){.hosts = NULL};
	buf_init(&ret->resolvers, RESOLVERS_TEXT);
	int r = read_resolvers(config_fd, ret, err);
	if (r == 0)
		r = read_hosts(ret, err);
	if (r < 0)
		settings_done(ret);
	return r;
}

void
settings_done(struct settings *settings)
{
	buf_done(&settings->resolvers);
	for (size_t i = 0; i < settings->n_hosts; i++)
		free(settings->hosts[i].name);
	free(settings->hosts);
	*settings = (struct settings){.hosts = NULL};
}
