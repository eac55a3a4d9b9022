/* What is mounted in a sandbox, as the kernel lists it: the receipt's evidence for its root. */
#pragma once

#include <stddef.h>

#include "base/json.h"

#define MOUNTLIST_MAX 64 /* so many are named in a receipt; the others are counted */

/* Appends to LIST one text for each line of TEXT, in the form of proc_pid_mountinfo(5), until there are MAX:
 * "POINT TYPE FLAGS", and for a tmpfs its limits. Returns how many lines there are. */
size_t mountlist_parse(const char *text, size_t max, struct json *list);
/* {"evidence":"kernel","list":[…],"more"?:N} of pid 1 behind PROC_FD, a /proc; owned. An empty list with
 * "error" if it cannot be read. */
struct json *mountlist_read(int proc_fd);
