/* The supervisor's own lock. */
#pragma once

#include "base/error.h"
#include "base/macros.h"

/* no_new_privs and the seccomp filter of profile.c. 0 or -errno. */
int profile_enter(struct error *err) MUST_CHECK;
