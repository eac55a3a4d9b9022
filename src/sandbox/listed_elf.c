/* Bounded reads by position; nothing is mapped, so that a file that shrinks is an error and no signal. */
#include "sandbox/listed_elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "listed_elf: unknown architecture"
#endif

#define SEGMENTS_MAX 128
#define DYNAMIC_MAX 1024
#define STRING_MAX 4096
#define CACHE_BYTES_MAX (16 << 20)

#ifndef DF_1_PIE
#define DF_1_PIE 0x08000000
#endif

/* ---- reading ---- */

struct reader {
	int fd;
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS_MAX];
	Elf64_Dyn dynamic[DYNAMIC_MAX];
	size_t n_dynamic;
	uint64_t strings_at, strings_size; /* in the file */
};

static int
read_at(int fd, void *into, size_t size, uint64_t at)
{
	if (at > INT64_MAX - size)
		return -EBADMSG;
	ssize_t n = pread(fd, into, size, (off_t)at);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EBADMSG;
}

/* A NUL-terminated string of at most LIMIT bytes at AT of the file. */
static int
read_string(int fd, uint64_t at, uint64_t limit, char **ret)
{
	char text[STRING_MAX];
	size_t want = (size_t)MIN(limit, (uint64_t)sizeof(text));
	if (at > INT64_MAX - sizeof(text))
		return -EBADMSG;
	ssize_t n = pread(fd, text, want, (off_t)at);
	if (n < 0)
		return -errno;
	if (memchr(text, 0, (size_t)n) == NULL)
		return -EBADMSG;
	*ret = strdup(text);
	return *ret == NULL ? -ENOMEM : 0;
}

static int
read_header(int fd, Elf64_Ehdr *h, struct elf_file *ret)
{
	ssize_t n = pread(fd, h, sizeof(*h), 0);
	if (n < 0)
		return -errno;
	if (n < EI_NIDENT || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    n < (ssize_t)sizeof(*h) || h->e_machine != MACHINE) {
		ret->runnable = true; /* who knows; nobody here needs it as a library */
		return -ENOTSUP;
	}
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
		return -ENOEXEC; /* an object file, a core */
	ret->runnable = h->e_type == ET_EXEC;
	return h->e_phentsize == sizeof(Elf64_Phdr) && h->e_phnum <= SEGMENTS_MAX ? 0 : -EBADMSG;
}

/* Where the address ADDRESS lies in the file, and how many bytes of the file follow it. */
static int
locate(const struct reader *rd, uint64_t address, uint64_t *ret_at, uint64_t *ret_left)
{
	for (size_t i = 0; i < rd->header.e_phnum; i++) {
		const Elf64_Phdr *s = &rd->segments[i];
		if (s->p_type != PT_LOAD || address < s->p_vaddr ||
		    address - s->p_vaddr >= s->p_filesz)
			continue;
		*ret_at = s->p_offset + (address - s->p_vaddr);
		*ret_left = s->p_filesz - (address - s->p_vaddr);
		return 0;
	}
	return -EBADMSG;
}

static int
read_dynamic(struct reader *rd, const Elf64_Phdr *s)
{
	uint64_t n = s->p_filesz / sizeof(Elf64_Dyn);
	if (n > DYNAMIC_MAX)
		return -EBADMSG;
	rd->n_dynamic = (size_t)n;
	int r = read_at(rd->fd, rd->dynamic, (size_t)n * sizeof(Elf64_Dyn), s->p_offset);
	uint64_t size = 0, left;
	for (size_t i = 0; r == 0 && i < rd->n_dynamic && rd->dynamic[i].d_tag != DT_NULL; i++) {
		if (rd->dynamic[i].d_tag == DT_STRTAB)
			r = locate(rd, rd->dynamic[i].d_un.d_ptr, &rd->strings_at, &left);
		else if (rd->dynamic[i].d_tag == DT_STRSZ)
			size = rd->dynamic[i].d_un.d_val;
	}
	rd->strings_size = size;
	return r;
}

static int
read_entry(struct reader *rd, const Elf64_Dyn *entry, struct elf_file *ret)
{
	char **where = NULL;
	switch (entry->d_tag) {
	case DT_NEEDED:
		if (ret->n_needed == ELF_NEEDED_MAX)
			return -EBADMSG;
		where = &ret->needed[ret->n_needed];
		break;
	case DT_RPATH:
		where = &ret->rpath;
		break;
	case DT_RUNPATH:
		where = &ret->runpath;
		break;
	case DT_FLAGS_1:
		ret->runnable = ret->runnable || (entry->d_un.d_val & DF_1_PIE) != 0;
		return 0;
	default:
		return 0;
	}
	if (entry->d_un.d_val >= rd->strings_size || *where != NULL)
		return -EBADMSG;
	int r = read_string(rd->fd, rd->strings_at + entry->d_un.d_val,
	    rd->strings_size - entry->d_un.d_val, where);
	if (r == 0 && entry->d_tag == DT_NEEDED)
		ret->n_needed++;
	return r;
}

