#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set
#undef error_set_errno

static void error_fill(struct error *err, const char *code, const char *fmt, va_list args)
    PRINTF_LIKE(3, 0);

static void
error_fill(struct error *err, const char *code, const char *fmt, va_list args)
{
	memset(err, 0, sizeof(*err));
	(void)snprintf(err->code, sizeof(err->code), "%s", code);
	(void)vsnprintf(err->message, sizeof(err->message), fmt, args);
}

int
error_set(struct error *err, int errnum, const char *code, const char *fmt, ...)
{
	if (err != NULL) {
		va_list args;
		va_start(args, fmt);
		error_fill(err, code, fmt, args);
		va_end(args);
	}
	return -errnum;
}

int
error_set_errno(struct error *err, int errnum, const char *code, const char *fmt, ...)
{
	if (err != NULL) {
		va_list args;
		va_start(args, fmt);
		error_fill(err, code, fmt, args);
		va_end(args);
		size_t used = strlen(err->message);
		(void)snprintf(
		    err->message + used, sizeof(err->message) - used, ": %s", strerror(errnum));
	}
	return -errnum;
}

void
error_remedy(struct error *err, const char *fmt, ...)
{
	if (err == NULL)
		return;
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(err->remedy, sizeof(err->remedy), fmt, args);
	va_end(args);
}
