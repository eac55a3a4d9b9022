/* init, check, test, explain, schema, show: what needs nothing but the file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "policytool/tool.h"
#include "policy/tree.h"

/* ---- init ---- */

static int
write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int
tool_init(const struct tool_args *args)
{
	const char *file = args->n > 0 ? args->operands[0] : "policy.yaml";
	if (strcmp(file, "-") == 0)
		return fputs(starter_policy, stdout) < 0 ? TOOL_TROUBLE : TOOL_YES;
	_cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return tool_failf(
		    "%s: exists already, and is left as it is; name another file", file);
	if (fd < 0)
		return tool_failf("%s: %s", file, strerror(errno));
	int r = write_all(fd, starter_policy, strlen(starter_policy));
	if (r < 0) {
		(void)unlink(file);
		return tool_failf("%s: %s", file, strerror(-r));
	}
	(void)printf("wrote %s; next: ringfence policy check %s, then ringfence run --policy %s -- "
		     "COMMAND\n",
	    file, file, file);
	return TOOL_YES;
}

/* ---- check, test ---- */

static void
print_notes(const struct policy *policy)
{
	struct buf missing;
	buf_init(&missing, 1 << 20);
	if (!policy_enforceable(policy, &missing)) {
		(void)printf("note: `ringfence run` refuses it for now, because this build cannot "
			     "enforce:\n");
		for (const char *line = buf_str(&missing); *line != 0;) {
			size_t n = strcspn(line, "\n");
			(void)printf("  %.*s\n", (int)n, line);
			line += n + (line[n] == '\n');
		}
	}
	buf_clear(&missing);
	policy_notes(policy, &missing);
	for (const char *line = buf_str(&missing); *line != 0;) {
		size_t n = strcspn(line, "\n");
		(void)printf("note: %.*s\n", (int)n, line);
		line += n + (line[n] == '\n');
	}
	if (policy_needs_two_people(policy))
		(void)printf("note: its reviews need another person than the requester (or "
			     "review.self_approve: "
			     "true)\n");
	buf_done(&missing);
}

int
tool_check(const struct tool_args *args)
{
	struct policy *policy = tool_load(args->operands[0]);
	if (policy == NULL)
		return TOOL_NO;
	(void)printf("%s: valid; policy %s, generation %s\n", args->operands[0],
	    policy_name(policy), policy_hash(policy));
	print_notes(policy);
	policy_free(policy);
	return TOOL_YES;
}

static void
print_test(const char *file, const struct json *test)
{
	if (json_get_bool(test, "ok", false)) {
		const char *rule = json_get_str(test, "rule", NULL);
		(void)printf("ok    %s:%lld %s%s%s\n", file,
		    (long long)json_get_int(test, "line", 0), json_get_str(test, "got", "?"),
		    rule != NULL ? " by " : "", rule != NULL ? rule : "");
		return;
	}
	(void)printf("FAIL  ");
	tool_print_text(json_get_str(test, "message", "?"));
	(void)putchar('\n');
}

int
tool_test(const struct tool_args *args)
{
	struct source source;
	struct error err = {.code = ""};
	struct policy *policy = NULL;
	_cleanup_json_ struct json *tests = NULL;
	int r = source_read(args->operands[0], &source, &err);
	if (r == 0)
		r = policy_load_testing(
		    buf_str(&source.text), source.text.len, source.name, &policy, &tests, &err);
	source_done(&source);
	policy_free(policy);
	if (r < 0) {
		(void)tool_fail(&err);
		return TOOL_NO;
	}
	size_t failed = 0;
	for (size_t i = 0; i < json_len(tests); i++)
		failed += !json_get_bool(json_at(tests, i), "ok", false);
	if (args->json)
		return tool_print_json(TAKE_PTR(tests)) != TOOL_YES ? TOOL_TROUBLE
		    : failed > 0                                    ? TOOL_NO
								    : TOOL_YES;
	for (size_t i = 0; i < json_len(tests); i++)
		print_test(args->operands[0], json_at(tests, i));
	(void)printf("%zu of %zu tests passed\n", json_len(tests) - failed, json_len(tests));
	return failed > 0 ? TOOL_NO : TOOL_YES;
}

