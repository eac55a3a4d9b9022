#include "prove/attacks/attacks.h"

const struct attack privilege_attacks[] = {{0}};
