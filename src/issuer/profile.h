/* rf-issuer's locks. */
#pragma once

#include "sys/confine.h"

extern const struct confine_profile issuer_profile;
