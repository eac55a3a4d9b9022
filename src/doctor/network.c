/* What policies with a network need of this host: authorities that upstreams are vouched for by, resolvers, IPv6. */
#include <stdio.h>
#include <string.h>

#include "doctor/doctor.h"
#include "ipc/paths.h"
#include "policy/config.h"

#define TEXT_MAX (4 << 20)

static char text[TEXT_MAX];

/* Lines of TEXT that begin with WORD. */
static int
count_lines(const char *word)
{
	int n = 0;
	size_t len = strlen(word);
	for (const char *line = text; line != NULL && *line != 0;) {
		n += strncmp(line, word, len) == 0;
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	return n;
}

/* The configuration, if there is one and it is good. */
static struct config *
load_config(struct finding *ret)
{
	char path[PATHS_MAX];
	struct config *config = NULL;
	struct error err = {0};
	if (paths_config_file(path, &err) < 0)
		path[0] = 0;
	doctor_read_all(path, text, sizeof(text));
	if (config_load(text, strlen(text), "config.yaml", &config, &err) < 0) {
		finding_set(ret, STATE_WEAKER, "%.300s", err.message);
		finding_fix(ret, "correct %.300s; until then no policy with a network runs", path);
		return NULL;
	}
	return config;
}

void
check_network(struct finding *ret)
{
	struct config *config = load_config(ret);
	if (config == NULL)
		return;
	const char *bundle = config->authorities != NULL ? config->authorities : CONFIG_AUTHORITIES;
	doctor_read_all(bundle, text, sizeof(text));
	int authorities = count_lines("-----BEGIN CERTIFICATE-----");
	doctor_read_all("/etc/resolv.conf", text, sizeof(text));
	int resolvers =
	    config->n_resolvers > 0 ? (int)config->n_resolvers : count_lines("nameserver ");
	bool ipv6 = doctor_exists("/proc/net/if_inet6");
	(void)json_set_str(finding_facts(ret), "authorities", bundle);
	(void)json_set_int(finding_facts(ret), "authorities_found", authorities);
	(void)json_set_int(finding_facts(ret), "resolvers", resolvers);
	(void)json_set_bool(finding_facts(ret), "ipv6", ipv6);
	finding_set(ret, authorities > 0 && resolvers > 0 ? STATE_OK : STATE_WEAKER,
	    "%d authorit%s in %.150s, %d resolver%s, %s", authorities,
	    authorities == 1 ? "y" : "ies", bundle, resolvers, resolvers == 1 ? "" : "s",
	    ipv6 ? "IPv4 and IPv6" : "IPv4 alone");
	if (authorities == 0)
		finding_fix(ret,
		    "install the ca-certificates package, or name a bundle in config.yaml "
		    "(network: authorities:); until then no policy with a network runs");
	else if (resolvers == 0)
		finding_fix(ret,
		    "name resolvers in /etc/resolv.conf or in config.yaml (network: resolvers:); "
		    "until then sandboxes reach addresses, but no names");
	config_free(config);
}
