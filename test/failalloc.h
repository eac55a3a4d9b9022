/* Allocation failures for tests: link with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
 * (meson: link_args: fail_alloc) and run the code once for every allocation it makes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Makes allocation number N (from 0) from now on fail, and all after it work; negative: none fails. */
void fail_allocation(long n);
/* Whether that allocation was asked for. */
bool allocation_failed(void);
