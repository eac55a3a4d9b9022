/* What each rule really permits, in sentences, and what it does not bound.
 *
 * A policy says what is asked for; its readers need to know what follows from that. The notes are
 * facts about the enforcement, not advice: a program that runs other programs does so within the
 * sandbox, whatever the arguments that it was allowed to have. */
#include <stdio.h>
#include <string.h>

#include "policy/model.h"
#include "policy/powers.h"

static void
note(struct json *notes, const char *text)
{
	(void)json_push(notes, json_new_string(text));
}

/* ---- what is permitted ---- */

static void
say_list(struct buf *out, const char *label, const struct list *list, const char *absent)
{
	if (list->mode == LIST_ABSENT && absent == NULL)
		return;
	(void)buf_addf(out, "%s%s ", out->len > 0 ? "; " : "", label);
	if (list->mode != LIST_ITEMS)
		(void)buf_add_str(out,
		    list->mode == LIST_ANY        ? "any"
			: list->mode == LIST_NONE ? "none"
						  : absent);
	for (size_t i = 0; i < list->n; i++)
		(void)buf_addf(out, "%s%s", i > 0 ? ", " : "", list->items[i]);
}

static void
say_ports(struct buf *out, const struct ports *ports, const char *absent)
{
	(void)buf_add_str(out, "; ports ");
	if (ports->mode != LIST_ITEMS)
		(void)buf_add_str(out, ports->mode == LIST_ANY ? "any" : absent);
	for (size_t i = 0; i < ports->n; i++) {
		(void)buf_addf(out, "%s%u", i > 0 ? ", " : "", ports->items[i].low);
		if (ports->items[i].high != ports->items[i].low)
			(void)buf_addf(out, "-%u", ports->items[i].high);
	}
}

static void
say_exec(struct buf *out, const struct rule *r)
{
	bool deny = r->effect == VERDICT_DENY;
	const char *rest = deny || !r->bounds_argv ? "any" : "none";
	say_list(out, "program", &r->programs, "any");
	if (!r->bounds_argv) {
		(void)buf_add_str(out, "; arguments any");
	} else {
		say_list(out, "subcommand", &r->subcommands, NULL);
		say_list(out, "options", &r->options, rest);
		say_list(out, "with one of the options", &r->with_options, NULL);
		say_list(out, "operands", &r->operands, rest);
	}
	say_list(out, "added environment", &r->env,
	    r->bounds_argv && !deny ? "only harmless variables" : "any");
}

static void
say_sql(struct buf *out, const struct rule *r)
{
	say_list(out, "database", &r->databases, "any");
	say_list(out, "statements", &r->statements, "any");
	say_list(out, "tables", &r->tables, "any");
	say_list(out, "columns", &r->columns, "any");
	say_list(out, "functions", &r->functions,
	    r->effect == VERDICT_DENY ? "any" : "only harmless built-in ones");
	if (r->where == WHERE_REQUIRED)
		(void)buf_add_str(out, "; update and delete only with WHERE");
	if (r->where == WHERE_MISSING)
		(void)buf_add_str(out, "; update and delete without WHERE");
}

static void
say_permits(struct buf *out, const struct rule *r)
{
	switch (r->kind) {
	case ACTION_EXEC:
		say_exec(out, r);
		break;
	case ACTION_HTTP:
		say_list(out, "methods", &r->methods, "any");
		say_list(out, "schemes", &r->schemes, r->effect == VERDICT_DENY ? "any" : "https");
		say_list(out, "hosts", &r->hosts, "any");
		say_ports(out, &r->ports, r->effect == VERDICT_DENY ? "any" : "443 (80 for http)");
		say_list(out, "paths", &r->paths, "any");
		say_list(out, "upgrades", &r->upgrades, NULL);
		break;
	case ACTION_NET:
		say_list(out, "hosts", &r->hosts, "any");
		say_ports(out, &r->ports, "any");
		break;
	case ACTION_SQL:
		say_sql(out, r);
		break;
	case ACTION_TOOL:
		say_list(out, "tools", &r->tools, "any");
		(void)buf_addf(
		    out, "; arguments %s", r->arguments.items == NULL ? "any" : "as listed");
		break;
	case ACTION_MODEL:
		say_list(out, "providers", &r->providers, "any");
		say_list(out, "models", &r->models, "any");
		break;
	case ACTION_GIT:
		say_list(out, "operations", &r->operations, "any");
		say_list(out, "schemes", &r->schemes, r->effect == VERDICT_DENY ? "any" : "https");
		say_list(out, "hosts", &r->hosts, "any");
		say_ports(out, &r->ports, r->effect == VERDICT_DENY ? "any" : "443 (80 for http)");
		say_list(out, "repositories", &r->repositories, "any");
		say_list(out, "branches", &r->branches, "any");
		break;
	case ACTION_FILE:
		say_list(out, "operations", &r->operations, "any");
		say_list(out, "paths", &r->paths, "any");
		break;
	case ACTION_KINDS:
		break;
	}
}

/* ---- what is not bounded ---- */

