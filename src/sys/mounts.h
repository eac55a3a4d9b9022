/* Mounts through descriptors (open_tree, fsopen, move_mount, mount_setattr; Linux 5.12).
 *
 * Everything is made detached, given its attributes, and only then put in place: there is no moment at
 * which a mount is visible with weaker flags. See mount_setattr(2), fsopen(2). */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"

/* Attributes, as MOUNT_ATTR_* of linux/mount.h. */
#define MNT_RDONLY 0x00000001ULL
#define MNT_NOSUID 0x00000002ULL
#define MNT_NODEV 0x00000004ULL
#define MNT_NOEXEC 0x00000008ULL
#define MNT_IDMAP 0x00100000ULL

/* A detached copy of the tree at DIR_FD/PATH ("" with an fd: that file itself), with ATTRS set on
 * every mount of it. fd or -errno. */
int mounts_clone(int dir_fd, const char *path, uint64_t attrs) MUST_CHECK;
/* As mounts_clone for one mount, whose ids are translated by the user namespace USERNS_FD: an id that
 * namespace maps from X to Y appears as Y where the file system says X. -EINVAL where the file system
 * cannot. Needs CAP_SYS_ADMIN over the file system. */
int mounts_clone_idmapped(int dir_fd, const char *path, uint64_t attrs, int userns_fd) MUST_CHECK;

/* A new file system of TYPE, detached. OPTIONS is key, value, …, NULL; a value of NULL sets a flag.
 * fd or -errno; what the kernel said goes to ERR. */
int mounts_create(const char *type, const char *const *options, uint64_t attrs, struct error *err)
    MUST_CHECK;

/* Sets ATTRS on the mount FD, too. 0 or -errno. */
int mounts_restrict(int fd, uint64_t attrs) MUST_CHECK;
/* Puts the detached mount FD on DIR_FD/PATH. 0 or -errno. */
int mounts_place(int fd, int dir_fd, const char *path) MUST_CHECK;

/* pivot_root into the mount FD (placed nowhere yet) and detach everything else. 0 or -errno. */
int mounts_become_root(int dir_fd) MUST_CHECK;
