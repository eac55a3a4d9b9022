#include "prove/attacks/attacks.h"

const struct attack resources_attacks[] = {{0}};
