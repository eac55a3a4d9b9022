/* The master key: 32 bytes, as they are, as 64 hexadecimal digits, or in Base64; one newline may follow.
 *
 * Files and commands are of the configuration, which only the owner of this installation writes. They are read before
 * the program's locks, with the rights that it was started with; a command gets no shell, no input and a time limit, and
 * ends before the locks are entered. */
#include "vault/key.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "policy/config.h"
#include "proto/encode.h"
#include "sys/process.h"

#define TEXT_MAX 256
#define COMMAND_MS 10000

/* ---- what it looks like ---- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_hex(const char *text, uint8_t ret[SEAL_KEY_BYTES])
{
	for (size_t i = 0; i < SEAL_KEY_BYTES; i++) {
		int high = hex_value(text[2 * i]), low = high < 0 ? -1 : hex_value(text[2 * i + 1]);
		if (low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool
read_base64(const char *text, size_t len, uint8_t ret[SEAL_KEY_BYTES])
{
	struct buf plain;
	buf_init(&plain, SEAL_KEY_BYTES);
	bool good = decode_base64(text, len, &plain) == 0 && plain.len == SEAL_KEY_BYTES;
	if (good)
		memcpy(ret, plain.data, SEAL_KEY_BYTES);
	if (plain.data != NULL)
		explicit_bzero(plain.data, plain.room);
	buf_done(&plain);
	return good;
}

static bool
read_text(const char *text, size_t len, uint8_t ret[SEAL_KEY_BYTES])
{
	if (len == SEAL_KEY_BYTES) {
		memcpy(ret, text, len);
		return true;
	}
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == SEAL_KEY_BYTES) {
		memcpy(ret, text, len);
		return true;
	}
	return len == 2 * SEAL_KEY_BYTES ? read_hex(text, ret) : read_base64(text, len, ret);
}

static void
take_text(struct vault_key *key, char *text, size_t len)
{
	uint8_t master[SEAL_KEY_BYTES];
	if (read_text(text, len, master)) {
		seal_key_derive(master, &key->seal);
	} else {
		error_set(&key->error, EINVAL, "vault_key",
		    "%s holds no master key: 32 bytes, 64 hexadecimal digits or Base64 are one",
		    key->where);
	}
	explicit_bzero(master, sizeof(master));
	explicit_bzero(text, len);
}

static int
read_some(int fd, char *ret, size_t room, size_t *ret_len)
{
	*ret_len = 0;
	while (*ret_len < room) {
		ssize_t n = read(fd, ret + *ret_len, room - *ret_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		*ret_len += (size_t)n;
	}
	return -EFBIG;
}

/* ---- a file ---- */

/* The key in the file FD, which others than its owner must not be able to read (OWN: nor its group). */
static void
take_file(struct vault_key *key, int fd, bool own)
{
	char text[TEXT_MAX];
	struct stat st;
	size_t len = 0;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && !S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r == 0 && (st.st_mode & (own ? 0077 : 0007)) != 0) {
		error_set(&key->error, EPERM, "vault_key", "%s can be read by others: mode %04o",
		    key->where, st.st_mode & 07777);
		error_remedy(&key->error, "chmod 600 it, and replace the key if it was seen");
		return;
	}
	if (r == 0)
		r = read_some(fd, text, sizeof(text), &len);
	if (r < 0)
		error_set_errno(
		    &key->error, -r, "vault_key", "cannot read the master key in %s", key->where);
	else
		take_text(key, text, len);
}

static void
read_file(struct vault_key *key, const char *path)
{
	key->from = KEY_FROM_FILE;
	(void)snprintf(key->where, sizeof(key->where), "%s", path);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		error_set_errno(
		    &key->error, errno, "vault_key", "cannot read the master key in %s", path);
	else
		take_file(key, fd, /* own= */ false);
}

/* ---- a command ---- */

/* What comes out of FD until its end or DEADLINE. */
static int
read_until(int fd, int64_t deadline_ns, char *ret, size_t room, size_t *ret_len)
{
	*ret_len = 0;
	for (;;) {
		int64_t left_ms = (deadline_ns - clock_monotonic_ns()) / 1000000;
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		int r = left_ms <= 0 ? 0 : poll(&wait, 1, (int)left_ms);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -ETIMEDOUT;
		ssize_t n = read(fd, ret + *ret_len, room - *ret_len);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		*ret_len += (size_t)n;
		if (*ret_len == room)
			return -EFBIG;
	}
}

/* Ends it if it has not ended by itself by DEADLINE; its status. */
static int
wait_for(int pidfd, int64_t deadline_ns, int *ret_status)
{
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};
	int64_t left_ms = (deadline_ns - clock_monotonic_ns()) / 1000000;
	bool ended = poll(&wait, 1, left_ms > 0 ? (int)left_ms : 0) > 0;
	if (!ended)
		(void)process_signal(pidfd, SIGKILL);
	int r = process_reap(pidfd, /* block= */ true, ret_status);
	return r < 0 ? r : ended ? 0 : -ETIMEDOUT;
}

