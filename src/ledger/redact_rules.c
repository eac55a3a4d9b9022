/* See redact_rules.h. Token formats as their issuers document them. */
#include "ledger/redact_rules.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Sorted by first character: redact_rules_for finds runs. */
static const struct token_rule rules[] = {
    {"AKIA", "aws-key", CHARS_UPPER, 16},
    {"ASIA", "aws-key", CHARS_UPPER, 16},
    {"AIza", "google-key", CHARS_DASH, 30},
    {"dckr_pat_", "docker-token", CHARS_DASH, 20},
    {"dop_v1_", "digitalocean-token", CHARS_ALNUM, 32},
    {"ghp_", "github-token", CHARS_ALNUM, 30},
    {"gho_", "github-token", CHARS_ALNUM, 30},
    {"ghu_", "github-token", CHARS_ALNUM, 30},
    {"ghs_", "github-token", CHARS_ALNUM, 30},
    {"ghr_", "github-token", CHARS_ALNUM, 30},
    {"github_pat_", "github-token", CHARS_WORD, 20},
    {"glpat-", "gitlab-token", CHARS_DASH, 18},
    {"hf_", "huggingface-token", CHARS_ALNUM, 30},
    {"https://hooks.slack.com/services/", "slack-webhook", CHARS_TOKEN68, 20},
    {"npm_", "npm-token", CHARS_ALNUM, 30},
    {"pypi-", "pypi-token", CHARS_DASH, 50},
    {"rk_live_", "stripe-key", CHARS_ALNUM, 16},
    {"rk_test_", "stripe-key", CHARS_ALNUM, 16},
    {"sk_live_", "stripe-key", CHARS_ALNUM, 16},
    {"sk_test_", "stripe-key", CHARS_ALNUM, 16},
    {"sk-", "api-key", CHARS_DASH, 20},
    {"whsec_", "stripe-key", CHARS_TOKEN68, 16},
    {"xoxa-", "slack-token", CHARS_DASH, 10},
    {"xoxb-", "slack-token", CHARS_DASH, 10},
    {"xoxe-", "slack-token", CHARS_DASH, 10},
    {"xoxe.", "slack-token", CHARS_TOKEN68, 10},
    {"xoxp-", "slack-token", CHARS_DASH, 10},
    {"xoxr-", "slack-token", CHARS_DASH, 10},
    {"xoxs-", "slack-token", CHARS_DASH, 10},
    {"xapp-", "slack-token", CHARS_DASH, 10},
};

const struct token_rule *
redact_rules_for(unsigned char first, size_t *ret_n)
{
	size_t n = 0;
	const struct token_rule *start = NULL;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		if ((unsigned char)rules[i].prefix[0] != first)
			continue;
		if (start == NULL)
			start = &rules[i];
		n++;
	}
	*ret_n = n;
	return start;
}

int
redact_is(unsigned char c, unsigned chars)
{
	bool digit = c >= '0' && c <= '9', upper = c >= 'A' && c <= 'Z',
	     lower = c >= 'a' && c <= 'z';
	if (digit || upper)
		return 1;
	if (lower)
		return (chars & ~(unsigned)CHARS_UPPER) != 0;
	if (c == '_')
		return (chars & (CHARS_WORD | CHARS_DASH | CHARS_TOKEN68)) != 0;
	if (c == '-')
		return (chars & (CHARS_DASH | CHARS_TOKEN68)) != 0;
	return (chars & CHARS_TOKEN68) != 0 && c != 0 && strchr(".~+/=", c) != NULL;
}

/* Ends of names, compared without case, dashes, underscores, dots and spaces. */
static const struct {
	const char *suffix;
	const char *kind;
	enum name_reach reach;
} names[] = {
    {"password", "password", REACH_WORD},
    {"passwd", "password", REACH_WORD},
    {"pwd", "password", REACH_WORD},
    {"passphrase", "password", REACH_WORD},
    {"passcode", "password", REACH_WORD},
    {"secret", "secret", REACH_WORD},
    {"token", "token", REACH_WORD},
    {"apikey", "api-key", REACH_WORD},
    {"secretkey", "secret-key", REACH_WORD},
    {"privatekey", "private-key", REACH_WORD},
    {"accesskey", "secret-key", REACH_WORD},
    {"signingkey", "secret-key", REACH_WORD},
    {"encryptionkey", "secret-key", REACH_WORD},
    {"authorization", "credential", REACH_LINE},
    {"cookie", "cookie", REACH_LINE},
    {"connectionstring", "credential", REACH_WORD},
};

static bool
is_separator(char c)
{
	return c == '-' || c == '_' || c == '.' || c == ' ';
}

/* Most names are told apart by their last two letters. */
static bool
may_end(char a, char b)
{
	a |= 0x20;
	switch (b | 0x20) {
	case 'd':
		return a == 'r' || a == 'w';
	case 'e':
		return a == 's' || a == 'd' || a == 'i';
	case 't':
	case 'y':
		return a == 'e';
	case 'n':
		return a == 'e' || a == 'o';
	case 'g':
		return a == 'n';
	default:
		return false;
	}
}

enum name_reach
redact_name(const char *name, size_t len, const char **ret_kind)
{
	/* Only ends count, so only the last characters are looked at. */
	char end[32];
	size_t at = sizeof(end);
	while (len > 0 && is_separator(name[len - 1]))
		len--;
	if (len < 3 || !may_end(name[len - 2], name[len - 1]))
		return REACH_NONE;
	for (size_t i = len; i > 0 && at > 0; i--) {
		char c = name[i - 1];
		if (is_separator(c))
			continue;
		end[--at] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	size_t got = sizeof(end) - at;
	/* The working directory, not a password. */
	if ((got == 3 && memcmp(end + at, "pwd", 3) == 0) ||
	    (got == 6 && memcmp(end + at, "oldpwd", 6) == 0))
		return REACH_NONE;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i].suffix);
		if (got >= n && memcmp(end + sizeof(end) - n, names[i].suffix, n) == 0) {
			*ret_kind = names[i].kind;
			return names[i].reach;
		}
	}
	return REACH_NONE;
}
