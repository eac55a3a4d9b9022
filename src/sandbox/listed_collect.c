/* From the programs that rules name to the whole set: programs first, then whatever each item needs, until
 * nothing new is needed. */
#include "sandbox/listed_need.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/host.h"
#include "sandbox/plan.h"

#define SCRIPT_LINE_MAX 256 /* as the kernel's BINPRM_BUF_SIZE */

/* ---- programs ---- */

/* Where the sandbox has things of its own. */
static const char *const taken[] = {
    "/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp", "/etc", PLAN_HOME, PLAN_WORKSPACE};

static int
check_place(const char *program, const char *path, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		if (!listed_below(path, taken[i]))
			continue;
		error_set(err, EINVAL, "listed_place",
		    "the program %.200s lies in %s, where the sandbox has files of its own%s%.200s",
		    program, taken[i], path == program ? "" : ": ", path == program ? "" : path);
		error_remedy(err, "install it below /usr/local or /opt, and name it there");
		return -EINVAL;
	}
	return 0;
}

static int
add_program(struct listed_set *set, const char *program, struct error *err)
{
	char path[LISTED_PATH_MAX];
	struct stat st;
	if (program[0] != '/')
		return error_set(err, EINVAL, "listed_program",
		    "the program %.200s is not an absolute path", program);
	int r = check_place(program, program, err);
	if (r < 0)
		return r;
	r = listed_walk(set, program, path, &st);
	if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
		return 0; /* is not there, or not for us: not there inside */
	if (r < 0)
		return error_set_errno(
		    err, -r, "listed_program", "cannot look at the program %.200s", program);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "listed_program", "%.200s is not a program", program);
	if ((st.st_mode & S_IWOTH) != 0)
		return error_set(err, EPERM, "listed_program",
		    "the program %.200s can be written by everybody", program);
	if (access(path, R_OK) < 0)
		return error_set_errno(
		    err, errno, "listed_program", "cannot read the program %.200s", program);
	r = check_place(program, path, err);
	size_t at = r < 0 ? 0 : listed_add(set, LISTED_FILE, path, SIZE_MAX);
	if (at == SIZE_MAX)
		return -ENOMEM;
	if (r == 0)
		set->items[at].execute = true;
	return r;
}

/* ---- scripts ---- */

static int
explain_interpreter(const char *script, const char *interpreter, bool exists, struct error *err)
{
	error_set(err, EINVAL, "listed_interpreter", "%.200s is a script for %.200s, which %s",
	    script, interpreter, exists ? "no rule names" : "does not exist");
	if (exists)
		error_remedy(err,
		    "add a rule {allow: exec, program: %.200s}, which lets it run any code it "
		    "is given, or take out the rule for the script",
		    interpreter);
	else
		error_remedy(err, "take out the rule for the script");
	return -EINVAL;
}

/* INTERPRETER, of SCRIPT, must be a program of the set by a rule. */
static int
check_interpreter(
    struct listed_set *set, const char *script, const char *interpreter, struct error *err)
{
	char path[LISTED_PATH_MAX];
	struct stat st;
	int r = listed_walk(set, interpreter, path, &st);
	if (r == -ENOMEM)
		return r;
	size_t at = r < 0 ? SIZE_MAX : listed_find(set, LISTED_FILE, path);
	if (at == SIZE_MAX || set->items[at].because != at)
		return explain_interpreter(script, interpreter, r == 0, err);
	return 0;
}

/* The words of a first line "#! INTERPRETER ARGUMENT" (execve(2)): the rest of the line is one argument. */
static bool
read_first_line(
    const char *path, char line[SCRIPT_LINE_MAX + 1], char **ret_interpreter, char **ret_argument)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : pread(fd, line, SCRIPT_LINE_MAX, 0);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	*ret_interpreter = line + 2 + strspn(line + 2, " \t");
	char *end = *ret_interpreter + strcspn(*ret_interpreter, " \t");
	*ret_argument = end + strspn(end, " \t");
	*end = 0;
	return **ret_interpreter == '/';
}

