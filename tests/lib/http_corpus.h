#ifndef TESTS_LIB_HTTP_CORPUS_H
#define TESTS_LIB_HTTP_CORPUS_H

#include "base/bytes.h"

/* Requests that two parsers could read in two ways, or that are no HTTP/1.1 at all: each must be
 * answered with 400 and the connection closed, whatever follows. */

#define H "Host: a\r\n"

static const struct bytes http_corpus[] = {
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length:\r\n\r\nabc"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\nabc"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding:\x0b"
                  "chunked\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "X-A: b\r\n folded\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n X-A: b\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\nHost: a\n\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "X-A: b\rc\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "X-A: b\0c\r\n\r\n"),
    BYTES_LITERAL("GET /hel\0lo HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "X A: b\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H ": b\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H "no colon\r\n\r\n"),
    BYTES_LITERAL("GET  /hello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello  HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1 \r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello\tHTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello HTTP/2.0\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello HTTP/0.9\r\n\r\n"),
    BYTES_LITERAL("GET /hello\r\n\r\n"),
    BYTES_LITERAL("get /hello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n\r\n"),
    BYTES_LITERAL("GET /hello HTTP/1.1\r\n" H H "\r\n"),
    BYTES_LITERAL("GET http://b/hello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET hello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("CONNECT a:80 HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /a/../hello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /a/%2e%2e/hello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /a%2fhello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET //hello HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello/./x HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hel%00lo HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hel%zzlo HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello% HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello?a=%0d%0a HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /hello#a HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("GET /h\xc3\xa9 HTTP/1.1\r\n" H "\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\n\r\n1;ext=1\r\na\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H
                  "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n"),
    BYTES_LITERAL("PUT /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                  "g\r\na\r\n0\r\n\r\n"),
    BYTES_LITERAL("\x80\x01\x02garbage\r\n\r\n"),
    BYTES_LITERAL("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
};

#endif
