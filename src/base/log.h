/* Logging for programs: one key=value line on standard error. Libraries return errors instead.
 *
 * Untrusted text must go through log_escape (or the %-values of log_event, which escapes them all).
 * An audit event is a message to the ledger, never a log line. */
#pragma once

#include <stddef.h>

#include "base/macros.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Names the program in every line. NAME is borrowed for the life of the process. */
void log_program(const char *name);
/* Lines above this level are dropped; LOG_WARNING unless told. */
void log_set_level(enum log_level level);
/* Writes `program level event key=value …`. PAIRS are name, value, …, NULL (all const char *);
 * values are escaped and quoted where needed. At most 200 lines a second, then counted. */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

/* Copies TEXT so that a terminal shows it and nothing more: control bytes, escapes, what is not UTF-8,
 * and Unicode's bidirectional and invisible characters become \xNN or \u{NNNN}. RET always ends in NUL;
 * what does not fit is cut. */
void log_escape(const char *text, size_t len, char *ret, size_t ret_size);