/* What programs of KIND do by themselves; LISTED: only named programs exist inside. */
static const char *
say_power(enum power_kind kind, bool listed)
{
	switch (kind) {
	case POWER_COMPUTES:
		return listed
		    ? "interpreters, compute anything and run other programs that are listed"
		    : "interpreters, compute anything and run every program that exists inside";
	case POWER_RUNS:
		return listed ? "run other programs that are listed"
			      : "run other programs, any that exists inside";
	case POWER_LOADS:
		return "load code of any file that may be read and mapped";
	}
	return "";
}

/* One line for all programs of the rule that are of KIND. */
static void
note_power(
    const struct policy *policy, const struct rule *r, enum power_kind kind, struct json *notes)
{
	struct buf line;
	buf_init(&line, 1 << 20);
	for (size_t i = 0; i < r->programs.n; i++) {
		const struct power *power = power_of(r->programs.items[i]);
		if (power == NULL || power->kind != kind)
			continue;
		if (line.len == 0)
			(void)buf_addf(&line, "%s: ",
			    say_power(kind, policy->sandbox.executables == EXECUTABLES_LISTED));
		else
			(void)buf_add_str(&line, ", ");
		(void)buf_addf(&line, "%s (%s)", r->programs.items[i], power->how);
	}
	if (line.len > 0)
		note(notes, buf_str(&line));
	buf_done(&line);
}

/* The same for programs to read: [{"program","power","how"}]. */
static struct json *
powers_json(const struct rule *r)
{
	struct json *list = json_new_array();
	for (size_t i = 0; r->kind == ACTION_EXEC && i < r->programs.n; i++) {
		const struct power *power = power_of(r->programs.items[i]);
		if (power == NULL || r->effect == VERDICT_DENY)
			continue;
		struct json *one = json_new_object();
		(void)json_set_str(one, "program", r->programs.items[i]);
		(void)json_set_str(one, "power", power_kind_name(power->kind));
		(void)json_set_str(one, "how", power->how);
		(void)json_push(list, one);
	}
	return list;
}

static void
note_exec(const struct policy *policy, const struct rule *r, struct json *notes)
{
	bool gate = policy->sandbox.exec_gate == GATE_KERNEL;
	if (r->effect == VERDICT_DENY) {
		note(notes,
		    "a copy of the program under another name is not this program; what bounds it "
		    "is the "
		    "sandbox");
		return;
	}
	if (!gate)
		note(notes,
		    "decides the command that is submitted; what that starts in turn is bounded by "
		    "the files, "
		    "network and limits of the sandbox, not by arguments (exec_gate: kernel is "
		    "off)");
	if (r->programs.mode == LIST_ANY)
		note(notes, "any program that exists inside, interpreters and compilers included");
	for (int kind = POWER_COMPUTES; kind <= POWER_LOADS; kind++)
		note_power(policy, r, (enum power_kind)kind, notes);
}

static void
note_credential(const struct rule *r, const char *what, struct json *notes)
{
	char text[200];
	if (r->credential == NULL)
		return;
	(void)snprintf(text, sizeof(text),
	    "the second lock on %s is the scope of the credential: as narrow as its issuer made it",
	    what);
	note(notes, text);
}

static void
note_rule(const struct policy *policy, const struct rule *r, struct json *notes)
{
	switch (r->kind) {
	case ACTION_EXEC:
		note_exec(policy, r, notes);
		break;
	case ACTION_HTTP:
		if (r->effect != VERDICT_DENY)
			note(notes,
			    "the query string is not bounded, nor the bytes of a body within its "
			    "size and type");
		if (r->effect != VERDICT_DENY && r->upgrades.n > 0)
			note(notes,
			    "what follows the change of protocol is not read: anything can be said "
			    "in it, both ways");
		note_credential(r, "method and path", notes);
		break;
	case ACTION_GIT:
		note_credential(r, "repository and branch", notes);
		break;
	case ACTION_NET:
		if (r->effect != VERDICT_DENY)
			note(notes,
			    "the bytes of the connection are not read, so whatever its server "
			    "offers "
			    "can be done, and anything can leave through it");
		break;
	case ACTION_SQL:
		if (r->effect != VERDICT_DENY && r->columns.mode != LIST_ITEMS)
			note(notes, "all columns of the tables");
		break;
	case ACTION_FILE:
		if (r->effect == VERDICT_ALLOW && r->paths.mode != LIST_ITEMS)
			note(notes,
			    "any path of the workspace that no deny rule takes away, hidden files "
			    "and hooks (.git/hooks) "
			    "included");
		break;
	default:
		break;
	}
	if (r->effect == VERDICT_REVIEW && r->terms.self_approve)
		note(notes,
		    "the requester may approve it (self_approve): conventional, not enforced");
}

struct json *
policy_capabilities(const struct policy *policy)
{
	struct json *list = json_new_array();
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *r = &policy->rules[i];
		struct json *v = json_new_object(), *notes = json_new_array();
		struct buf permits;
		buf_init(&permits, 1 << 20);
		say_permits(&permits, r);
		note_rule(policy, r, notes);
		(void)json_set_str(v, "rule", r->name);
		(void)json_set_str(v, "effect", verdict_name(r->effect));
		(void)json_set_str(v, "kind", kind_names[r->kind]);
		(void)json_set_str(v, "what", buf_str(&permits));
		(void)json_set(v, "notes", notes);
		(void)json_set(v, "powers", powers_json(r));
		(void)json_push(list, v);
		buf_done(&permits);
	}
	return list;
}
