/* The locks of rf-image: three parts, three profiles. None can open a socket, start a program (but the
 * one that becomes a file system's tool), trace or signal. */
#pragma once

#include "base/error.h"
#include "base/macros.h"

/* The reader of hostile bytes. From here on only the directory WORK can be reached, and the directory TREE
 * (-1: none) be read. As root also chroot to WORK, and an id of its own. Descriptors from
 * WORKER_WORK_FD + 1 on are closed. Never goes on without. */
int profile_enter_reader(int work, int tree, struct error *err) MUST_CHECK;

/* About to become a program of the system that reads a hostile file system image. It may read and
 * execute /usr, and write below WORK only if WRITES; WORK becomes the working directory. */
enum profile_tool { PROFILE_TOOL_READS, PROFILE_TOOL_WRITES };
int profile_enter_tool(int work, enum profile_tool tool, struct error *err) MUST_CHECK;

/* The part that keeps its user and changes the store IMAGES: from here on that tree, and SOURCE (-1:
 * none) to read. Root's capabilities are down to those over files. */
int profile_enter_store(int images, int source, struct error *err) MUST_CHECK;
