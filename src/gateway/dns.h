/* What a sandbox is told when it asks for a name (dns_answer.c); how it asks is dns.c's.
 *
 * No question ever leaves: an allowed name gets a synthetic address, another none. So there is nothing to tunnel
 * through, and nothing that an answer from outside could rebind. */
#pragma once

#include "gateway/gateway.h"
#include "proto/dns.h"

struct dns_question;
/* ANSWER is good during the call. May free the question. */
typedef void dns_done_fn(struct dns_question *question, const struct dns_answer *answer);

/* One question; part of whatever asks it. */
struct dns_question {
	struct guest *guest;
	dns_done_fn *done;
	struct dns_query query;
	bool no_ipv6; /* there is none in that sandbox: nothing could be reached by it */
	struct reach_question *asked; /* while the arbiter is asked */
};

/* Answers QUESTION, whose query was read with result READ (0 or an rcode): calls its done, at once or later. */
void dns_question_answer(struct dns_question *question, int read);
/* Done will not be called. */
void dns_question_forget(struct dns_question *question);
