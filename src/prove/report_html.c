/* The result as one page, to keep and to print: a table for each boundary, in light and dark, without scripts,
 * and loading nothing. */
#include <errno.h>

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "prove/prove.h"

#define PAGE_MAX (16 << 20)

static const char style[] =
    ":root{--paper:#fbfaf7;--ink:#1d1f21;--soft:#6b6f76;--line:#dedbd3;--good:#1a7f4b;--bad:#"
    "b3261e;"
    "--odd:#8a6100;--wash:#f1efe8}"
    "@media(prefers-color-scheme:dark){:root{--paper:#15171a;--ink:#e6e4df;--soft:#9a9da3;"
    "--line:#2e3238;--good:#58c98d;--bad:#ff8a80;--odd:#e6b95c;--wash:#1d2024}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:66rem;margin:0 auto;padding:3rem 1.5rem 4rem}"
    "h1{font-size:2.4rem;line-height:1.15;letter-spacing:-.02em;margin:.2rem 0 "
    ".6rem;font-weight:650}"
    "h2{font-size:1.2rem;margin:3rem 0 .6rem;font-weight:650}"
    "h2::first-letter{text-transform:uppercase}"
    "p{max-width:44rem;margin:.5rem 0}"
    ".soft,.from{color:var(--soft)}.from{font-size:.9rem;letter-spacing:.02em}"
    ".sums{display:flex;flex-wrap:wrap;gap:.6rem 2.2rem;margin:1.6rem 0 0;padding:1rem 0;"
    "border:solid var(--line);border-width:1px 0}"
    ".sums div{min-width:6rem}.sums "
    "b{display:block;font-size:1.7rem;line-height:1.2;font-weight:600;"
    "font-variant-numeric:tabular-nums}"
    "table{border-collapse:collapse;width:100%;font-size:.92rem}"
    "th{text-align:left;font-weight:500;color:var(--soft);font-size:.82rem;border-bottom:1px solid "
    "var(--line);padding:.3rem .8rem .3rem 0}"
    "td{vertical-align:top;padding:.55rem .8rem .55rem 0;border-bottom:1px solid var(--line)}"
    "td:first-child{width:40%}td:last-child,th:last-child{padding-right:0;white-space:nowrap}"
    "code{font:.82rem ui-monospace,monospace;color:var(--soft)}"
    ".good{color:var(--good)}.bad{color:var(--bad);font-weight:600}.odd{color:var(--odd)}"
    "pre{font:.82rem/1.5 ui-monospace,monospace;white-space:pre-wrap;background:var(--wash);"
    "padding:1rem;border-radius:4px}"
    "details{font-size:.85rem;color:var(--soft)}summary{cursor:pointer;list-style:none}"
    "summary::-webkit-details-marker{display:none}summary:hover,summary:focus{color:var(--ink)}"
    "ul{margin:.3rem 0 0;padding:0;list-style:none}li{margin:.15rem 0}"
    ".why{color:var(--soft)}"
    "@media(max-width:46rem){td,th{padding-right:.5rem}td:first-child{width:auto}}"
    "@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--good:#06552c;--bad:#900}"
    "main{max-width:none;padding:0}body{font-size:10pt}h2{break-after:avoid}tr{break-inside:avoid}"
    "}";

/* TEXT as text: nothing in it can mean anything to a browser. */
static void
add_text(struct buf *out, const char *text)
{
	for (; *text != 0; text++) {
		if (*text == '<')
			(void)buf_add_str(out, "&lt;");
		else if (*text == '>')
			(void)buf_add_str(out, "&gt;");
		else if (*text == '&')
			(void)buf_add_str(out, "&amp;");
		else if (*text == '"')
			(void)buf_add_str(out, "&quot;");
		else
			(void)buf_add_char(out, *text);
	}
}

static void
add_element(struct buf *out, const char *name, const char *class, const char *text)
{
	(void)buf_addf(out, "<%s class=\"%s\">", name, class);
	add_text(out, text);
	(void)buf_addf(out, "</%s>", name);
}

/* ---- a row ---- */

static const char *
class_of(const struct finding *f)
{
	if (f->outcome == OUTCOME_HELD)
		return "good";
	return f->outcome == OUTCOME_UNAVAILABLE ? "soft" : "bad";
}

/* "✓ system-call filter" */
static void
add_lock(struct buf *out, const struct row *row, size_t i)
{
	const struct finding *f = &row->only[i];
	if (i >= row->n_locks) {
		(void)buf_add_str(out, "<span class=\"soft\">—</span>");
		return;
	}
	const char *mark = f->outcome == OUTCOME_HELD ? "✓ "
	    : f->outcome == OUTCOME_SUCCEEDED         ? "✗ "
	    : f->outcome == OUTCOME_UNAVAILABLE       ? "– "
						      : "? ";
	add_element(out, "span", class_of(f), mark);
	add_text(out, lock_title(row->locks[i]));
}

