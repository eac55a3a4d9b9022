/* What well-known programs can do by themselves, whatever arguments a rule lets them have. */
#pragma once

enum power_kind {
	POWER_COMPUTES, /* an interpreter: any program text it is given or can write, in its own process */
	POWER_RUNS,  /* starts other programs, as arguments, settings or files that it reads say */
	POWER_LOADS, /* puts foreign code into a process: loaders, debuggers, tracers */
};

struct power {
	const char *names; /* base names with blanks between */
	enum power_kind kind;
	const char *how;
};

/* What is known of PROGRAM (a path; also with a version: python3.11, gcc-12), or NULL. */
const struct power *power_of(const char *program);
/* "interpreter", "runs", "loads". */
const char *power_kind_name(enum power_kind kind);