static int
read_segments(struct reader *rd, struct elf_file *ret)
{
	int r = read_at(
	    rd->fd, rd->segments, rd->header.e_phnum * sizeof(Elf64_Phdr), rd->header.e_phoff);
	for (size_t i = 0; i < rd->header.e_phnum && r == 0; i++) {
		const Elf64_Phdr *s = &rd->segments[i];
		if (s->p_type == PT_INTERP && ret->interpreter == NULL)
			r = read_string(rd->fd, s->p_offset, s->p_filesz, &ret->interpreter);
		else if (s->p_type == PT_DYNAMIC && rd->n_dynamic == 0)
			r = read_dynamic(rd, s);
	}
	ret->runnable = ret->runnable || ret->interpreter != NULL;
	for (size_t i = 0; r == 0 && i < rd->n_dynamic && rd->dynamic[i].d_tag != DT_NULL; i++)
		r = read_entry(rd, &rd->dynamic[i], ret);
	return r;
}

int
elf_read(int fd, struct elf_file *ret)
{
	Elf64_Ehdr header;
	*ret = (struct elf_file){0};
	int r = read_header(fd, &header, ret);
	if (r < 0)
		return r; /* nearly every file of a directory of data */
	struct reader *rd = calloc(1, sizeof(*rd));
	if (rd == NULL)
		return -ENOMEM;
	rd->fd = fd;
	rd->header = header;
	r = read_segments(rd, ret);
	free(rd);
	return r;
}

void
elf_done(struct elf_file *elf)
{
	for (size_t i = 0; i < ELF_NEEDED_MAX && elf->needed[i] != NULL; i++)
		free(elf->needed[i]);
	free(elf->interpreter);
	free(elf->rpath);
	free(elf->runpath);
	*elf = (struct elf_file){0};
}

/* ---- the loader's cache ---- */

/* glibc's sysdeps/generic/dl-cache.h, format 1.1; it may follow the older format in the same file. */
#define CACHE_MAGIC "glibc-ld.so.cache1.1"
#define OLD_MAGIC "ld.so-1.7.0"
#define OLD_HEADER 16
#define OLD_ENTRY 12
#define CACHE_HEADER 48
#define CACHE_ENTRY 24

static uint32_t
u32_at(const uint8_t *p)
{
	uint32_t value;
	memcpy(&value, p, sizeof(value));
	return value;
}

static bool
find_header(struct ld_cache *cache)
{
	size_t at = 0;
	if (cache->len >= OLD_HEADER && memcmp(cache->data, OLD_MAGIC, strlen(OLD_MAGIC)) == 0) {
		at = OLD_HEADER + (size_t)u32_at(cache->data + 12) * OLD_ENTRY;
		at = (at + 7) & ~(size_t)7;
	}
	cache->base = at;
	return at <= cache->len && cache->len - at >= CACHE_HEADER &&
	    memcmp(cache->data + at, CACHE_MAGIC, strlen(CACHE_MAGIC)) == 0 &&
	    u32_at(cache->data + at + 20) <= (cache->len - at - CACHE_HEADER) / CACHE_ENTRY;
}

int
ld_cache_open(const char *path, struct ld_cache *ret)
{
	struct stat st;
	*ret = (struct ld_cache){0};
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > CACHE_BYTES_MAX)
		return 0;
	ret->len = (size_t)st.st_size;
	ret->data = malloc(ret->len + 1);
	if (ret->data == NULL)
		return -ENOMEM;
	if (read_at(fd, ret->data, ret->len, 0) < 0 || !find_header(ret))
		ld_cache_done(ret);
	else
		ret->data[ret->len] = 0; /* every string in it ends */
	return 0;
}

void
ld_cache_done(struct ld_cache *cache)
{
	free(cache->data);
	*cache = (struct ld_cache){0};
}

const char *
ld_cache_next(const struct ld_cache *cache, const char *name, size_t *at)
{
	if (cache->data == NULL)
		return NULL;
	const uint8_t *header = cache->data + cache->base;
	size_t left = cache->len - cache->base, n = u32_at(header + 20);
	while (*at < n) {
		const uint8_t *entry = header + CACHE_HEADER + (*at)++ * CACHE_ENTRY;
		size_t key = u32_at(entry + 4), value = u32_at(entry + 8);
		if (key < left && value < left && strcmp((const char *)header + key, name) == 0)
			return (const char *)header + value;
	}
	return NULL;
}