static void
add_finding(struct buf *out, const char *where, const struct finding *f)
{
	(void)buf_add_str(out, "<li>");
	add_text(out, where);
	(void)buf_add_str(out, ": ");
	add_text(out, outcome_name(f->outcome));
	if (f->detail[0] != 0) {
		(void)buf_add_str(out, " — ");
		add_text(out, f->detail);
	}
	(void)buf_add_str(out, "</li>");
}

static void
name_trial(char *ret, size_t size, const char *what, const struct prove *p, const struct row *row,
    enum lock lock)
{
	struct means means = means_of(p, row->attack, lock);
	const char *note = means_note(&means);
	(void)snprintf(ret, size, "%s%s%s%s%s", what, lock == LOCK_NONE ? "" : " alone",
	    note == NULL ? "" : " (", note == NULL ? "" : note, note == NULL ? "" : ")");
}

/* What each trial saw, to be opened by who wants to know. */
static void
add_trials(struct buf *out, const struct prove *p, const struct row *row)
{
	char where[160];
	(void)buf_add_str(out, "<details><summary>");
	add_element(out, "code", "name", row->attack->name);
	(void)buf_add_str(out, "</summary><ul>");
	name_trial(where, sizeof(where), "without locks", p, row, LOCK_NONE);
	add_finding(out, where, &row->control);
	for (size_t i = 0; i < row->n_locks; i++) {
		name_trial(where, sizeof(where), lock_title(row->locks[i]), p, row, row->locks[i]);
		add_finding(out, where, &row->only[i]);
	}
	add_finding(out, "in the sandbox", &row->all);
	(void)buf_add_str(out, "</ul></details>");
}

static void
add_verdict(struct buf *out, const struct row *row)
{
	static const struct {
		const char *class, *text;
	} verdicts[VERDICT_COUNT] = {
	    [VERDICT_ENFORCED] = {"good", "enforced"},
	    [VERDICT_CONVENTIONAL] = {"odd", "conventional"},
	    [VERDICT_WEAK] = {"bad", "a lock is weak"},
	    [VERDICT_BREACHED] = {"bad", "not held"},
	    [VERDICT_BROKEN] = {"bad", "no answer"},
	    [VERDICT_NO_CONTROL] = {"soft", "no control here"},
	    [VERDICT_NOT_TESTED] = {"soft", "not tested here"},
	};
	add_element(out, "span", verdicts[row->verdict].class, verdicts[row->verdict].text);
}

/* Why a row proves nothing. */
static void
add_reason(struct buf *out, const struct row *row)
{
	const char *why = row->not_tested;
	(void)buf_add_str(out, "<td colspan=\"3\" class=\"why\">");
	if (row->verdict == VERDICT_NO_CONTROL) {
		(void)buf_add_str(out, "does not succeed without locks either: ");
		why = row->control.detail;
	}
	add_text(out, why);
	(void)buf_add_str(out, "</td>");
}

static void
add_locks(struct buf *out, const struct row *row)
{
	(void)buf_add_str(out, "<td>");
	add_lock(out, row, 0);
	(void)buf_add_str(out, "</td><td>");
	add_lock(out, row, 1);
	for (size_t i = 2; i < row->n_locks; i++) {
		(void)buf_add_str(out, "<br>");
		add_lock(out, row, i);
	}
	(void)buf_add_str(out, "</td><td>");
	add_element(out, "span", class_of(&row->all), outcome_name(row->all.outcome));
	(void)buf_add_str(out, "</td>");
}

static void
add_row(struct buf *out, const struct prove *p, const struct row *row)
{
	bool proves = row->verdict != VERDICT_NO_CONTROL && row->verdict != VERDICT_NOT_TESTED;
	(void)buf_add_str(out, "<tr><td>");
	add_text(out, row->attack->title);
	if (proves)
		add_trials(out, p, row);
	if (row->verdict == VERDICT_CONVENTIONAL)
		add_element(out, "div", "odd", row->attack->conventional);
	(void)buf_add_str(out, "</td>");
	if (proves)
		add_locks(out, row);
	else
		add_reason(out, row);
	(void)buf_add_str(out, "<td>");
	add_verdict(out, row);
	(void)buf_add_str(out, "</td></tr>\n");
}

/* ---- the page ---- */

static void
add_boundary(struct buf *out, const struct prove *p, enum boundary boundary)
{
	bool any = false;
	for (size_t i = 0; i < p->n_rows; i++) {
		if (p->rows[i].attack->boundary != boundary)
			continue;
		if (!any) {
			(void)buf_addf(out,
			    "<h2>%s</h2>\n<table><tr><th>what an attack "
			    "does</th><th>lock one</th><th>lock two, and more</th><th>all</th>"
			    "<th></th></tr>\n",
			    boundary_name(boundary));
			any = true;
		}
		add_row(out, p, &p->rows[i]);
	}
	if (any)
		(void)buf_add_str(out, "</table>\n");
}

