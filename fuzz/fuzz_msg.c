/* msg_decode on arbitrary packets, the error body's reader, and action_validate on what came out: what
 * a program of ours does with a packet before any handler sees it. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "action/action.h"
#include "ipc/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg m = MSG_INIT;
	struct error err;
	int r = msg_decode(data, size, &m);
	if (r == 0) {
		assert(json_type(m.body) == JSON_OBJECT);
		msg_error_read(m.body, &err);
		char digest[SHA256_HEX];
		if (action_validate(m.body, &err) == 0)
			assert(action_digest(m.body, data, size, digest) == 0);
		_cleanup_buf_ struct buf packet;
		buf_init(&packet, MSG_HEADER_BYTES + 8 * (size_t)MSG_BODY_MAX);
		assert(msg_encode(m.type, m.serial, m.body, &packet) == 0);
	}
	msg_done(&m);
	return 0;
}