/* Whether the item AT is a script; then its interpreters are checked. 1, 0 or -errno. */
static int
check_script(struct listed_set *set, size_t at, struct error *err)
{
	char line[SCRIPT_LINE_MAX + 1], *interpreter, *argument;
	char script[LISTED_PATH_MAX], found[RESOLVED_MAX], resolved[RESOLVED_MAX];
	(void)snprintf(script, sizeof(script), "%s", set->items[at].path);
	if (!read_first_line(script, line, &interpreter, &argument))
		return 0;
	int r = check_interpreter(set, script, interpreter, err);
	if (r < 0 || strcmp(strrchr(interpreter, '/'), "/env") != 0)
		return r < 0 ? r : 1;
	/* env finds its program along the PATH; "env -S PROGRAM ARGUMENTS" as well. */
	if (strncmp(argument, "-S", 2) == 0)
		argument += 2 + strspn(argument + 2, " \t");
	argument[strcspn(argument, " \t")] = 0;
	if (argument[0] == 0 || argument[0] == '-' || strchr(argument, '=') != NULL)
		return error_set(err, EINVAL, "listed_interpreter",
		    "%.200s: cannot tell which program its first line starts", script);
	if (host_resolve(argument, "/", found, resolved) < 0)
		return explain_interpreter(script, argument, /* exists= */ false, err);
	r = check_interpreter(set, script, found, err);
	return r < 0 ? r : 1;
}

/* ---- everything ---- */

/* What the file of item AT needs. */
static int
process_file(struct listed_loader *loader, size_t at, struct error *err)
{
	struct listed_set *set = loader->set;
	struct elf_file elf;
	struct stat st;
	listed_source(set, set->items[at].path);
	_cleanup_close_ int fd = open(set->items[at].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(
		    err, errno, "listed_program", "cannot read %.200s", set->items[at].path);
	listed_identity(&st, set->items[at].identity);
	set->items[at].bytes = st.st_size;
	int r = set->items[at].because == at ? check_script(set, at, err) : 0;
	if (r != 0)
		return MIN(r, 0);
	r = elf_read(fd, &elf);
	if (r == 0) {
		char path[LISTED_PATH_MAX];
		(void)snprintf(path, sizeof(path), "%s", set->items[at].path);
		r = listed_load(loader, &elf, at, path);
	} else if (r == -ENOEXEC || r == -ENOTSUP || r == -EBADMSG) {
		r = 0; /* whatever it is, it is listed, and the kernel will say what it makes of it */
	}
	elf_done(&elf);
	return r < 0 ? r : listed_add_data(loader, at);
}

static int
process(struct listed_loader *loader, size_t at, struct error *err)
{
	enum listed_kind kind = loader->set->items[at].kind;
	if (kind == LISTED_FILE)
		return process_file(loader, at, err);
	return kind == LISTED_CODE ? listed_scan(loader, at, err) : 0;
}

int
listed_collect(struct listed_set *set, const struct json *programs, struct error *err)
{
	struct listed_loader loader = {.set = set};
	int r = 0;
	for (size_t i = 0; i < json_len(programs) && r == 0; i++)
		r = add_program(set, json_str(json_at(programs, i), ""), err);
	if (r == 0)
		r = ld_cache_open("/etc/ld.so.cache", &loader.cache);
	listed_source(set, "/etc/ld.so.cache");
	/* The set grows while it is looked through. */
	for (size_t i = 0; i < set->n && r == 0; i++)
		r = process(&loader, i, err);
	ld_cache_done(&loader.cache);
	if (r == 0 && set->failed)
		r = -ENOMEM;
	if (r == -ENOMEM)
		return error_set(err, ENOMEM, "listed_too_much",
		    "the listed programs need more files than can be shown, or memory ran out");
	return r < 0 && (err == NULL || err->code[0] == 0)
	    ? error_set_errno(err, -r, "listed_program", "cannot find what the programs need")
	    : r;
}
