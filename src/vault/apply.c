#include "vault/apply.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "proto/issuer.h"
#include "vault/vault.h"

int
apply_derive(const struct json *head, int len, char scope[SIGV4_SCOPE_MAX])
{
	uint8_t key[SHA256_BYTES] = {0}, *room = vault_room();
	char date[9];
	sigv4_date(clock_wall_ms(), date);
	(void)snprintf(scope, SIGV4_SCOPE_MAX, "%s/%s/%s", date, json_get_str(head, "region", ""),
	    json_get_str(head, "service", ""));
	room[len] = 0;
	int r = sigv4_derive((const char *)room, scope, key);
	vault_room_wipe();
	hex_encode(key, sizeof(key), (char *)room);
	explicit_bzero(key, sizeof(key));
	return r < 0 ? r : SHA256_HEX - 1;
}

struct json *
apply_of_secret(const struct json *head, const char *scope)
{
	struct json *apply = json_new_object();
	const char *header = json_get_str(head, "header", NULL);
	const char *user = json_get_str(head, "user", NULL);
	(void)json_set_str(apply, "as", json_get_str(head, "as", ""));
	if (scope != NULL)
		(void)json_set_str(apply, "name", scope);
	else if (header != NULL)
		(void)json_set_str(apply, "name", header);
	if (user != NULL)
		(void)json_set_str(apply, "user", user);
	return apply;
}

struct json *
apply_of_token(const char *as, bool git)
{
	struct json *apply = json_new_object();
	bool basic = git && strcmp(as, ISSUER_GITHUB) == 0;
	(void)json_set_str(apply, "as", basic ? "basic" : "bearer");
	if (basic)
		(void)json_set_str(apply, "user", "x-access-token");
	return apply;
}
