/* rf-ledger's locks. */
#pragma once

#include "sys/confine.h"

extern const struct confine_profile ledger_profile;
