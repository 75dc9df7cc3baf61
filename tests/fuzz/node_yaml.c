/* Fuzz target: a policy file as a person wrote it, from YAML to JSON. */
#include "base/assert.h"
#include "node/yaml_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reason why;
    json_t *value;

    if (yaml_to_json(bytes_of(data, size), &value, &why) == OK) {
        CHECK(value != NULL);
        json_decref(value);
    }
    return 0;
}
