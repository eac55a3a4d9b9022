#include "vault/secrets.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/patterns.h"

#define SUFFIX ".sealed"
#define SUFFIX_NEW ".sealed.new"
#define PATH_ROOM (SECRET_NAME_MAX + sizeof(SUFFIX_NEW))

static int
compare(const void *a, const void *b)
{
	return strcmp(((const struct secret *)a)->name, ((const struct secret *)b)->name);
}

struct secret *
secrets_find(struct secrets *secrets, const char *name)
{
	struct secret wanted = {.head = NULL};
	if (strlen(name) > SECRET_NAME_MAX)
		return NULL;
	(void)snprintf(wanted.name, sizeof(wanted.name), "%s", name);
	return bsearch(&wanted, secrets->list, secrets->n, sizeof(wanted), compare);
}

const struct secret *
secrets_foreign(const struct secrets *secrets, const struct seal_key *key)
{
	for (size_t i = 0; i < secrets->n; i++) {
		const struct secret *secret = &secrets->list[i];
		if (secret->head != NULL &&
		    strcmp(json_get_str(secret->head, "key", ""), key->id) != 0)
			return secret;
	}
	return NULL;
}

int64_t
secret_version(const struct secret *secret)
{
	return json_get_int(secret->head, "version", 0);
}

/* ---- files ---- */

