/* The part of config.yaml that the programs of the network boundary read before they lock themselves up:
 *
 *     network:
 *       resolvers: [127.0.0.1:5353, "::1"]     # unless given, those of /etc/resolv.conf
 *       authorities: /path/bundle.pem          # unless given, CONFIG_AUTHORITIES
 *       issuers: [api.github.com, login.example.com:8443]   # who may exchange secrets for tokens; unless given, nobody
 *     vault:
 *       master_key: {file: /path}              # or {command: [/path, argument]}; unless given,
 *                                              # a key file that the vault makes
 *
 * Other keys of the file (`people:`) are not looked at. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "policy/arena.h"

#define CONFIG_BYTES_MAX (1024 * 1024)
#define CONFIG_AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"
#define CONFIG_RESOLVERS_MAX 8
#define CONFIG_ISSUERS_MAX 16

struct config_resolver {
	const char *address; /* a literal IPv4 or IPv6 address, without brackets */
	uint16_t port;       /* 53 unless given */
};

struct config_issuer {
	const char *host; /* lower case, without a trailing dot */
	uint16_t port;    /* 443 unless given */
};

/* All texts belong to the configuration. */
struct config {
	struct config_resolver resolvers[CONFIG_RESOLVERS_MAX];
	size_t n_resolvers; /* 0: not given */
	struct config_issuer issuers[CONFIG_ISSUERS_MAX];
	size_t n_issuers;
	const char *authorities;               /* absolute path */
	const char *master_key_file;           /* absolute path; NULL: not given */
	const char *const *master_key_command; /* argv, ends with NULL; NULL: not given */
	struct arena arena;
};

/* Reads LEN bytes of YAML; NAME stands in errors. None at all (an empty file, /dev/null) is a configuration
 * without anything given. 0 and an owned RET, -EINVAL ("config_invalid") or -EMSGSIZE with ERR as
 * `NAME:line:column: what`, or -ENOMEM. */
int config_load(const char *text, size_t len, const char *name, struct config **ret,
    struct error *err) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct config *config_free(struct config *config);
/* Whether CONFIG (NULL: no) names that issuer. */
bool config_pins_issuer(const struct config *config, const char *host, int port);
