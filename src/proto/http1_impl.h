/* What the files of http1.h share among themselves; nobody else includes this. */
#pragma once

#include "proto/http1.h"

bool http_byte_is_token(uint8_t c); /* tchar */
bool http_byte_is_value(uint8_t c); /* field-vchar, obs-text, SP, HTAB */

/* Fills ERR with WHY; -EBADMSG. */
int http_refuse(struct error *err, const char *why);

/* What the headers of a complete head mean for its body and its connection. 0, or -EBADMSG. */
int http_frame_request(struct http_head *head, struct error *err) MUST_CHECK;
int http_frame_response(struct http_head *head, const char *method, struct error *err) MUST_CHECK;
