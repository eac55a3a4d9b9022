/* The configuration of the network boundary: what is written is read, what is wrong is named with its place. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/config.h"

static struct config *
load(const char *text)
{
	struct config *config = NULL;
	struct error err = {.code = ""};
	if (config_load(text, strlen(text), "config.yaml", &config, &err) < 0)
		fail_msg("%s\n%s", err.message, text);
	return config;
}

static void
nothing_given_means_the_defaults(void **state)
{
	static const char *const empty[] = {"", "\n\n", "# only a comment\n  # and another\n",
	    "people:\n  operator: {users: [alice]}\n", "network:\nvault:\n", "network: {}\n",
	    "---\n", "vault: {}\n"};
	for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
		struct config *c = load(empty[i]);
		assert_int_equal(c->n_resolvers, 0);
		assert_string_equal(c->authorities, CONFIG_AUTHORITIES);
		assert_null(c->master_key_file);
		assert_null(c->master_key_command);
		config_free(c);
	}
}

static void
issuers_are_pinned_by_host_and_port(void **state)
{
	struct config *c =
	    load("network: {issuers: [api.github.com, \"login.example.com:8443\"]}\n");
	assert_true(config_pins_issuer(c, "api.github.com", 443));
	assert_true(config_pins_issuer(c, "login.example.com", 8443));
	assert_false(config_pins_issuer(c, "login.example.com", 443));
	assert_false(config_pins_issuer(c, "api.github.com", 80));
	assert_false(config_pins_issuer(c, "github.com", 443));
	assert_false(config_pins_issuer(c, "", 443));
	assert_false(config_pins_issuer(NULL, "api.github.com", 443));
	config_free(c);
	c = load("network: {}\n");
	assert_false(config_pins_issuer(c, "api.github.com", 443));
	config_free(c);
	static const char *const wrong[] = {"\"*.github.com\"", "API.github.com", "\"a.example:0\"",
	    "\"a.example:65536\"", "\":443\"", "\"https://a.example\"", "\"a.example:x\"",
	    "a.example/x", "{host: a}"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char text[128];
		struct config *none = NULL;
		struct error err = {.code = ""};
		(void)snprintf(text, sizeof(text), "network: {issuers: [%s]}\n", wrong[i]);
		if (config_load(text, strlen(text), "config.yaml", &none, &err) == 0)
			fail_msg("%s", text);
		assert_string_equal(err.code, "config_invalid");
	}
}

static void
every_field_is_read(void **state)
{
	struct config *c = load("people:\n  operator: {users: [alice]}\n"
				"network:\n"
				"  resolvers: [127.0.0.1:5353, 10.0.0.53, \"::1\", "
				"\"[2001:db8::53]:5300\", \"[::1]\"]\n"
				"  authorities: /srv/bundle.pem\n"
				"vault:\n  master_key: {file: /srv/key}\n");
	static const struct config_resolver expected[] = {{"127.0.0.1", 5353}, {"10.0.0.53", 53},
	    {"::1", 53}, {"2001:db8::53", 5300}, {"::1", 53}};
	assert_int_equal(c->n_resolvers, ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_string_equal(c->resolvers[i].address, expected[i].address);
		assert_int_equal(c->resolvers[i].port, expected[i].port);
	}
	assert_string_equal(c->authorities, "/srv/bundle.pem");
	assert_string_equal(c->master_key_file, "/srv/key");
	assert_null(c->master_key_command);
	config_free(c);
	c = load("vault: {master_key: {command: [/bin/kms, decrypt, \"a b\"]}}\n");
	assert_null(c->master_key_file);
	assert_string_equal(c->master_key_command[0], "/bin/kms");
	assert_string_equal(c->master_key_command[1], "decrypt");
	assert_string_equal(c->master_key_command[2], "a b");
	assert_null(c->master_key_command[3]);
	config_free(c);
}

static void
an_error_names_its_line_and_column(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
	    {"network: [a]\n", "config.yaml:1:10: network: expected"},
	    {"network:\n  resolver: [1.1.1.1]\n", "config.yaml:2:3: network"},
	    {"network:\n  resolvers: [dns.example.org]\n",
		"config.yaml:2:15: network.resolvers[0]: \"dns.example.org\": expected an address"},
	    {"network:\n  resolvers: []\n",
		"config.yaml:2:14: network.resolvers: the list is empty"},
	    {"network:\n  resolvers: [1.1.1.1:0]\n", "1.1.1.1:0"},
	    {"network:\n  resolvers: [1.1.1.1:65536]\n", "1.1.1.1:65536"},
	    {"network:\n  resolvers: [\"1.1.1.1:\"]\n", "\"1.1.1.1:\": expected"},
	    {"network:\n  resolvers: [\"[1.1.1.1]:53\"]\n", "[1.1.1.1]:53"},
	    {"network:\n  resolvers: [\"[::1\"]\n", "[::1"},
	    {"network:\n  resolvers: [\"[::1]x\"]\n", "[::1]x"},
	    {"network:\n  resolvers: [010.0.0.1]\n", "010.0.0.1"},
	    {"network:\n  resolvers: [1.1]\n", "1.1"},
	    {"network: {resolvers: [1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
	     "1.1.1.1,1.1.1.1]}\n",
		"too many (8 at most)"},
	    {"network:\n  authorities: bundle.pem\n", "expected an absolute path"},
	    {"vault:\n  master_key: /srv/key\n", "config.yaml:2:15: vault.master_key"},
	    {"vault:\n  master_key: {}\n", "config.yaml:2:15: vault.master_key: expected one of"},
	    {"vault:\n  master_key: {file: /a, command: [/b]}\n", "expected one of"},
	    {"vault:\n  master_key: {file: key}\n", "expected an absolute path"},
	    {"vault:\n  master_key: {command: [kms]}\n", "expected an absolute path first"},
	    {"- network\n", "config.yaml:1:1: expected a mapping"},
	    {"network: {resolvers: [1.1.1.1]\n", "config.yaml:"},
	    {"network: {}\nnetwork: {}\n", "config.yaml:2:1:"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config *c = NULL;
		struct error err = {.code = ""};
		int r = config_load(cases[i].text, strlen(cases[i].text), "config.yaml", &c, &err);
		if (r != -EINVAL || strstr(err.message, cases[i].message) == NULL)
			fail_msg("%d \"%s\" does not say \"%s\"", r, err.message, cases[i].message);
		assert_string_equal(err.code, "config_invalid");
	}
}

static void
what_is_too_large_or_no_text_is_refused(void **state)
{
	struct config *c = NULL;
	struct error err;
	char *large = calloc(1, CONFIG_BYTES_MAX + 1);
	assert_non_null(large);
	assert_int_equal(
	    config_load(large, CONFIG_BYTES_MAX + 1, "config.yaml", &c, &err), -EMSGSIZE);
	assert_string_equal(err.code, "config_invalid");
	assert_int_equal(config_load(large, 5, "config.yaml", &c, &err), -EINVAL);
	assert_int_equal(config_load(large, 5, "config.yaml", &c, NULL), -EINVAL);
	free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_given_means_the_defaults),
	    cmocka_unit_test(every_field_is_read),
	    cmocka_unit_test(issuers_are_pinned_by_host_and_port),
	    cmocka_unit_test(an_error_names_its_line_and_column),
	    cmocka_unit_test(what_is_too_large_or_no_text_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
