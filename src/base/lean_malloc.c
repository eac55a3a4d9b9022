/* The heap of the lean programs (linked against musl only).
 *
 * They live for a millisecond or build thousands of small JSON values a second, single-threaded. musl's
 * allocator maps and unmaps memory for that, seventeen times in a run of the CLI; on a virtual machine
 * each costs more than the work between them. Here memory comes from a static block, then from chunks,
 * goes to a free list of its size class and is never given back, except for large blocks.
 *
 * Every block has a header with its class and a mark that depends on its address; a free of something
 * that is not a live block ends the program. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CLASSES 24 /* 32, 48, 64, 96, … bytes, header included */
#define LARGE CLASSES
#define FIRST_BYTES (32 * 1024)
#define CHUNK_BYTES (128 * 1024)
#define MARK_LIVE 0x5246u
#define MARK_FREE 0x4652u

struct block {
	uint32_t mark;
	uint32_t class;
	uint64_t size; /* large blocks: bytes mapped */
};

struct free_block {
	struct block header;
	struct free_block *next;
};

static _Alignas(16) char first[FIRST_BYTES];
static char *chunk = first;
static size_t chunk_left = sizeof(first);
static struct free_block *lists[CLASSES];

static size_t
class_bytes(unsigned class)
{
	size_t base = (size_t)32 << (class / 2);
	return class % 2 == 0 ? base : base + base / 2;
}

/* The smallest class that has BYTES; CLASSES or more: none. */
static unsigned
class_for(size_t bytes)
{
	if (bytes <= 32)
		return 0;
	unsigned log = 63 - (unsigned)__builtin_clzll(bytes - 1); /* 2^log < bytes <= 2^(log+1) */
	size_t between = ((size_t)1 << log) + ((size_t)1 << (log - 1));
	return bytes <= between ? 2 * (log - 5) + 1 : 2 * (log - 4);
}

static uint32_t
mark_of(const struct block *b, uint32_t kind)
{
	return kind ^ (uint32_t)((uintptr_t)b >> 4);
}

static void *
hand_out(struct block *b, unsigned class)
{
	b->class = class;
	b->mark = mark_of(b, MARK_LIVE);
	return b + 1;
}

static void *
large_new(size_t bytes)
{
	struct block *b =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED)
		return NULL;
	b->size = bytes;
	return hand_out(b, LARGE);
}

static struct block *
carve(size_t bytes)
{
	if (bytes > chunk_left) {
		void *more = mmap(
		    NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more == MAP_FAILED)
			return NULL;
		chunk = more;
		chunk_left = CHUNK_BYTES;
	}
	struct block *b = (struct block *)(void *)chunk;
	chunk += bytes;
	chunk_left -= bytes;
	return b;
}

static void *
heap_take(size_t size)
{
	size_t bytes = size + sizeof(struct block);
	if (bytes < size || bytes > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	unsigned class = class_for(bytes);
	if (class >= CLASSES)
		return large_new(bytes);
	struct free_block *reused = lists[class];
	if (reused != NULL) {
		if (reused->header.mark != mark_of(&reused->header, MARK_FREE))
			abort();
		lists[class] = reused->next;
		return hand_out(&reused->header, class);
	}
	struct block *b = carve(class_bytes(class));
	if (b == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	return hand_out(b, class);
}

void *
malloc(size_t size)
{
	return heap_take(size);
}

static struct block *
block_of(void *pointer)
{
	struct block *b = (struct block *)pointer - 1;
	if (b->mark != mark_of(b, MARK_LIVE) || b->class > LARGE)
		abort();
	return b;
}

void
free(void *pointer)
{
	if (pointer == NULL)
		return;
	struct block *b = block_of(pointer);
	if (b->class == LARGE) {
		int saved = errno;
		(void)munmap(b, b->size);
		errno = saved;
		return;
	}
	struct free_block *f = (struct free_block *)b;
	b->mark = mark_of(b, MARK_FREE);
	f->next = lists[b->class];
	lists[b->class] = f;
}

void *
calloc(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	void *pointer = heap_take(bytes);
	if (pointer != NULL && block_of(pointer)->class != LARGE)
		memset(pointer, 0, bytes);
	return pointer;
}

void *
realloc(void *pointer, size_t size)
{
	if (pointer == NULL)
		return malloc(size);
	const struct block *b = block_of(pointer);
	size_t room = (b->class == LARGE ? b->size : class_bytes(b->class)) - sizeof(*b);
	if (size <= room && (b->class != LARGE || size > room / 2))
		return pointer;
	void *moved = heap_take(size);
	if (moved == NULL)
		return NULL;
	memcpy(moved, pointer, size < room ? size : room);
	free(pointer);
	return moved;
}

/* Alignment beyond 16 bytes is not on offer: nobody here asks for it. */
void *
aligned_alloc(size_t alignment, size_t size)
{
	if (alignment <= 16)
		return malloc(size);
	errno = ENOMEM;
	return NULL;
}

int
posix_memalign(void **ret, size_t alignment, size_t size)
{
	void *pointer = aligned_alloc(alignment, size);
	if (pointer == NULL)
		return ENOMEM;
	*ret = pointer;
	return 0;
}
