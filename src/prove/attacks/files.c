#include "prove/attacks/attacks.h"

const struct attack files_attacks[] = {{0}};
