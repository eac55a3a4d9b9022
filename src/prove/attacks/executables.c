#include "prove/attacks/attacks.h"

const struct attack executables_attacks[] = {{0}};
