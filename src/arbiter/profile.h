/* The locks of rf-arbiter. */
#pragma once

#include "sys/confine.h"

extern const struct confine_profile arbiter_profile;
