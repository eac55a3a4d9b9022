/* Debian's static SQLite and libyaml are compiled against glibc's headers; linked against musl (meson:
 * lean_libc) they ask for these names, which mean the same as musl's own. Everything else that they
 * use has one name and one ABI in both libraries on the architectures we build for. */
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void *__memcpy_chk(void *to, const void *from, size_t len, size_t room);
void *__memset_chk(void *to, int byte, size_t len, size_t room);
int fcntl64(int fd, int command, ...);

/* Fortified calls (gcc -D_FORTIFY_SOURCE): ROOM is what the compiler knows of the destination. */
void *
__memcpy_chk(void *to, const void *from, size_t len, size_t room)
{
	if (len > room)
		abort();
	return memcpy(to, from, len);
}

void *
__memset_chk(void *to, int byte, size_t len, size_t room)
{
	if (len > room)
		abort();
	return memset(to, byte, len);
}

/* fcntl with 64-bit locks, which is what musl's always is. */
int
fcntl64(int fd, int command, ...)
{
	va_list args;
	va_start(args, command);
	void *argument = va_arg(args, void *);
	va_end(args);
	return fcntl(fd, command, argument);
}
