/* Attributes and cleanup helpers that every file uses.
 *
 * Scope lifetime is expressed with the cleanup attributes below; TAKE_PTR and TAKE_FD hand a value
 * out of a scope by leaving NULL or -1 behind. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Returns the value of PTR (an lvalue) and leaves NULL in it. */
#define TAKE_PTR(ptr)                           \
	({                                      \
		__typeof__(ptr) taken_ = (ptr); \
		(ptr) = NULL;                   \
		taken_;                         \
	})

/* Returns the value of FD (an lvalue) and leaves -1 in it. */
#define TAKE_FD(fd)                \
	({                         \
		int taken_ = (fd); \
		(fd) = -1;         \
		taken_;            \
	})

static inline void
cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void
cleanup_close(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* Closes and forgets, so that a second call does nothing. */
static inline void
close_fd(int *fd)
{
	cleanup_close(fd);
	*fd = -1;
}

#define _cleanup_free_ CLEANUP(cleanup_free)
#define _cleanup_close_ CLEANUP(cleanup_close)
