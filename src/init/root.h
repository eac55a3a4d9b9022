/* Builds the sandbox's root file system and moves into it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

struct root {
	int fd;      /* the skeleton's mount; owned from root_open to root_finish */
	int scratch; /* the scratch mount */
	bool noexec; /* nothing writable may be executed */
	uid_t uid;   /* who owns scratch; set before root_finish */
	gid_t gid;
	struct error *err; /* where failures are explained; set before root_open */
};

/* Opens the skeleton that VIEW names. To be called before ids change: the state directory may be
 * readable by its owner alone. 0 or -errno. */
int root_open(struct root *root, const struct json *view) MUST_CHECK;
/* Everything that needs no policy: the host's trees ("binds" of VIEW), /dev, /proc, in this (new) mount
 * namespace. Facts for the receipt go into EVIDENCE. 0 or -errno. */
int root_begin(struct root *root, const struct json *view, struct json *evidence) MUST_CHECK;
/* Scratch alone, while the workspace is still to come; root_finish does the rest. 0 or -errno. */
int root_scratch(struct root *root, const struct json *view, const struct json *plan) MUST_CHECK;
/* Scratch (ROOT->scratch, owned by the caller from here on) and workspace as PLAN says, then the pivot.
 * WORKSPACE_FD is a detached mount, or -1. With a staged workspace *RET_UPPER_FD is the overlay's upper directory (owned), else -1. 0 or -errno. */
int root_finish(struct root *root, const struct json *view, const struct json *plan,
    int workspace_fd, int *ret_upper_fd) MUST_CHECK;
/* Name I below "/" of what /proc does not show in a sandbox ("proc/keys"); NULL past the last one. */
const char *root_masked(size_t i);
