#ifndef NODE_UPLOAD_REQUEST_H
#define NODE_UPLOAD_REQUEST_H

#include "node/control.h"
#include "node/http.h"
#include "node/uploads.h"

/* One HTTP request that writes to an upload session: takes the body to the disk (and, on the owner,
 * to the relay) with back-pressure, so that at most UPLOAD_PENDING_MAX bytes and one piece wait in
 * memory. It belongs to its exchange and holds it; whichever way it ends, the session is checked in
 * before the client hears of it. */

#define UPLOAD_PENDING_MAX (512u * 1024)

struct relay;
struct upload_request;
typedef void (*upload_request_cb)(struct upload_request *request);

struct upload_request {
    struct exchange *exchange;
    struct worker *worker;
    struct session *session;
    struct digest digest; /* Of a finishing request. */
    struct control_propose propose;
    uint64_t announced; /* Bytes that Content-Range speaks of; 0: none was sent. */
    /* Private. */
    struct relay *relay;
    uint64_t offset; /* Of the session before this request. */
    struct buffer pending;
    bool is_appending, is_ended, is_cut, is_paused, is_stored, is_over;
    enum error error;
    struct reason why;
    upload_request_cb stored;
};

/* Takes the checked out session. */
struct upload_request *upload_request_create(struct exchange *exchange, struct session *session);
/* Receive the body, then call stored: all of it is in the session's file, and with the relay's
 * targets when relayed. On a failure, or a body that is cut short or not of the announced size, the
 * request answers by itself; the latter two leave the session as it was. */
void upload_request_body(struct upload_request *request, bool is_relayed, upload_request_cb stored);
/* The end, each of them: the session is checked in, then the answer is given. */
void upload_request_fail(struct upload_request *request, enum error error,
                         const struct reason *why);
void upload_request_answer(struct upload_request *request, unsigned status);

#endif
