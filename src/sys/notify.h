/* Telling the service manager that started us how we are: systemd's notification socket, sd_notify(3),
 * without its library. */
#pragma once

#include "base/macros.h"

/* Sends TEXT ("READY=1", "STOPPING=1", lines of NAME=VALUE) to $NOTIFY_SOCKET. 0, also where nobody
 * started us so; or -errno, which is not worth failing for. */
int notify_manager(const char *text);
/* Takes $NOTIFY_SOCKET out of our environment, so that what we start does not speak for us. A copy is
 * kept for notify_manager. */
void notify_keep(void);
