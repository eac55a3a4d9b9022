/* What programs read to find names and to trust the sandbox's own authority: resolv.conf and the bundle of authorities.
 * Both lie in one small file system that is made, filled, and only then put in place, read-only: the command cannot
 * change what it is told, and its scratch is none the smaller. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/network.h"
#include "init/truststore.h"
#include "sandbox/plan.h"
#include "sys/mounts.h"

#define BUNDLE_MAX (4 << 20)
#define SPARE_BYTES (64 << 10)

/* Where distributions and programs look for what we show; those that a root does not have are left out. The links of
 * an image lead into its own root: it is "/" by now. */
static const struct {
	const char *ours, *there;
} shown[] = {
    {PLAN_NETWORK "/resolv.conf", "/etc/resolv.conf"},
    {PLAN_AUTHORITIES, "/etc/ssl/certs/ca-certificates.crt"},
    {PLAN_AUTHORITIES, "/etc/ssl/cert.pem"},
    {PLAN_AUTHORITIES, "/etc/ssl/ca-bundle.pem"},
    {PLAN_AUTHORITIES, "/etc/pki/tls/certs/ca-bundle.crt"},
    {PLAN_AUTHORITIES, "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"},
};

/* Where JVMs have their own store: of distributions, and of those that came by themselves. */
static const char *const java_stores[] = {"/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts", "/opt/java/openjdk/lib/security/cacerts",
    "/usr/lib/jvm/*/lib/security/cacerts", "/usr/local/openjdk-*/lib/security/cacerts",
    "/opt/jdk*/lib/security/cacerts"};
#define JAVA_STORE PLAN_NETWORK "/cacerts"
#define JAVA_STORES_MAX 16

static int
write_file(int dir, const char *name, const char *text, size_t len)
{
	_cleanup_close_ int fd =
	    openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, text + done, len - done);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int
write_resolver(int dir, const struct json *network)
{
	char text[160];
	int n = snprintf(text, sizeof(text), "nameserver %s\noptions timeout:3 attempts:2\n",
	    json_get_str(network, "resolver", "127.0.0.1"));
	return write_file(dir, "resolv.conf", text, (size_t)n);
}

static bool
has_java(glob_t *ret_stores)
{
	for (size_t i = 0; i < ARRAY_LEN(java_stores); i++)
		(void)glob(java_stores[i], i == 0 ? 0 : GLOB_APPEND, NULL, ret_stores);
	return ret_stores->gl_pathc > 0;
}

static int
write_java_store(int dir, const char *pem, size_t len)
{
	_cleanup_buf_ struct buf store;
	buf_init(&store, BUNDLE_MAX);
	int r = truststore_write(pem, len, &store);
	if (r < 0)
		return r;
	return write_file(dir, strrchr(JAVA_STORE, '/') + 1, buf_str(&store), store.len);
}

/* Copies what BUNDLE (a sealed memory file of SIZE bytes) holds; WITH_JAVA: also in the form that Java reads. */
static int
write_bundle(int dir, int bundle, off_t size, bool with_java)
{
	char *text = malloc((size_t)size + 1);
	if (text == NULL)
		return -ENOMEM;
	ssize_t n = pread(bundle, text, (size_t)size, 0);
	int r =
	    n != size ? -EIO : write_file(dir, strrchr(PLAN_AUTHORITIES, '/') + 1, text, (size_t)n);
	if (r == 0 && with_java)
		r = write_java_store(dir, text, (size_t)n);
	free(text);
	return r;
}

static int
fill(int dir, const struct json *network, int bundle, off_t size, bool with_java)
{
	int r = write_resolver(dir, network);
	if (r == 0 && bundle >= 0)
		r = write_bundle(dir, bundle, size, with_java);
	return r;
}

/* The same file once more, at a place where it is looked for, if there is one. The mount has the flags of its source. */
static int
show(const char *from, const char *at)
{
	struct stat ours, there;
	if (stat(from, &ours) < 0 || stat(at, &there) < 0 || !S_ISREG(there.st_mode) ||
	    (ours.st_dev == there.st_dev && ours.st_ino == there.st_ino))
		return 0; /* a link to one that is shown already */
	return mount(from, at, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int
show_all(const glob_t *java)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(shown); i++)
		r = show(shown[i].ours, shown[i].there);
	for (size_t i = 0; r == 0 && i < MIN(java->gl_pathc, JAVA_STORES_MAX); i++)
		r = show(JAVA_STORE, java->gl_pathv[i]);
	return r;
}

int
network_show(const struct json *network, int bundle, struct error *err)
{
	struct stat st = {0};
	char bytes[24];
	if (bundle >= 0 && (fstat(bundle, &st) < 0 || st.st_size <= 0 || st.st_size > BUNDLE_MAX))
		return error_set(err, EBADMSG, "network_failed", "no bundle of authorities came");
	(void)snprintf(bytes, sizeof(bytes), "%lld", 2LL * st.st_size + SPARE_BYTES);
	const char *const options[] = {"size", bytes, "nr_inodes", "16", "mode", "0755", NULL};
	_cleanup_close_ int fd =
	    mounts_create("tmpfs", options, MNT_NOSUID | MNT_NODEV | MNT_NOEXEC, err);
	if (fd < 0)
		return fd;
	glob_t java = {0};
	int r = fill(fd, network, bundle, st.st_size, has_java(&java));
	if (r == 0)
		r = mounts_restrict(fd, MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC);
	if (r == 0)
		r = mounts_place(fd, AT_FDCWD, PLAN_NETWORK);
	if (r == 0)
		r = show_all(&java);
	globfree(&java);
	return r < 0 ? error_set_errno(err, -r, "network_failed",
			   "cannot show the sandbox its resolver and authorities")
		     : 0;
}
