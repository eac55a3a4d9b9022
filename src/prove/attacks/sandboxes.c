#include "prove/attacks/attacks.h"

const struct attack sandboxes_attacks[] = {{0}};
