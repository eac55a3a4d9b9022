/* What is opened at first need (arbiter.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "arbiter/arbiter.h"
#include "arbiter/evidence.h"
#include "base/clock.h"
#include "ipc/spawn.h"

#define STORE_FILE "store.db"
#define KEY_FILE "digest.key"

/* ---- the store ---- */

/* An action that an earlier process left open. */
static void
on_swept(const struct store_action *action, void *data)
{
	struct arbiter *arbiter = data;
	struct json *record = json_new_object();
	(void)json_set_str(record, "state", action_state_name(action->state));
	(void)json_set_str(record, "comment", "found open at the arbiter's start");
	evidence_note(arbiter,
	    action->state == STATE_UNKNOWN       ? "settled"
		: action->state == STATE_EXPIRED ? "review-expired"
						 : "invalidated",
	    action->task, action->id, record);
}

struct store *
arbiter_store(struct arbiter *arbiter, struct error *err)
{
	if (arbiter->store != NULL)
		return arbiter->store;
	struct store *store = NULL;
	if (store_open(STORE_FILE, &store, err) < 0)
		return NULL;
	int r = store_sweep(store, clock_wall_ms(), on_swept, arbiter);
	if (r < 0) {
		error_set_errno(err, -r, "store_failed", "store: closing what was left open");
		store_close(store);
		return NULL;
	}
	arbiter->store = store;
	return store;
}

/* ---- people ---- */

struct people *
arbiter_people(struct arbiter *arbiter, struct error *err)
{
	if (arbiter->people == NULL &&
	    people_read(SPAWN_CONFIG, SPAWN_PASSWD, SPAWN_GROUP, &arbiter->people, err) < 0)
		return NULL;
	return arbiter->people;
}

/* ---- the digest key ---- */

static int
key_read(uint8_t key[SHA256_BYTES])
{
	_cleanup_close_ int fd = open(KEY_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	uint8_t room[SHA256_BYTES + 1];
	ssize_t n = read(fd, room, sizeof(room));
	if (n == SHA256_BYTES)
		memcpy(key, room, SHA256_BYTES);
	explicit_bzero(room, sizeof(room));
	return n == SHA256_BYTES ? 0 : n < 0 ? -errno : -EUCLEAN;
}

/* Made once per state directory; synced, since old digests mean nothing without it. */
static int
key_make(uint8_t key[SHA256_BYTES])
{
	if (getrandom(key, SHA256_BYTES, 0) != SHA256_BYTES)
		return -EIO;
	(void)unlink(KEY_FILE ".new");
	_cleanup_close_ int fd =
	    open(KEY_FILE ".new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, key, SHA256_BYTES);
	if (n != SHA256_BYTES)
		return n < 0 ? -errno : -ENOSPC;
	if (fsync(fd) < 0 || rename(KEY_FILE ".new", KEY_FILE) < 0)
		return -errno;
	return 0;
}

const uint8_t *
arbiter_key(struct arbiter *arbiter, struct error *err)
{
	if (arbiter->have_key)
		return arbiter->key;
	int r = key_read(arbiter->key);
	if (r == -ENOENT)
		r = key_make(arbiter->key);
	if (r < 0) {
		error_set_errno(
		    err, -r, "key_failed", "the key of the action digests (%s)", KEY_FILE);
		return NULL;
	}
	arbiter->have_key = true;
	return arbiter->key;
}
