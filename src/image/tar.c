#include "image/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "image/stream.h"

#define RECORD 512
/* Of an archive's uncompressed bytes, what is not contents: headers, and padding of small files. */
#define OVERHEAD_PER_ENTRY (8 * RECORD)

struct tar {
	struct archive *archive;
	struct stream *stream;
	struct tree *tree;
};

/* ---- what libarchive calls ---- */

static la_ssize_t
on_read(struct archive *archive, void *data, const void **ret)
{
	struct tar *tar = data;
	ssize_t n = stream_read(tar->stream, ret);
	if (n < 0)
		archive_set_error(archive, EIO, "%s", "the stream failed");
	return n < 0 ? -1 : n;
}

/* Why libarchive stopped: the stream's own reason, or its words about the format. */
static int
refuse(struct tar *tar, struct error *err)
{
	const struct error *below = stream_error(tar->stream);
	const char *text = archive_error_string(tar->archive);
	char shown[200];
	if (below != NULL) {
		*err = *below;
		return strcmp(err->code, "no_memory") == 0 ? -ENOMEM : -EBADMSG;
	}
	if (text == NULL)
		text = "unknown format";
	log_escape(text, strlen(text), shown, sizeof(shown));
	return error_set(
	    err, EBADMSG, "image_damaged", "no tar archive, or a damaged one: %s", shown);
}

static int
read_piece(
    void *data, const void **ret_bytes, size_t *ret_len, int64_t *ret_offset, struct error *err)
{
	struct tar *tar = data;
	la_int64_t offset = 0;
	int r = archive_read_data_block(tar->archive, ret_bytes, ret_len, &offset);
	*ret_offset = offset;
	if (r == ARCHIVE_EOF)
		return 0;
	return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 1 : refuse(tar, err);
}

/* ---- entries ---- */

static void
set_type(struct archive_entry *from, struct tree_entry *entry)
{
	mode_t type = archive_entry_filetype(from);
	entry->target = archive_entry_hardlink(from);
	if (entry->target != NULL) {
		entry->type = TREE_HARD_LINK;
		return;
	}
	entry->type = TREE_OTHER;
	if (type == AE_IFDIR) {
		entry->type = TREE_DIR;
	} else if (type == AE_IFREG) {
		entry->type = TREE_FILE;
	} else if (type == AE_IFLNK) {
		entry->type = TREE_LINK;
		entry->target = archive_entry_symlink(from);
	} else if (type == AE_IFCHR && archive_entry_rdevmajor(from) == 0 &&
	    archive_entry_rdevminor(from) == 0) {
		entry->type = TREE_NULL_DEVICE;
	} else if (type == AE_IFIFO) {
		entry->kind = "a named pipe";
	} else if (type == AE_IFSOCK) {
		entry->kind = "a socket";
	} else {
		entry->kind = "a device node";
	}
}

static int
add_entry(struct tar *tar, struct archive_entry *from, struct error *err)
{
	struct tree_entry entry = {
	    .path = archive_entry_pathname(from),
	    .executable = (archive_entry_perm(from) & 0111) != 0,
	    .size = archive_entry_size(from),
	    .mtime_s = archive_entry_mtime(from),
	    .read = read_piece,
	    .data = tar,
	};
	if (entry.path == NULL)
		return image_refuse(err, "an entry without a name");
	set_type(from, &entry);
	return tree_add(tar->tree, &entry, err);
}

static int
read_entries(struct tar *tar, struct error *err)
{
	for (;;) {
		struct archive_entry *entry;
		/* A warning is about a name that is no text; we take names as bytes. */
		int r = archive_read_next_header(tar->archive, &entry);
		if (r == ARCHIVE_EOF)
			return stream_error(tar->stream) != NULL ? refuse(tar, err) : 0;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return refuse(tar, err);
		r = add_entry(tar, entry, err);
		if (r < 0)
			return r;
	}
}

static int
open_tar(struct tar *tar, struct error *err)
{
	tar->archive = archive_read_new();
	if (tar->archive == NULL || archive_read_support_format_tar(tar->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(tar->archive) != ARCHIVE_OK)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	if (archive_read_open(tar->archive, tar, NULL, on_read, NULL) != ARCHIVE_OK)
		return refuse(tar, err);
	return 0;
}

int
tar_read(int fd, struct tree *tree, uint8_t ret_hash[SHA256_BYTES], struct error *err)
{
	struct tar tar = {.tree = tree};
	int64_t zeros = 0;
	int64_t limit = tree->limits.bytes + tree->limits.entries * OVERHEAD_PER_ENTRY;
	int r = stream_new(fd, limit, &tar.stream, err);
	if (r < 0)
		return r;
	r = open_tar(&tar, err);
	if (r == 0)
		r = read_entries(&tar, err);
	if (r == 0)
		r = stream_finish(tar.stream, ret_hash, &zeros, err);
	/* The end of an archive is two records of zeros, of which some programs write one. */
	if (r == 0 && zeros < RECORD)
		r = error_set(err, EBADMSG, "image_damaged", "the archive is cut short");
	if (tar.archive != NULL)
		(void)archive_read_free(tar.archive);
	stream_free(tar.stream);
	return r;
}