/* The other half of the question: what the policy permits and nobody needed. */
static void
add_unused(struct buf *out, const struct prove *p)
{
	if (p->unused == NULL)
		return;
	(void)buf_add_str(out, "<h2>what no action has needed since ");
	add_text(out, p->options.since);
	(void)buf_add_str(out, " ago</h2>\n<pre>");
	add_text(out, p->unused);
	(void)buf_add_str(out, "</pre>\n");
}

static void
add_sum(struct buf *out, unsigned count, const char *class, const char *what)
{
	if (count > 0)
		(void)buf_addf(out, "<div><b class=\"%s\">%u</b>%s</div>", class, count, what);
}

static void
add_head(struct buf *out, const struct prove *p)
{
	const struct summary *sum = &p->summary;
	const unsigned *counts = sum->counts;
	struct utsname host;
	char now[32];
	clock_format(clock_wall_ms(), now);
	(void)uname(&host);
	(void)buf_add_str(out, "<p class=\"from\">Ringfence " RINGFENCE_VERSION " on ");
	add_text(out, host.nodename);
	(void)buf_addf(out, ", Linux %s, as %s, %.10s %.5s UTC</p>\n", host.release,
	    p->root ? "root" : "an ordinary user", now, now + 11);
	(void)buf_addf(out, "<h1 class=\"%s\">%u of %u attacks held</h1>\n",
	    verdict_exit_code(sum) == 0 ? "held" : "bad", counts[VERDICT_ENFORCED],
	    sum->controlled);
	(void)buf_add_str(out,
	    "<p>Each attack ran on this machine without any lock, where it had to succeed; with "
	    "each of its "
	    "locks as the only one, which had to hold it; and in a real sandbox. Attacks that do "
	    "not succeed "
	    "without locks prove nothing and are not counted.</p>\n<div class=\"sums\">");
	add_sum(out, counts[VERDICT_ENFORCED], "good", "enforced");
	add_sum(out, counts[VERDICT_BREACHED], "bad", "not held");
	add_sum(out, counts[VERDICT_WEAK], "bad", "with a weak lock");
	add_sum(out, counts[VERDICT_BROKEN], "bad", "without an answer");
	add_sum(out, counts[VERDICT_CONVENTIONAL], "odd", "only conventional");
	add_sum(out, counts[VERDICT_NO_CONTROL], "soft", "without a control here");
	add_sum(out, counts[VERDICT_NOT_TESTED], "soft", "not tested here");
	add_sum(out, sum->trials, "soft", "trials");
	(void)buf_add_str(out, "</div>\n");
}

static int
make_page(const struct prove *p, struct buf *out)
{
	(void)buf_addf(out,
	    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	    "<meta name=\"color-scheme\" content=\"light dark\">\n"
	    "<title>What Ringfence holds</title>\n<style>%s</style>\n</head>\n<body>\n<main>\n",
	    style);
	add_head(out, p);
	for (enum boundary b = 0; b < BOUNDARY_COUNT; b++)
		add_boundary(out, p, b);
	add_unused(out, p);
	(void)buf_add_str(out,
	    "<h2>how to read this</h2>\n<p class=\"soft\">✓ holds the attack alone. ✗ does not. – "
	    "cannot be had "
	    "on this machine or by this user. An attack's name opens what each of its trials saw. "
	    "<em>Conventional</em>: no lock of this machine or user holds it, as the attack says. "
	    "What a policy "
	    "permits and nobody needed is another question: <code>ringfence policy "
	    "unused</code>.</p>\n"
	    "</main>\n</body>\n</html>\n");
	return buf_failed(out) ? -ENOMEM : 0;
}

int
report_html(const struct prove *p, struct error *err)
{
	const struct options *o = &p->options;
	_cleanup_buf_ struct buf page;
	buf_init(&page, PAGE_MAX);
	if (make_page(p, &page) < 0)
		return error_set(err, ENOMEM, "no_memory", "the page is too large");
	int r = 0;
	for (size_t at = 0; at < page.len && r == 0;) {
		ssize_t n = write(o->html_fd, page.data + at, page.len - at);
		r = n < 0 ? -errno : 0;
		at += n < 0 ? 0 : (size_t)n;
	}
	/* What an older, longer page had beyond. */
	if (r == 0 && ftruncate(o->html_fd, (off_t)page.len) < 0 && errno != EINVAL)
		r = -errno;
	return r < 0 ? error_set_errno(err, -r, "bad_file", "cannot write %s", o->html) : 0;
}
