#include "image/image.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#undef image_refuse

int
image_refuse(struct error *err, const char *fmt, ...)
{
	char text[512];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return error_set(err, EBADMSG, "image_refused", "%s", text);
}

int
image_refuse_path(struct error *err, const char *path, const char *why)
{
	char shown[256];
	log_escape(path, strlen(path), shown, sizeof(shown));
	return error_set(err, EBADMSG, "image_refused", "%s: %s", shown, why);
}

int
image_failed(struct error *err, int negative, const char *what, const char *path)
{
	char shown[256];
	log_escape(path, strlen(path), shown, sizeof(shown));
	return error_set_errno(err, -negative, "image_failed", "cannot %s %s", what, shown);
}
