/* Which requests are git's, which are not, and which are refused because a server could take them for git's. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "gateway/git_guard.h"

static struct http_text
text_of(const char *text)
{
	return (struct http_text){text, strlen(text)};
}

struct example {
	const char *method, *path, *query;
	int expected;
	const char *repository;
};

static const struct example examples[] = {
    {"GET", "/acme/app.git/info/refs", "service=git-upload-pack", GIT_DISCOVER_FETCH, "acme/app"},
    {"GET", "/acme/app.git/info/refs", "service=git-receive-pack", GIT_DISCOVER_PUSH, "acme/app"},
    {"POST", "/acme/app.git/git-upload-pack", "", GIT_FETCH, "acme/app"},
    {"POST", "/acme/app.git/git-receive-pack", "", GIT_PUSH, "acme/app"},
    {"POST", "/acme/app/git-receive-pack", "", GIT_PUSH, "acme/app"},
    {"POST", "/a/b/c/d.e_f-g~h+i@j.git/git-receive-pack", "", GIT_PUSH, "a/b/c/d.e_f-g~h+i@j"},
    {"POST", "/a.git.git/git-receive-pack", "", GIT_PUSH, "a.git"},
    {"POST", "/Acme/App.git/git-receive-pack", "", GIT_PUSH, "Acme/App"},
    /* not git */
    {"GET", "/", "", GIT_NOT, NULL},
    {"GET", "/acme/app.git/info/refs", "", GIT_NOT, NULL},
    {"GET", "/acme/app.git/HEAD", "", GIT_NOT, NULL},
    {"GET", "/docs/git-receive-pack", "", GIT_NOT, NULL},
    {"GET", "/search", "q=git-receive-pack", GIT_NOT, NULL},
    {"POST", "/acme/app.git/info/lfs/objects/batch", "", GIT_NOT, NULL},
    {"GET", "/api/git/refs", "per_page=1", GIT_NOT, NULL},
    {"POST", "/git-receive-pack/api", "", GIT_NOT, NULL},
    /* not quite git */
    {"GET", "/acme/app.git/info/refs", "service=git-receive-pack&x=1", -EBADMSG, NULL},
    {"GET", "/acme/app.git/info/refs", "service=git-upload-pack&service=git-receive-pack", -EBADMSG,
	NULL},
    {"GET", "/acme/app.git/info/refs", "service=git%2Dreceive-pack", -EBADMSG, NULL},
    {"GET", "/acme/app.git/info/refs", "s%65rvice=git%2dreceive-pack", -EBADMSG, NULL},
    {"GET", "/acme/app.git/info/refs", "service=git-upload-archive", -EBADMSG, NULL},
    {"GET", "/acme/app.git/info/refs", "&service=git-receive-pack", -EBADMSG, NULL},
    {"GET", "/acme/app.git/info/refs/", "service=git-receive-pack", -EBADMSG, NULL},
    {"GET", "/acme/app.git/info/%72efs", "service=git-receive-pack", -EBADMSG, NULL},
    {"GET", "/acme/app.git/INFO/REFS", "service=git-receive-pack", -EBADMSG, NULL},
    {"HEAD", "/acme/app.git/info/refs", "service=git-receive-pack", -EBADMSG, NULL},
    {"get", "/acme/app.git/info/refs", "service=git-receive-pack", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git-receive-pack", "x", -EBADMSG, NULL},
    {"PUT", "/acme/app.git/git-receive-pack", "", -EBADMSG, NULL},
    {"post", "/acme/app.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git%2Dreceive%2dpack", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git%252dreceive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git/GIT-Receive-Pack", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git-receive-pack/", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git-receive-pack/.", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git-receive-pack;x=1", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git-receive-pack%00", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git\\git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/app.git%2fgit-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/../evil/app.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/./app.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme//app.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "//acme/app.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/ap%70.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/app:x.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme;x/app.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "//git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/.git/git-receive-pack", "", -EBADMSG, NULL},
    {"POST", "/acme/.git/git-receive-pack", "", -EBADMSG, NULL},
    {"GET", "/info/refs", "service=git-upload-pack", -EBADMSG, NULL},
    {"POST", "/acme/app.git/git-upload-archive", "", -EBADMSG, NULL},
};

static void
requests_are_git_s_or_not_or_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
		const struct example *e = &examples[i];
		char repository[1025] = "";
		int r = git_request_of(
		    text_of(e->method), text_of(e->path), text_of(e->query), repository);
		if (r != e->expected)
			print_error("%s %s?%s\n", e->method, e->path, e->query);
		assert_int_equal(r, e->expected);
		if (e->repository != NULL)
			assert_string_equal(repository, e->repository);
	}
}

static void
a_repository_s_name_is_bounded(void **state)
{
	char path[2048], repository[1025];
	for (size_t n = 1000; n < 1100; n++) {
		memset(path, 'a', n);
		path[0] = '/';
		memcpy(path + n, "/git-receive-pack", sizeof("/git-receive-pack"));
		int r = git_request_of(text_of("POST"), text_of(path), text_of(""), repository);
		assert_int_equal(r, n <= 1024 ? GIT_PUSH : -EBADMSG);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_are_git_s_or_not_or_refused),
	    cmocka_unit_test(a_repository_s_name_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
