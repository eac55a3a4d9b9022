#include "supervisor/verdict.h"

#include <errno.h>
#include <string.h>

void
verdict_add_held(struct json *held, const struct json *verdict)
{
	static const char *const copied[] = {"review_id", "expires_at"};
	const struct json *decision = json_get(verdict, "decision");
	const struct json *approvals = json_get(json_get(decision, "review"), "approvals");
	const struct json *risk = json_get(decision, "risk");
	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		(void)json_set(held, copied[i], json_copy(json_get(verdict, copied[i])));
	(void)json_set_str(held, "rule", json_get_str(decision, "rule", ""));
	(void)json_set(
	    held, "approvals", approvals == NULL ? json_new_array() : json_copy(approvals));
	(void)json_set(held, "risk", risk == NULL ? json_new_object() : json_copy(risk));
}

void
verdict_explain_refusal(const struct json *verdict, const char *state, struct error *err)
{
	const struct json *decision = json_get(verdict, "decision");
	const char *comment = json_get_str(verdict, "comment", NULL);
	const char *reason = json_get_str(decision, "reason", "");
	const char *needed = json_get_str(decision, "needed", "");
	if (strcmp(state, "rejected") == 0)
		(void)error_set(err, EACCES, state, "denied by reviewer%s%s",
		    comment == NULL ? "" : ": ", comment == NULL ? "" : comment);
	else
		(void)error_set(err, EACCES, state, "%s: %s", state,
		    comment != NULL ? comment
			: reason[0] ? reason
				    : "no reason given");
	if (needed[0] != 0)
		error_remedy(err, "%s", needed);
}
