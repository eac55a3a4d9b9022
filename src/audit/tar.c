/* See tar.h. */
#include "audit/tar.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ledgerfmt/files.h"

#define BLOCK 512

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
	char linkname[100], magic[6], version[2], uname[32], gname[32], major[8], minor[8],
	    prefix[155];
	char unused[12];
};

int
tar_header(int fd, const char *name, uint64_t size, int64_t mtime_s)
{
	struct ustar h;
	_Static_assert(sizeof(h) == BLOCK, "a tar header is one block");
	unsigned sum = 0;
	memset(&h, 0, sizeof(h));
	if (strlen(name) >= sizeof(h.name) || size > 077777777777ULL)
		return -EMSGSIZE;
	memcpy(h.name, name, strlen(name));
	memcpy(h.mode, "0000644", 8);
	memcpy(h.uid, "0000000", 8);
	memcpy(h.gid, "0000000", 8);
	(void)snprintf(h.size, sizeof(h.size), "%011llo", (unsigned long long)size);
	(void)snprintf(
	    h.mtime, sizeof(h.mtime), "%011llo", (unsigned long long)mtime_s & 077777777777ULL);
	h.type = '0';
	memcpy(h.magic, "ustar", 6);
	memcpy(h.version, "00", 2);
	memset(h.checksum, ' ', sizeof(h.checksum));
	unsigned char bytes[BLOCK];
	memcpy(bytes, &h, sizeof(h));
	for (size_t i = 0; i < BLOCK; i++)
		sum += bytes[i];
	(void)snprintf(h.checksum, sizeof(h.checksum), "%06o", sum & 0777777);
	return files_write_all(fd, &h, sizeof(h));
}

int
tar_pad(int fd, uint64_t size)
{
	static const char zeros[BLOCK];
	size_t over = size % BLOCK;
	return over == 0 ? 0 : files_write_all(fd, zeros, BLOCK - over);
}

int
tar_end(int fd)
{
	static const char zeros[2 * BLOCK];
	return files_write_all(fd, zeros, sizeof(zeros));
}