static int
run_command(
    struct vault_key *key, const char *const *argv, char *text, size_t room, size_t *ret_len)
{
	static const char *const envp[] = {
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
	    NULL};
	int out[2], status = 0, pidfd = -1;
	pid_t pid = 0;
	_cleanup_close_ int program = open(argv[0], O_PATH | O_CLOEXEC);
	if (program < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	const int fds[] = {-1, out[1], STDERR_FILENO};
	struct process_spec spec = {.program_fd = program,
	    .argv = argv,
	    .envp = envp,
	    .fds = fds,
	    .n_fds = (int)ARRAY_LEN(fds),
	    .new_session = true,
	    .die_with_parent = true,
	    .unblock_signals = true};
	int r = process_start(&spec, &pid, &pidfd);
	(void)close(out[1]);
	if (r == 0) {
		int64_t deadline = clock_monotonic_ns() + COMMAND_MS * INT64_C(1000000);
		r = read_until(out[0], deadline, text, room, ret_len);
		if (r < 0)
			(void)process_signal(pidfd, SIGKILL);
		int ended = wait_for(pidfd, deadline, &status);
		r = r < 0 ? r : ended;
		(void)close(pidfd);
	}
	(void)close(out[0]);
	if (r == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		return error_set(&key->error, EIO, "vault_key",
		    "the master key's command %s failed: %s %d", key->where,
		    WIFEXITED(status) ? "exit" : "signal",
		    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return r;
}

static void
read_command(struct vault_key *key, const char *const *argv)
{
	char text[TEXT_MAX];
	size_t len = 0;
	key->from = KEY_FROM_COMMAND;
	(void)snprintf(key->where, sizeof(key->where), "%s", argv[0]);
	int r = run_command(key, argv, text, sizeof(text), &len);
	if (r == 0)
		take_text(key, text, len);
	else if (key->error.code[0] == 0)
		error_set_errno(
		    &key->error, -r, "vault_key", "the master key's command %s", key->where);
	explicit_bzero(text, sizeof(text));
}

/* ---- which of them ---- */

/* What the configuration says, owned; NULL with KEY's error set. */
static struct config *
load_config(int fd, struct vault_key *key)
{
	_cleanup_buf_ struct buf text;
	struct config *config = NULL;
	buf_init(&text, CONFIG_BYTES_MAX);
	for (;;) {
		uint8_t *at = buf_reserve(&text, MIN((size_t)16384, text.limit - text.len));
		ssize_t n = fd < 0
		    ? 0
		    : pread(fd, at, MIN((size_t)16384, text.limit - text.len), (off_t)text.len);
		if (n < 0 && errno == ESPIPE) /* /dev/null */
			n = 0;
		if (at == NULL || n < 0) {
			error_set_errno(&key->error, at == NULL ? ENOMEM : errno, "config_invalid",
			    "the configuration cannot be read");
			return NULL;
		}
		if (n == 0)
			break;
		buf_grew(&text, (size_t)n);
	}
	if (text.len == text.limit) {
		error_set(&key->error, EFBIG, "config_invalid", "the configuration is too long");
		return NULL;
	}
	if (config_load(buf_str(&text), text.len, "config.yaml", &config, &key->error) < 0)
		return NULL;
	return config;
}

void
key_read_outside(int config_fd, struct vault_key *ret, struct config **ret_config)
{
	*ret = (struct vault_key){.from = KEY_FROM_OWN};
	(void)snprintf(ret->where, sizeof(ret->where), "%s", KEY_FILE);
	struct config *config = load_config(config_fd, ret);
	if (config != NULL && config->master_key_file != NULL)
		read_file(ret, config->master_key_file);
	else if (config != NULL && config->master_key_command != NULL)
		read_command(ret, config->master_key_command);
	*ret_config = config;
}

static int
make_own(int *ret_fd)
{
	uint8_t master[SEAL_KEY_BYTES];
	int r = getrandom(master, sizeof(master), 0) == (ssize_t)sizeof(master) ? 0 : -EIO;
	int fd = -1;
	if (r == 0) {
		fd = openat(AT_FDCWD, KEY_FILE ".new",
		    O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : 0;
	}
	if (r == 0 &&
	    (write(fd, master, sizeof(master)) != (ssize_t)sizeof(master) || fsync(fd) < 0 ||
		renameat(AT_FDCWD, KEY_FILE ".new", AT_FDCWD, KEY_FILE) < 0))
		r = errno != 0 ? -errno : -EIO;
	explicit_bzero(master, sizeof(master));
	if (r < 0) {
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	(void)lseek(fd, 0, SEEK_SET);
	*ret_fd = fd;
	return 0;
}

void
key_read_own(struct vault_key *key, bool has_secrets)
{
	if (key->from != KEY_FROM_OWN || key->error.code[0] != 0)
		return;
	_cleanup_close_ int fd = openat(AT_FDCWD, KEY_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;
	if (r == -ENOENT && has_secrets) {
		error_set(&key->error, ENOKEY, "vault_key",
		    "the vault has secrets but its master key is gone");
		error_remedy(&key->error,
		    "bring vault/" KEY_FILE
		    " back from a backup, or remove and set the secrets again");
		return;
	}
	if (r == -ENOENT)
		r = make_own(&fd);
	if (r < 0)
		error_set_errno(&key->error, -r, "vault_key", "the vault's own master key");
	else
		take_file(key, fd, /* own= */ true);
}
