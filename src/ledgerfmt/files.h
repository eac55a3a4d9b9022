/* The files of a ledger's directory (doc/ledger.md). Shared by the program that writes them and those
 * that read them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

#define FILES_CHECKPOINT "checkpoint"   /* the latest note, replaced atomically */
#define FILES_CHECKPOINTS "checkpoints" /* all notes, each followed by an empty line */
#define FILES_PUBLIC_KEY "ledger.pub"
#define FILES_PRIVATE_KEY "ledger.key"
#define FILES_REDACT_KEY "redact.key"
#define FILES_FRONTIER "frontier" /* a cache of the tree's edge; the start of a partial export */
#define FILES_START "start"       /* partial export: where its first segment begins */

/* A segment is rotated when it reaches this size. */
#define SEGMENT_BYTES_MAX (64u * 1024 * 1024)
#define SEGMENT_NAME_BYTES 16 /* "00000000.jsonl" with the NUL, and room */
#define SEGMENT_NUMBER_MAX 99999999u

void segment_name(uint32_t number, char ret[SEGMENT_NAME_BYTES]);
/* Whether NAME is a segment's, and which. */
bool segment_parse(const char *name, uint32_t *ret_number);
/* The lowest and highest segment in directory DIR_FD, and how many there are. 1 if any, 0 if none,
 * -errno. */
int segment_range(int dir_fd, uint32_t *ret_first, uint32_t *ret_last, uint32_t *ret_count)
    MUST_CHECK;

/* Writes all of BYTES. 0 or -errno. */
int files_write_all(int fd, const void *bytes, size_t len) MUST_CHECK;
/* Reads LEN bytes at OFFSET; fewer is -EIO. 0 or -errno. */
int files_pread_all(int fd, void *ret, size_t len, int64_t offset) MUST_CHECK;
/* Replaces NAME in DIR_FD with BYTES: written beside it, synced if SYNCED, renamed. 0 or -errno. */
enum files_sync { FILES_PLAIN, FILES_SYNCED };
int files_replace(int dir_fd, const char *name, const void *bytes, size_t len, unsigned mode,
    enum files_sync sync) MUST_CHECK;