/* The whole file of secret NAME. 0 or -errno. */
static int
read_file(const char *name, struct buf *out)
{
	char path[PATH_ROOM];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s" SUFFIX, name);
	_cleanup_close_ int fd =
	    openat(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > SEAL_FILE_MAX)
		return -EBADMSG;
	uint8_t *at = buf_reserve(out, (size_t)st.st_size);
	if (at == NULL)
		return -ENOMEM;
	for (off_t n = 0; n < st.st_size;) {
		ssize_t r = pread(fd, at + n, (size_t)(st.st_size - n), n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -EBADMSG;
		n += r;
	}
	buf_grew(out, (size_t)st.st_size);
	return 0;
}

static int
write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
sync_directory(void)
{
	_cleanup_close_ int fd = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int
write_file(const char *name, const struct buf *bytes)
{
	char path[PATH_ROOM], temporary[PATH_ROOM];
	(void)snprintf(path, sizeof(path), "%s" SUFFIX, name);
	(void)snprintf(temporary, sizeof(temporary), "%s" SUFFIX_NEW, name);
	_cleanup_close_ int fd = openat(
	    AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = write_all(fd, bytes->data, bytes->len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(AT_FDCWD, temporary, AT_FDCWD, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(AT_FDCWD, temporary, 0);
	return r < 0 ? r : sync_directory();
}

/* ---- loading ---- */

/* NAME of NAME.sealed into RET; false: it is not one. */
static bool
name_of(const char *file, char ret[SECRET_NAME_MAX + 1])
{
	size_t len = strlen(file), suffix = sizeof(SUFFIX) - 1;
	if (len <= suffix || len - suffix > SECRET_NAME_MAX ||
	    strcmp(file + len - suffix, SUFFIX) != 0)
		return false;
	memcpy(ret, file, len - suffix);
	ret[len - suffix] = 0;
	return check_name(ret) == NULL;
}

static int
load_one(struct secrets *secrets, const char *name)
{
	if (secrets->n == SECRETS_MAX)
		return -E2BIG;
	struct secret *secret = &secrets->list[secrets->n];
	_cleanup_buf_ struct buf file;
	buf_init(&file, SEAL_FILE_MAX);
	*secret = (struct secret){.head = NULL};
	(void)snprintf(secret->name, sizeof(secret->name), "%s", name);
	int r = read_file(name, &file);
	if (r == 0)
		r = seal_head(file.data, file.len, &secret->head);
	if (r == 0 && strcmp(json_get_str(secret->head, "name", ""), name) != 0) {
		secret->head = json_free(secret->head);
		r = -EBADMSG;
	}
	if (r == 0 || r == -EBADMSG || r == -ELOOP)
		secrets->n++;
	return r == -EBADMSG || r == -ELOOP ? 0 : r;
}

static int
load_all(struct secrets *secrets, DIR *dir)
{
	char name[SECRET_NAME_MAX + 1];
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (entry == NULL)
			return -errno;
		int r = name_of(entry->d_name, name) ? load_one(secrets, name) : 0;
		if (r < 0)
			return r;
	}
}

int
secrets_load(struct secrets *secrets, struct error *err)
{
	int fd = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r = dir == NULL ? -errno : load_all(secrets, dir);
	if (dir != NULL)
		(void)closedir(dir);
	else if (fd >= 0)
		(void)close(fd);
	if (secrets->n > 1)
		qsort(secrets->list, secrets->n, sizeof(secrets->list[0]), compare);
	return r < 0 ? error_set_errno(err, -r, "vault_unusable", "the vault's directory") : 0;
}

/* ---- setting, removing, opening ---- */

/* The place of NAME, kept in order; NULL when all are taken. */
static struct secret *
place_for(struct secrets *secrets, const char *name)
{
	struct secret *known = secrets_find(secrets, name);
	if (known != NULL || secrets->n == SECRETS_MAX)
		return known;
	size_t at = secrets->n;
	while (at > 0 && strcmp(secrets->list[at - 1].name, name) > 0)
		at--;
	memmove(&secrets->list[at + 1], &secrets->list[at],
	    (secrets->n - at) * sizeof(secrets->list[0]));
	secrets->n++;
	secrets->list[at] = (struct secret){.head = NULL};
	(void)snprintf(secrets->list[at].name, sizeof(secrets->list[at].name), "%s", name);
	return &secrets->list[at];
}

int
secrets_set(struct secrets *secrets, const struct seal_key *key, struct json *head,
    const uint8_t *value, size_t len, struct error *err)
{
	_cleanup_json_ struct json *owned = head;
	_cleanup_buf_ struct buf file;
	char name[SECRET_NAME_MAX + 1];
	buf_init(&file, SEAL_FILE_MAX);
	(void)snprintf(name, sizeof(name), "%s", json_get_str(head, "name", ""));
	const struct secret *before = secrets_find(secrets, name);
	if (before == NULL && secrets->n == SECRETS_MAX)
		return error_set(err, E2BIG, "secret_invalid",
		    "the vault has %d secrets already; remove one", SECRETS_MAX);
	(void)json_set_int(head, "version", before != NULL ? secret_version(before) + 1 : 1);
	int r = seal_write(key, head, value, len, &file);
	if (r == 0)
		r = write_file(name, &file);
	if (r < 0)
		return error_set_errno(err, -r, "vault_failed", "cannot seal %s", name);
	struct secret *secret = place_for(secrets, name);
	assert(secret != NULL); /* there was room above */
	json_free(secret->head);
	secret->head = TAKE_PTR(owned);
	return 0;
}

int
secrets_remove(struct secrets *secrets, struct secret *secret, struct error *err)
{
	char path[PATH_ROOM];
	(void)snprintf(path, sizeof(path), "%s" SUFFIX, secret->name);
	int r = unlinkat(AT_FDCWD, path, 0) < 0 && errno != ENOENT ? -errno : sync_directory();
	if (r < 0)
		return error_set_errno(err, -r, "vault_failed", "cannot remove %s", secret->name);
	json_free(secret->head);
	size_t at = (size_t)(secret - secrets->list);
	memmove(secret, secret + 1, (secrets->n - at - 1) * sizeof(*secret));
	secrets->n--;
	return 0;
}

int
secrets_open(
    const struct secret *secret, const struct seal_key *key, uint8_t *ret, struct error *err)
{
	_cleanup_json_ struct json *head = NULL;
	_cleanup_buf_ struct buf file;
	buf_init(&file, SEAL_FILE_MAX);
	int r = read_file(secret->name, &file);
	if (r == 0)
		r = seal_head(file.data, file.len, &head);
	if (r == 0 && (secret->head == NULL || !json_equal(head, secret->head)))
		r = -EBADMSG;
	if (r == 0)
		r = seal_open(key, file.data, file.len, ret);
	if (r == -ENOKEY) {
		error_set(err, ENOKEY, "vault_key",
		    "secret %s is sealed with another master key (%s) than this vault has (%s)",
		    secret->name, json_get_str(head, "key", "?"), key->is_set ? key->id : "none");
		error_remedy(
		    err, "configure the key that it was sealed with, or remove and set it again");
		return r;
	}
	if (r == -EBADMSG || r == -ENOENT) {
		error_set(err, EBADMSG, "credential_damaged",
		    "the file of secret %s is not what was sealed", secret->name);
		error_remedy(
		    err, "find out who changed it; then ringfence secret set %s", secret->name);
		return -EBADMSG;
	}
	if (r < 0)
		return error_set_errno(
		    err, -r, "vault_failed", "cannot open secret %s", secret->name);
	return r;
}
