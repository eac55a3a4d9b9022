/* Builds the sandbox's root file system and moves into it. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* Builds the root that PLAN describes in this (new) mount namespace and pivots into it. Scratch is
 * owned by COMMAND_UID:GID. WORKSPACE_FD is a detached mount, or -1. With a staged workspace
 * *RET_UPPER_FD is the overlay's upper directory (owned), else -1. Facts for the receipt go into
 * EVIDENCE. 0 or -errno. */
int root_build(const struct json *plan, uid_t command_uid, gid_t command_gid, int workspace_fd,
    int *ret_upper_fd, struct json *evidence, struct error *err) MUST_CHECK;
