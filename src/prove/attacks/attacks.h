/* What the attacks share: their fixtures, how they answer, and the row of the table.
 *
 * An attack answers by what the kernel said, not by what it hoped: `succeeded` means that the forbidden thing
 * was done, or that only a harmless argument (a wrong magic number, a text for a module) kept it from being done. */
#pragma once

#include <stdio.h>
#include <sys/types.h>

#include "base/macros.h"
#include "prove/attack.h"

/* The harness compiles the same files for their rows alone. */
#ifdef ATTACK_TABLE_ONLY
#define RUN(function) NULL
#else
#define RUN(function) (function)
#endif

#define CANARY "ringfence-canary"

struct fixtures {
	int count;
	char **pairs; /* "key=value" */
};

/* The value of KEY, or NULL. */
const char *fixture_find(const struct fixtures *f, const char *key);
/* The value of KEY; without it the program says `cannot` and ends. */
const char *fixture(const struct fixtures *f, const char *key);
/* The same as a number. */
unsigned long fixture_number(const struct fixtures *f, const char *key);
/* dir/NAME, in static memory: valid until the next call but three. */
const char *in_dir(const struct fixtures *f, const char *name);

/* YES: succeeded, with DETAIL. No: held, with errno's text. */
enum attack_result answer(bool yes, const char *detail);
/* Of a call with deliberately bad arguments, which returned RESULT: succeeded if it worked, or failed with
 * HARMLESS (another errno than permission's), which it only says to those that it would have obeyed. */
enum attack_result answer_harmless(long result, int harmless);
/* `cannot`, with why. */
enum attack_result cannot(const char *why);
/* `held`, with why. */
enum attack_result held(const char *why);
/* Prints {"result":"ready"} for ACT_KILL. */
void say_ready(void);
/* Answers carry ATTACK (borrowed) as their name. */
void answer_as(const char *attack);
/* Ends the program with an answer, from any of its processes: the only one that prints. */
_Noreturn void finish(enum attack_result result);

/* Runs FUNCTION in a child, whose exit status is 0 for success, else an errno; sets errno to that. */
bool in_child(int (*function)(const struct fixtures *), const struct fixtures *f);
/* What a failed call leaves for in_child. */
int child_errno(bool worked);

/* Opens PATH and says whether its beginning is the canary. errno tells why not. */
bool read_canary(const char *path);
/* Opens PATH for writing and closes it: nothing is written. */
bool opens_for_writing(const char *path);

/* `rf-attack --internet`: the internet of sandboxes that have a network (prove/internet.c). */
int internet_serve(void);
/* The program's other use: `rf-attack --fixture key=value…`. Its exit status. */
int fixture_serve(char **argv);
/* Copies this program to PATH with MODE. */
bool copy_program(const char *path, mode_t mode);

/* One per file; each ends with a row without a name. */
extern const struct attack files_attacks[], processes_attacks[], namespaces_attacks[],
    kernel_attacks[], settings_attacks[], devices_attacks[], network_attacks[], gateway_attacks[],
    takeover_attacks[], arbiter_attacks[], dialer_attacks[], vault_attacks[], executables_attacks[],
    resources_attacks[], privilege_attacks[], sandboxes_attacks[], supervisor_attacks[];
