/* What the parts of rf-image share: what one import was told, and the names below its place. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "image/image.h"

/* Below the stage (image/store.h): WORK is the directory of who reads hostile bytes; in it: */
#define WORK_DIR "work"
#define WORK_ROOTFS "rootfs"
#define WORK_INPUT "input" /* a copy of the file, where the reader needs one by name */
#define WORK_RESULT \
	"result.json" /* what the reader says: {"source","names","config","left_out"} | {"error"} */
#define WORK_FILES "files" /* an image archive, unpacked */

#define WORKER_INPUT_FD 3
#define WORKER_WORK_FD 4

struct import_options {
	const char *file;
	const char *name; /* NULL: what the archive calls itself */
	struct image_limits limits;
};

/* The whole of `image import`. RET: {"id","name","new","entries","bytes","left_out","source"}; owned. */
int import_run(const struct import_options *options, struct json **ret, struct error *err)
    MUST_CHECK;

/* `rf-image --worker KIND BYTES ENTRIES`, which import_run starts: never by hand. The exit status. */
int worker_main(int argc, char **argv);

/* A running worker. */
struct worker {
	pid_t pid;
	int pidfd; /* -1: none */
};

/* Starts this program again as worker KIND with INPUT (-1: none) and WORK; its output is OUT (-1: none). */
int worker_start(const char *kind, int input, int work, int out, const struct image_limits *limits,
    struct worker *ret, struct error *err) MUST_CHECK;
/* Waits for its end; its wait status. */
int worker_wait(struct worker *worker, int *ret_status);
void worker_kill(struct worker *worker);

/* File systems in a file, read by their own tools, never by the kernel. */
enum fstool { FSTOOL_NONE, FSTOOL_SQUASHFS, FSTOOL_EROFS };
enum fstool fstool_recognise(int fd);
/* Unpacks WORK/input into WORK/rootfs by TOOL. */
int fstool_unpack(enum fstool tool, int work, const struct image_limits *limits, struct error *err)
    MUST_CHECK;
/* In the worker: becomes the tool. Only returns when that failed. */
int fstool_become(const char *kind, int work, const struct image_limits *limits, struct error *err);

/* Exit status of a reader that found its archive damaged or cut short. */
#define WORKER_DAMAGED 3
/* 0 if a reader that ended with wait status STATUS left a result; otherwise an error. */
int worker_ended(int status, struct error *err) MUST_CHECK;
/* The result that a reader left in WORK, which may say anything; its error, if it is one. */
int worker_result(int work, struct json **ret, struct error *err) MUST_CHECK;

/* list, inspect, remove, gc. The exit status. */
int show_list(const char *state, bool json);
int show_inspect(const char *state, const char *name, bool verify, bool json);
int show_remove(const char *state, char **names, int n, bool json);
int show_gc(const char *state, bool json);

/* Tells ERR to a person, or as JSON on the output. Returns the exit status for R. */
int tell_error(const struct error *err, const char *about, bool json);
/* Prints V as one line, or as lines for people; 0 or 1. */
int tell_json(const struct json *v);
