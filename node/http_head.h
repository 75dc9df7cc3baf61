#ifndef NODE_HTTP_HEAD_H
#define NODE_HTTP_HEAD_H

#include "base/bytes.h"

/* The strict pass over the head of a request, before llhttp sees it: what two servers in a row
 * could read differently (RFC 9112, section 11.2) is refused. */

/* head: whole lines that end in CRLF, the empty one included. ERROR_INVALID; ERROR_TOO_LARGE with
 * *status 431. */
enum error http_head_check(struct bytes head, unsigned *status, struct reason *why) MUST_USE;

#endif
