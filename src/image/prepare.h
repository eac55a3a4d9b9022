/* A root file system made ready to be the root of sandboxes: what each sandbox has of its own gets out
 * of the way, and mount points are there. The result is what is hashed, stored and shared read-only. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* Changes the tree ROOT (borrowed), and sets in CONTENT:
 *     "passwd", "group"  what the image had in /etc, as text; /etc has links to IMAGE_OURS instead, and
 *                        so for hosts, hostname and resolv.conf
 *     "top"              the entries of the root: {"name","type":"dir"|"file"|"link","target"?}
 * Removed: /dev, /proc, /run, /sys, /tmp; /home, /var and /workspace where they are no directories.
 * /home/agent is an empty directory, /var/tmp a link to /tmp. 0, -EBADMSG, or -errno; with ERR. */
int prepare_root(int root, struct json *content, struct error *err) MUST_CHECK;
