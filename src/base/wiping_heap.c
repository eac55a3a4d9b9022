/* Memory that forgets: whatever this program or its libraries free is wiped first. Values pass through JSON, message
 * buffers and libcrypto, so no single owner could wipe every copy.
 *
 * The linker sends every call of free and realloc here (--wrap, src/meson.build). */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void __real_free(void *pointer);
void __wrap_free(void *pointer);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_reallocarray(void *pointer, size_t count, size_t size);

void
__wrap_free(void *pointer)
{
	if (pointer == NULL)
		return;
	explicit_bzero(pointer, malloc_usable_size(pointer));
	__real_free(pointer);
}

void *
__wrap_realloc(void *pointer, size_t size)
{
	if (pointer == NULL)
		return malloc(size);
	size_t room = malloc_usable_size(pointer);
	if (size <= room && size >= room / 2)
		return pointer;
	void *moved = malloc(size);
	if (moved == NULL)
		return NULL;
	memcpy(moved, pointer, size < room ? size : room);
	__wrap_free(pointer);
	return moved;
}

void *
__wrap_reallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;
	return __builtin_mul_overflow(count, size, &bytes) ? NULL : __wrap_realloc(pointer, bytes);
}
