#include "base/assert.h"
#include "node/openapi.h"
#include "node/routes.h"
#include "node/yaml_json.h"

/* GET /api/v1/openapi.json. */

json_t *openapi_document(void)
{
    json_t *document = NULL;
    struct reason why = {""};
    enum error error = yaml_to_json(bytes_of(openapi_yaml, openapi_yaml_size), &document, &why);

    CHECK(error == OK); /* It is a part of the program, and tested. */
    return document;
}

static void get_openapi(struct exchange *exchange)
{
    exchange_set_header(exchange, "Cache-Control", "max-age=3600");
    exchange_answer_json(exchange, 200, openapi_document());
}

const struct route routes_openapi[] = {
    ROUTE(HTTP_GET_ | HTTP_HEAD_, "/api/v1/openapi.json", ACCESS_PUBLIC, get_openapi),
    {0, NULL, (enum access)0, NULL},
};
