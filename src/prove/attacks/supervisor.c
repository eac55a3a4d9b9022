#include "prove/attacks/attacks.h"

const struct attack supervisor_attacks[] = {{0}};
