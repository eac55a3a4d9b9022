/* The locks of rf-gateway. */
#pragma once

#include "sys/confine.h"

extern const struct confine_profile gateway_profile;
