/* Simple SQL in the examples of a policy: verb, tables, functions, WHERE.
 *
 * Tokens are words (with dots), numbers, 'strings', and single characters. Comments, quoted
 * identifiers, dollar quotes and anything before the first verb are refused. */
#include "policy/example_sql.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 128

enum token_type { TOKEN_END, TOKEN_WORD, TOKEN_VALUE, TOKEN_CHAR, TOKEN_BAD };

struct lexer {
	const char *at;
	enum token_type type;
	char text[WORD_MAX]; /* word, in lower case; or the character */
};

static void
lex_string(struct lexer *l)
{
	for (l->at++; *l->at != 0; l->at++) {
		if (*l->at != '\'')
			continue;
		if (*++l->at != '\'') {
			l->type = TOKEN_VALUE;
			return;
		}
	}
	l->type = TOKEN_BAD;
}

static void
lex(struct lexer *l)
{
	l->at += strspn(l->at, " \t\r\n");
	unsigned char c = (unsigned char)*l->at;
	l->text[0] = (char)c;
	l->text[1] = 0;
	if (c == 0) {
		l->type = TOKEN_END;
	} else if (c == '\'') {
		lex_string(l);
	} else if (isalpha(c) || c == '_') {
		size_t n = 0;
		for (; isalnum((unsigned char)*l->at) || *l->at == '_' || *l->at == '.'; l->at++)
			if (n < sizeof(l->text) - 1)
				l->text[n++] = (char)tolower((unsigned char)*l->at);
		l->text[n] = 0;
		l->type = n < sizeof(l->text) - 1 ? TOKEN_WORD : TOKEN_BAD;
	} else if (isdigit(c)) {
		l->at += strspn(l->at, "0123456789.");
		l->type = TOKEN_VALUE;
	} else {
		bool comment = (c == '-' && l->at[1] == '-') || (c == '/' && l->at[1] == '*');
		l->type =
		    comment || strchr("\"$\\`#", c) != NULL || c >= 0x80 ? TOKEN_BAD : TOKEN_CHAR;
		l->at++;
	}
}

static bool
is_word(const struct lexer *l, const char *word)
{
	return l->type == TOKEN_WORD && strcmp(l->text, word) == 0;
}

static bool
is_char(const struct lexer *l, char c)
{
	return l->type == TOKEN_CHAR && l->text[0] == c;
}

static bool
is_one_of(const char *word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

static void
push_new(struct json *array, const char *text)
{
	for (size_t i = 0; i < json_len(array); i++)
		if (strcmp(json_str(json_at(array, i), ""), text) == 0)
			return;
	(void)json_push(array, json_new_string(text));
}

/* What a statement holds, while it is read. */
struct reading {
	struct json *tables, *functions;
	bool where;
	bool table_next; /* the next word is a table */
	bool table_list; /* a comma brings another table */
};

/* Words that stand before "(" without being functions, or that end a list of tables. */
static const char *const keywords[] = {"and", "or", "in", "not", "values", "where", "set", "on",
    "as", "from", "select", "into", "using", "group", "order", "by", "limit", "having", "returning",
    "exists", "any", "all", "inner", "left", "right", "full", "cross", "join", "offset", "is",
    "null", "like", "between", "case", "when", "then", "else", "end", "distinct", "table", "if",
    "only", "union", "except", "intersect", "default", "interval", NULL};

static const char *
read_word(struct lexer *l, struct reading *r)
{
	static const char *const before_table[] = {
	    "from", "into", "update", "join", "using", "table", "truncate", "copy", NULL};
	static const char *const skipped[] = {"only", "if", "exists", "not", "table", NULL};
	char word[WORD_MAX];
	(void)snprintf(word, sizeof(word), "%s", l->text);
	lex(l);
	if (r->table_next && !is_one_of(word, keywords)) {
		push_new(r->tables, word);
		r->table_next = false;
		r->table_list = true;
		return NULL;
	}
	if (r->table_next && is_one_of(word, skipped))
		return NULL;
	if (is_char(l, '(') && !is_one_of(word, keywords) && !r->table_list)
		push_new(r->functions, word);
	r->where = r->where || strcmp(word, "where") == 0;
	r->table_next = is_one_of(word, before_table);
	if (is_one_of(word, keywords))
		r->table_list = false;
	return NULL;
}

static const char *
read_statement(struct lexer *l, struct json *statements)
{
	if (l->type != TOKEN_WORD)
		return "a statement begins with a word";
	if (is_word(l, "with") || is_word(l, "explain") || is_word(l, "merge"))
		return "not simple enough to be read here; write a whole `action:`";
	struct json *statement = json_new_object();
	struct reading r = {.tables = json_new_array(), .functions = json_new_array()};
	(void)json_set_str(statement, "verb", l->text);
	const char *wrong = NULL;
	while (wrong == NULL && l->type != TOKEN_END && !is_char(l, ';')) {
		if (l->type == TOKEN_BAD) {
			wrong = "comments, quoted names and escapes cannot be read here; write a "
				"whole `action:`";
		} else if (l->type == TOKEN_WORD) {
			wrong = read_word(l, &r);
		} else {
			r.table_next = r.table_list && is_char(l, ',');
			r.table_list = r.table_list && r.table_next;
			lex(l);
		}
	}
	(void)json_set(statement, "tables", r.tables);
	(void)json_set(statement, "columns", json_new_array());
	(void)json_set(statement, "functions", r.functions);
	(void)json_set_bool(statement, "where", r.where);
	(void)json_push(statements, statement);
	return wrong;
}

const char *
example_sql_read(const char *text, struct json **ret)
{
	struct json *statements = json_new_array();
	struct lexer l = {.at = text};
	const char *wrong = NULL;
	lex(&l);
	while (wrong == NULL && l.type != TOKEN_END) {
		wrong = read_statement(&l, statements);
		while (is_char(&l, ';'))
			lex(&l);
	}
	if (wrong == NULL && json_len(statements) == 0)
		wrong = "there is no statement";
	if (wrong != NULL)
		statements = json_free(statements);
	*ret = statements;
	return wrong;
}

const char *
example_sql_effect(const struct json *statements)
{
	static const char *const reads[] = {"select", "show", "fetch", NULL};
	static const char *const writes[] = {"insert", "update", "delete", "copy", NULL};
	const char *effect = "read";
	for (size_t i = 0; i < json_len(statements); i++) {
		const char *verb = json_get_str(json_at(statements, i), "verb", "");
		if (is_one_of(verb, reads))
			continue;
		if (!is_one_of(verb, writes))
			return "privileged";
		effect = "write";
	}
	return effect;
}
