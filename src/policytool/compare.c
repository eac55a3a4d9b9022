/* diff and capabilities: what policies mean, for people. */
#include <stdio.h>
#include <string.h>

#include "policytool/tool.h"

static void
print_json_line(const struct json *v)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	if (json_write(v, &out) == 0)
		tool_print_text(buf_str(&out));
	buf_done(&out);
}

/* "allow by rule x", "deny". */
static void
print_verdict(const struct json *v)
{
	const char *rule = json_get_str(v, "rule", NULL);
	(void)printf("%s", json_get_str(v, "decision", "?"));
	if (rule != NULL)
		(void)printf(" by %s", rule);
}

static void
print_section(const struct json *diff, const char *name, const char *title)
{
	const struct json *list = json_get(diff, name);
	if (json_len(list) == 0)
		return;
	(void)printf("%s\n", title);
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *change = json_at(list, i);
		(void)printf("  ");
		print_verdict(json_get(change, "before"));
		(void)printf(" → ");
		print_verdict(json_get(change, "after"));
		(void)printf("\n    ");
		print_json_line(json_get(change, "action"));
		(void)putchar('\n');
	}
}

static void
print_settings(const struct json *settings)
{
	if (json_len(settings) == 0)
		return;
	(void)printf("Written differently\n");
	for (size_t i = 0; i < json_len(settings); i++) {
		const struct json *change = json_at(settings, i);
		(void)printf("  ");
		tool_print_text(json_get_str(change, "field", "?"));
		(void)printf(": ");
		print_json_line(json_get(change, "before"));
		(void)printf(" → ");
		print_json_line(json_get(change, "after"));
		(void)putchar('\n');
	}
}

static void
print_unknown(const struct json *unknown)
{
	if (json_len(unknown) == 0)
		return;
	(void)printf("Cannot tell\n");
	for (size_t i = 0; i < json_len(unknown); i++) {
		(void)printf("  ");
		tool_print_text(json_str(json_at(unknown, i), "?"));
		(void)putchar('\n');
	}
}

int
tool_diff(const struct tool_args *args)
{
	static const char *const parts[] = {
	    "allowed", "unreviewed", "reviewed", "denied", "settings", "unknown"};
	struct policy *before = tool_load(args->operands[0]);
	struct policy *after = before != NULL ? tool_load(args->operands[1]) : NULL;
	_cleanup_json_ struct json *diff = NULL;
	int r = after != NULL ? policy_diff(before, after, &diff) : 0;
	policy_free(before);
	policy_free(after);
	if (after == NULL)
		return TOOL_TROUBLE;
	if (r < 0)
		return tool_failf("out of memory");
	bool same = true;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		same = same && json_len(json_get(diff, parts[i])) == 0;
	if (args->json)
		return tool_print_json(TAKE_PTR(diff)) != TOOL_YES ? TOOL_TROUBLE
		    : same                                         ? TOOL_YES
								   : TOOL_NO;
	if (same)
		(void)printf("no difference\n");
	print_section(diff, "allowed", "Becomes allowed (with or without review)");
	print_section(diff, "unreviewed", "No longer needs review");
	print_section(diff, "reviewed", "Now needs review");
	print_section(diff, "denied", "Becomes denied");
	print_settings(json_get(diff, "settings"));
	print_unknown(json_get(diff, "unknown"));
	return same ? TOOL_YES : TOOL_NO;
}

int
tool_capabilities(const struct tool_args *args)
{
	struct policy *policy = tool_load(args->operands[0]);
	if (policy == NULL)
		return TOOL_NO;
	_cleanup_json_ struct json *list = policy_capabilities(policy);
	policy_free(policy);
	if (args->json)
		return tool_print_json(TAKE_PTR(list));
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *rule = json_at(list, i), *notes = json_get(rule, "notes");
		(void)printf("%s %s  (%s)\n  ", json_get_str(rule, "effect", "?"),
		    json_get_str(rule, "kind", "?"), json_get_str(rule, "rule", "?"));
		tool_print_text(json_get_str(rule, "what", "?"));
		(void)putchar('\n');
		for (size_t k = 0; k < json_len(notes); k++) {
			(void)printf("  - ");
			tool_print_text(json_str(json_at(notes, k), "?"));
			(void)putchar('\n');
		}
	}
	(void)printf("Everything else is denied.\n");
	return TOOL_YES;
}
