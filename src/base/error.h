/* What a person or a program must learn when something failed.
 *
 * Functions return 0 or a negative errno; those whose failure a person must understand also fill a
 * struct error: a short stable code for programs, one line for people, and what to do about it. */
#pragma once

#include "base/macros.h"

struct error {
	char code[40];     /* stable, lower case with underscores: "policy_invalid" */
	char message[640]; /* one line: what, where */
	char remedy[400];  /* what to do; may be empty */
};

/* Fills ERR (may be NULL) and returns -ERRNUM, so that callers write `return error_set(...)`.
 * ERRNUM is a positive errno. FMT makes the message; the remedy is cleared. */
int error_set(struct error *err, int errnum, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* As error_set, and appends ": " and the text of ERRNUM to the message. */
int error_set_errno(struct error *err, int errnum, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Sets the remedy of ERR (may be NULL). */
void error_remedy(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#ifdef __clang_analyzer__
/* The analyzer looks at one file at a time: tell it that these return a negative number. */
#define error_negative_(fn, err, errnum, ...)               \
	({                                                  \
		int result_ = fn(err, errnum, __VA_ARGS__); \
		if (result_ >= 0)                           \
			abort();                            \
		result_;                                    \
	})
#define error_set(err, errnum, ...) error_negative_(error_set, err, errnum, __VA_ARGS__)
#define error_set_errno(err, errnum, ...) error_negative_(error_set_errno, err, errnum, __VA_ARGS__)
#endif
