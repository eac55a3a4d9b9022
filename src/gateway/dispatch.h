/* The message table of rf-gateway. */
#pragma once

#include "gateway/gateway.h"

/* Serves the supervisor's descriptor; the others join by it. 0 or -errno. */
int dispatch_start(struct gateway *gateway) MUST_CHECK;
