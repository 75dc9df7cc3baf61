#ifndef NODE_OPENAPI_H
#define NODE_OPENAPI_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* The description of /api/v1: docs/openapi.yaml, built into the program (cmake/embed.cmake). */
extern const uint8_t openapi_yaml[];
extern const size_t openapi_yaml_size;

/* As JSON; the caller's. */
json_t *openapi_document(void);

#endif
