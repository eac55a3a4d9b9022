/* An image archive that was unpacked, made into one root file system: documents read, digests verified,
 * layers put over each other. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "image/tree.h"

/* Whether the directory FILES is the inside of a `docker save` archive or an OCI image layout. */
bool assemble_fits(int files);
/* Builds TREE from FILES. RET: {"source","names":[…],"config":{…}}, owned. 0, -EBADMSG, -errno. */
int assemble(int files, struct tree *tree, struct json **ret, struct error *err) MUST_CHECK;
