/* Each lock of the sandbox by itself: what rf-prove-init does for the names in its order, and nothing for those
 * that are not. The locks are the product's own functions. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "ipc/msg.h"
#include "prove/attack.h"

struct order {
	struct msg msg;          /* owned; body and descriptors */
	const struct json *body; /* its body; see order.h */
};

bool order_has(const struct order *order, enum lock lock);

/* Locks of what a process sees: control group, file systems, /proc, names. In the first process, before the
 * attack's. 0 or -errno with ERR. */
int one_lock_surroundings(struct order *order, struct error *err) MUST_CHECK;
/* Locks of a process, in the attack's. 0 or -errno with ERR. */
int one_lock_process(struct order *order, struct error *err) MUST_CHECK;
/* What the kernel says of this process: {"seccomp","no_new_privs","capabilities","uid"}; owned. */
struct json *one_lock_engaged(void);
