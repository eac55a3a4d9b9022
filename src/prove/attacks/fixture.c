/* What attacks aim at. */
#include "prove/attacks/attacks.h"

int
fixture_serve(const struct fixtures *f)
{
	(void)in_dir(f, "");
	return 0;
}
