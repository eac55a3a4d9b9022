#include "prove/attacks/attacks.h"

const struct attack devices_attacks[] = {{0}};