/* ---- explain ---- */

static int
read_action(const char *where, struct json **ret, struct error *err)
{
	struct source source;
	int r = source_read(where, &source, err);
	if (r == 0)
		r = json_parse(buf_str(&source.text), source.text.len, ret, err);
	source_done(&source);
	if (r < 0)
		return r;
	/* A hand-written action may leave out what only the ledger needs. */
	if (json_type(*ret) == JSON_OBJECT && json_get(*ret, "target") == NULL)
		(void)json_set_str(*ret, "target", json_get_str(*ret, "kind", "?"));
	return action_validate(*ret, err);
}

static void
print_decision(const struct decision *d)
{
	(void)printf("%s", verdict_name(d->verdict));
	if (d->rule != NULL)
		(void)printf(" by rule %s", d->rule);
	(void)printf("\n  why         ");
	tool_print_text(d->reason);
	if (d->needed[0] != 0) {
		(void)printf("\n  needed      ");
		tool_print_text(d->needed);
	}
	(void)printf("\n  reversible  %s\n  risk        %d (%s)\n", d->reversible ? "yes" : "no",
	    d->risk, risk_band_name(d->band));
	for (size_t i = 0; i < d->n_parts; i++) {
		(void)printf("    +%-3d %-14s ", d->parts[i].points, d->parts[i].name);
		tool_print_text(d->parts[i].reason);
		(void)putchar('\n');
	}
	if (d->verdict != VERDICT_REVIEW)
		return;
	(void)printf("  approvals  ");
	for (size_t i = 0; i < d->review.n_approvals; i++)
		(void)printf("%s%s", i > 0 ? ", " : " ", d->review.approvals[i]);
	(void)printf("%s\n  timeout     %lld s, then denied\n",
	    d->review.self_approve ? " (the requester may, conventional)" : ", not the requester",
	    (long long)d->review.timeout_ms / 1000);
}

int
tool_explain(const struct tool_args *args)
{
	struct error err = {.code = ""};
	_cleanup_json_ struct json *action = NULL;
	if (args->action == NULL)
		return tool_failf("usage: ringfence policy explain [POLICY] --action FILE (JSON, "
				  "as in doc/action.md)");
	if (read_action(args->action, &action, &err) < 0) {
		(void)tool_failf("--action %s: %s", args->action, err.message);
		return TOOL_NO;
	}
	struct policy *policy = tool_load(args->n > 0 ? args->operands[0] : "isolated");
	if (policy == NULL)
		return TOOL_NO;
	struct decision decision;
	int r = TOOL_YES;
	policy_decide(policy, action, &decision);
	if (args->json)
		r = tool_print_json(decision_to_json(&decision));
	else
		print_decision(&decision);
	policy_free(policy);
	return r;
}

/* ---- schema, show ---- */

int
tool_schema(const struct tool_args *args)
{
	return tool_print_json(policy_schema());
}

int
tool_show(const struct tool_args *args)
{
	struct source source;
	struct error err = {.code = ""};
	int r = source_read(args->operands[0], &source, &err);
	if (r == 0 && args->json) {
		struct arena arena;
		struct node *tree;
		arena_init(&arena, 64u << 20);
		r = tree_parse(
		    buf_str(&source.text), source.text.len, source.name, &arena, &tree, &err);
		if (r == 0)
			r = tool_print_json(tree_json(tree));
		arena_done(&arena);
	} else if (r == 0) {
		(void)fwrite(buf_str(&source.text), 1, source.text.len, stdout);
	}
	source_done(&source);
	return r < 0 ? tool_fail(&err) : r;
}
