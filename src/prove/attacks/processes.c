#include "prove/attacks/attacks.h"

const struct attack processes_attacks[] = {{0}};
