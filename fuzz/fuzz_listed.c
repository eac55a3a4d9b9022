/* The readers behind `executables: listed` on arbitrary bytes: an ELF file, and the loader's cache. Neither
 * crashes, and what they return are strings that end. The first byte says which of them reads the rest. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "sandbox/listed_elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_elf(int fd)
{
	struct elf_file elf;
	int r = elf_read(fd, &elf);
	assert(r <= 0 && elf.n_needed <= ELF_NEEDED_MAX);
	for (size_t i = 0; i < elf.n_needed; i++)
		assert(strlen(elf.needed[i]) < 4096);
	assert(elf.interpreter == NULL || elf.runnable || r < 0);
	elf_done(&elf);
}

static void
check_cache(int fd)
{
	char path[40];
	struct ld_cache cache;
	size_t at = 0, n = 0;
	const char *found;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert(ld_cache_open(path, &cache) == 0);
	while ((found = ld_cache_next(&cache, "libc.so.6", &at)) != NULL)
		n += strlen(found) > 0;
	assert(n <= cache.len);
	ld_cache_done(&cache);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	_cleanup_close_ int fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		return 0;
	if (data[0] == 'c')
		check_cache(fd);
	else
		check_elf(fd);
	return 0;
}
