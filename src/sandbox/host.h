/* What of the host a sandbox with `root: host` gets to see, chosen with care (doc/sandbox.md):
 *
 *   /usr and what /bin, /sbin, /lib* are (links into it, or trees of their own): whole, read-only
 *   /etc: only what programs need to run and that says nothing about this host: the dynamic linker's
 *         cache, alternatives, public CA certificates, fonts, MIME types, time zone, language runtimes
 *   /etc/passwd, group, hosts, nsswitch.conf, …: written for the sandbox, not the host's
 *   /opt, /home, /root, /srv, /mnt, /var, /sys, /boot: absent */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* The plan's members "binds", "links" and "files" for this host, in a new object; owned. UID and GID are
 * what the sandbox's user is called `agent` for. NULL without memory. */
struct json *host_view(uid_t uid, gid_t gid);

#define RESOLVED_MAX 4096

/* Finds the program that NAME means inside: along the sandbox's PATH, or as a path relative to CWD.
 * RET_PROGRAM is the path to execute, RET_RESOLVED the same with links followed where that can be known
 * from outside (else the same text). 0, -ENOENT (not found), -EACCES (not executable), -ENAMETOOLONG.
 * What lies in writable places (workspace, /tmp) is not looked at. */
int host_resolve(const char *name, const char *cwd, char ret_program[RESOLVED_MAX],
    char ret_resolved[RESOLVED_MAX]) MUST_CHECK;
