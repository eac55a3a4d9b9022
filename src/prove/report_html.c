#include "prove/prove.h"
int
report_html(const struct prove *p, const char *path, struct error *err)
{
	(void)p;
	return error_set(err, 38, "todo", "%s", path);
}
