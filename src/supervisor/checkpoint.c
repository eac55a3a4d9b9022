/* States of a session's workspace. */
#include "supervisor/session.h"

void
checkpoint_session_gone(struct session *session)
{
	session->checkpoints = NULL;
}
