#include "prove/attacks/attacks.h"

const struct attack network_attacks[] = {{0}};
