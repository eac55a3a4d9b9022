/* rf-dialer's locks. */
#pragma once

#include "sys/confine.h"

extern const struct confine_profile dialer_profile;
