/* rf-vault's locks. */
#pragma once

#include "sys/confine.h"

extern const struct confine_profile vault_profile;
