/* The report of `policy unused` for people. Names come from policies and the ledger: all are escaped. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policytool/tool.h"

static const char *
text_of(const struct json *object, const char *name)
{
	return json_get_str(object, name, "?");
}

/* VALUE of SETTING as a policy writes it: "64MiB", "10s", "128". */
static void
print_amount(const char *setting, int64_t value)
{
	static const struct {
		const char *name;
		int64_t factor;
	} bytes[] = {{"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}},
	  times[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}};
	const char *unit = strrchr(setting, '_');
	bool is_bytes = unit != NULL && strcmp(unit, "_bytes") == 0;
	bool is_time = unit != NULL && strcmp(unit, "_ms") == 0;
	for (size_t i = 0; i < 3 && (is_bytes || is_time) && value > 0; i++) {
		int64_t factor = is_bytes ? bytes[i].factor : times[i].factor;
		if (value % factor != 0)
			continue;
		(void)printf(
		    "%" PRId64 "%s", value / factor, is_bytes ? bytes[i].name : times[i].name);
		return;
	}
	(void)printf("%" PRId64 "%s", value, is_bytes ? "B" : is_time ? "ms" : "");
}

/* What was seen, rounded up to a unit that people read. */
static void
print_seen(const char *setting, int64_t value)
{
	const char *unit = strrchr(setting, '_');
	int64_t step = 1;
	if (unit != NULL && strcmp(unit, "_bytes") == 0)
		step = value > 10LL << 20 ? 1LL << 20 : 1LL << 10;
	print_amount(setting, (value + step - 1) / step * step);
}

static void
print_rules(const struct json *rules)
{
	if (json_len(rules) == 0)
		return;
	(void)printf("Rules that decided nothing\n");
	for (size_t i = 0; i < json_len(rules); i++) {
		const struct json *rule = json_at(rules, i);
		const char *last = json_get_str(rule, "last", NULL);
		(void)printf("  ");
		tool_print_text(text_of(rule, "rule"));
		(void)printf("  (%s %s)  ", text_of(rule, "effect"), text_of(rule, "kind"));
		if (last != NULL)
			(void)printf("last on %s, before this time\n", last);
		else
			(void)printf("never, as far as the ledger goes back\n");
	}
}

static void
print_members(const struct json *members)
{
	if (json_len(members) == 0)
		return;
	(void)printf("List members that no decision needed\n");
	for (size_t i = 0; i < json_len(members); i++) {
		const struct json *one = json_at(members, i), *list = json_get(one, "members");
		(void)printf("  ");
		tool_print_text(text_of(one, "rule"));
		(void)printf("  %s: ", text_of(one, "field"));
		for (size_t k = 0; k < json_len(list); k++) {
			(void)printf("%s", k > 0 ? ", " : "");
			tool_print_text(json_str(json_at(list, k), "?"));
		}
		(void)putchar('\n');
	}
}

static void
print_limits(const struct json *limits)
{
	bool first = true;
	for (size_t i = 0; i < json_len(limits); i++) {
		const struct json *one = json_at(limits, i);
		const char *setting = text_of(one, "setting");
		if (!json_get_bool(one, "unused", false))
			continue;
		if (first)
			(void)printf("Limits that were never half used\n");
		first = false;
		(void)printf("  %s: ", text_of(one, "limit"));
		print_amount(setting, json_get_int(one, "value", 0));
		(void)printf(", at most ");
		print_seen(setting, json_get_int(one, "most_seen", 0));
		(void)printf(" in %" PRId64 " run%s; ", json_get_int(one, "runs", 0),
		    json_get_int(one, "runs", 0) == 1 ? "" : "s");
		print_amount(setting, json_get_int(one, "suggestion", 0));
		(void)printf(" would have been enough twice over\n");
	}
}

static void
print_reviews(const struct json *reviews)
{
	bool first = true;
	for (size_t i = 0; i < json_len(reviews); i++) {
		const struct json *one = json_at(reviews, i);
		const char *always = json_get_str(one, "always", NULL);
		if (always == NULL)
			continue;
		if (first)
			(void)printf("Reviews that always ended alike\n");
		first = false;
		bool approved = strcmp(always, "approved") == 0;
		(void)printf("  ");
		tool_print_text(text_of(one, "rule"));
		(void)printf(": %" PRId64 " %s, none %s; %s\n", json_get_int(one, always, 0),
		    always, approved ? "denied" : "approved",
		    approved ? "is anybody deciding?" : "a deny rule would say the same at once");
	}
}

/* What rules of `program: any` were used for: they could name it. */
static void
print_programs(const struct json *rules)
{
	bool first = true;
	for (size_t i = 0; i < json_len(rules); i++) {
		const struct json *rule = json_at(rules, i), *programs = json_get(rule, "programs");
		if (json_len(programs) == 0 || json_get_bool(rule, "more_programs", false))
			continue;
		if (first)
			(void)printf(
			    "Rules that permit any program, and all that they were used for\n");
		first = false;
		(void)printf("  ");
		tool_print_text(text_of(rule, "rule"));
		for (size_t k = 0; k < json_len(programs); k++) {
			(void)printf("%s", k == 0 ? ": " : ", ");
			tool_print_text(json_name_at(programs, k));
		}
		(void)putchar('\n');
	}
}

static void
print_texts(const char *title, const struct json *texts)
{
	if (json_len(texts) == 0)
		return;
	(void)printf("%s\n", title);
	for (size_t i = 0; i < json_len(texts); i++) {
		(void)printf("  ");
		tool_print_text(json_str(json_at(texts, i), "?"));
		(void)putchar('\n');
	}
}

static void
print_others(const struct json *others)
{
	if (json_len(others) == 0)
		return;
	(void)printf("Not looked at: decisions by other policies\n");
	for (size_t i = 0; i < json_len(others); i++) {
		(void)printf("  ");
		tool_print_text(json_name_at(others, i));
		(void)printf(": %" PRId64 "\n", json_int(json_at(others, i), 0));
	}
}

void
unused_print(const struct json *report)
{
	int64_t decisions = json_get_int(report, "decisions", 0);
	(void)printf("policy ");
	tool_print_text(text_of(report, "policy"));
	(void)printf(", generation %.12s: %" PRId64 " decision%s since %s\n",
	    text_of(report, "hash"), decisions, decisions == 1 ? "" : "s",
	    text_of(report, "since"));
	print_rules(json_get(report, "unused_rules"));
	print_members(json_get(report, "unused_members"));
	print_programs(json_get(report, "rules"));
	print_limits(json_get(report, "limits"));
	print_reviews(json_get(report, "reviews"));
	print_texts("Cannot tell", json_get(report, "unknown"));
	print_others(json_get(report, "others"));
}
