/* Where the programs find each other and their state, worked out the same way by every program that
 * people start. ARCHITECTURE.md, "State", is the contract. All results are absolute paths. */
#pragma once

#include "base/error.h"
#include "base/macros.h"

#define PATHS_MAX 4096 /* with the NUL, as PATH_MAX */

/* The state directory: $RINGFENCE_STATE, else root's /var/lib/ringfence, else
 * $XDG_STATE_HOME/ringfence, else $HOME/.local/state/ringfence. It need not exist yet.
 * 0, -ENOENT if nothing says where, or -ENAMETOOLONG. */
int paths_state_dir(char ret[PATHS_MAX], struct error *err) MUST_CHECK;
/* The socket NAME ("supervisor", "arbiter", "ledger") below the state directory: run/NAME.sock. */
int paths_run_socket(const char *name, char ret[PATHS_MAX], struct error *err) MUST_CHECK;
/* The configuration file: $RINGFENCE_CONFIG, else root's /etc/ringfence/config.yaml, else
 * $XDG_CONFIG_HOME/ringfence/config.yaml, else $HOME/.config/ringfence/config.yaml.
 * It need not exist: absent is empty. */
int paths_config_file(char ret[PATHS_MAX], struct error *err) MUST_CHECK;
/* The program NAME ("rf-supervisor"): beside the caller's own executable, else in
 * ../libexec/ringfence from there, or ../../bin. -ENOENT if it is in none. */
int paths_program(const char *name, char ret[PATHS_MAX], struct error *err) MUST_CHECK;
