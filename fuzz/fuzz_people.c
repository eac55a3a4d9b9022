/* `people:`, passwd and group: whatever the three texts say, they are read or refused, and a uid that
 * the configuration gives nothing has nothing. The input is the three, separated by a NUL. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/people.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes of DATA up to the next NUL, or to its end, into RET. */
static void
take_part(const uint8_t **data, size_t *size, struct buf *ret)
{
	const uint8_t *end = *size > 0 ? memchr(*data, 0, *size) : NULL;
	size_t len = end != NULL ? (size_t)(end - *data) : *size;
	buf_init(ret, PEOPLE_FILE_MAX);
	(void)buf_add(ret, *data, len);
	size_t used = end != NULL ? len + 1 : len;
	*data += used;
	*size -= used;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf config, passwd, group;
	struct people *people = NULL;
	struct error err = {.message = ""};
	take_part(&data, &size, &config);
	take_part(&data, &size, &passwd);
	take_part(&data, &size, &group);
	if (people_parse(&config, &passwd, &group, &people, &err) < 0) {
		if (people != NULL || err.message[0] == '\0')
			abort();
		return 0;
	}
	bool has = people_has_role(people, 1001, "operator");
	if (has && (!people_has_any_role(people, 1001) || !people_knows_role(people, "operator")))
		abort();
	/* No uid is this number: it stands for "none" (chown(2)). */
	if (people_has_any_role(people, (uid_t)-1))
		abort();
	const char *name = people_name(people, 1001);
	if (name != NULL && strlen(name) > ROLE_NAME_MAX)
		abort();
	people_free(people);
	return 0;
}
