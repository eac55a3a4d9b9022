/* resolv.conf and hosts as rf-dialer reads them: any text gives at most three servers, and names that are canonical. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dialer/settings.h"
#include "proto/hostname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings settings = {.hosts = NULL};
	uint8_t found[4][16];
	char *text = calloc(1, size + 1);
	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	buf_init(&settings.resolvers, 1024);
	if (settings_resolv_conf(text, &settings.resolvers) < 0 ||
	    settings_hosts(text, &settings) < 0)
		abort();
	unsigned commas = 0;
	for (const char *p = buf_str(&settings.resolvers); *p != '\0'; p++)
		commas += *p == ',';
	if (commas > 2 || settings.n_hosts > HOSTS_MAX)
		abort();
	for (size_t i = 0; i < settings.n_hosts; i++)
		if (!hostname_is_canonical(settings.hosts[i].name) ||
		    settings_find(&settings, settings.hosts[i].name, found, 4) == 0)
			abort();
	settings_done(&settings);
	free(text);
	return 0;
}
