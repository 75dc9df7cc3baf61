#include "node/manifest.h"
#include "tests/lib/test.h"

#define OCI   "application/vnd.oci.image.manifest.v1+json"
#define INDEX "application/vnd.oci.image.index.v1+json"
#define V2    "application/vnd.docker.distribution.manifest.v2+json"
#define LIST  "application/vnd.docker.distribution.manifest.list.v2+json"
#define ART   "application/vnd.oci.artifact.manifest.v1+json"
#define D1    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define D2                                                                                         \
    "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff83"  \
    "18d2877eec2f63b931bd47417a81a538327af927da3e"
#define DESC(type, digest) "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":0}"
#define CONFIG             "\"config\":" DESC("application/vnd.oci.image.config.v1+json", D1)
#define LAYERS             "\"layers\":[" DESC("a/layer", D1) "," DESC("a/layer", D2) "]"

static void test_manifest__good_ones_are_taken(void **state)
{
    static const struct {
        const char *type, *body;
        size_t n_references;
    } good[] = {
        {OCI, "{\"schemaVersion\":2," CONFIG "," LAYERS "}", 3},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", 1},
        {"", "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG "," LAYERS "}", 3},
        {OCI "; charset=utf-8", "{\"schemaVersion\":2," CONFIG "," LAYERS "}", 3},
        {"Application/vnd.OCI.image.manifest.v1+json",
         "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\"," CONFIG "," LAYERS "}", 3},
        {V2, "{\"schemaVersion\":2,\"x\":{\"y\":[1,2]},\"annotations\":null," CONFIG "," LAYERS "}",
         3},
        {INDEX, "{\"schemaVersion\":2,\"manifests\":[]}", 0},
        {INDEX, "{\"schemaVersion\":2,\"manifests\":[" DESC(OCI, D1) "," DESC(INDEX, D2) "]}", 2},
        {INDEX,
         "{\"schemaVersion\":2,\"subject\":" DESC(OCI, D1) ",\"manifests\":[" DESC(OCI, D1) "]}",
         1},
        {LIST, "{\"schemaVersion\":2,\"manifests\":[" DESC(V2, D1) "]}", 1},
        {ART, "{\"mediaType\":\"" ART "\",\"blobs\":[" DESC("a/b", D1) "]}", 1},
        {ART, "{}", 0},
    };
    struct manifest manifest;
    struct reason why;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (manifest_parse(bytes_of_string(good[i].body), bytes_of_string(good[i].type), &manifest,
                           &why) != OK) {
            fail_msg("%zu: %s", i, why.text);
        }
        assert_int_equal(manifest.n_references, good[i].n_references);
        assert_true(media_type_is_manifest(bytes_of_string(manifest.media_type)));
        manifest_release(&manifest);
    }
}

static void test_manifest__bad_ones_are_refused(void **state)
{
    static const struct {
        const char *type, *body, *text;
    } bad[] = {
        {OCI, "", "JSON is expected"},
        {OCI, "[]", "object"},
        {OCI, "{\"schemaVersion\":2," CONFIG "," LAYERS "}x", "not valid JSON"},
        {OCI, "{\"schemaVersion\":2,\"schemaVersion\":2," CONFIG "," LAYERS "}", "duplicate"},
        {OCI, "{" CONFIG "," LAYERS "}", "schemaVersion"},
        {OCI, "{\"schemaVersion\":1," CONFIG "," LAYERS "}", "schemaVersion"},
        {OCI, "{\"schemaVersion\":\"2\"," CONFIG "," LAYERS "}", "schemaVersion"},
        {OCI, "{\"schemaVersion\":2," LAYERS "}", "config"},
        {OCI, "{\"schemaVersion\":2," CONFIG "}", "layers"},
        {OCI, "{\"schemaVersion\":2,\"config\":null," LAYERS "}", "config"},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":{}}", "layers"},
        {OCI, "{\"schemaVersion\":2," CONFIG ",\"layers\":[1]}", "layers[0]"},
        {OCI, "{\"schemaVersion\":2," CONFIG "," LAYERS ",\"manifests\":[]}", "manifests"},
        {INDEX, "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", "layers"},
        {INDEX, "{\"schemaVersion\":2,\"manifests\":[]," CONFIG "}", "config"},
        {INDEX, "{\"schemaVersion\":2}", "manifests"},
        {INDEX, "{\"schemaVersion\":2,\"mediaType\":\"" OCI "\",\"manifests\":[]}", "differ"},
        {"", "{\"schemaVersion\":2," CONFIG "," LAYERS "}", "not taken"},
        {"application/json", "{\"schemaVersion\":2," CONFIG "," LAYERS "}", "not taken"},
        {"application/vnd.docker.distribution.manifest.v1+json", "{\"schemaVersion\":1}",
         "not taken"},
        {"application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":1}",
         "not taken"},
        {OCI, "{\"schemaVersion\":2,\"config\":" DESC("", D1) "," LAYERS "}", "mediaType"},
        {OCI, "{\"schemaVersion\":2,\"config\":" DESC("a\\nb/c", D1) "," LAYERS "}", "mediaType"},
        {OCI, "{\"schemaVersion\":2,\"config\":" DESC("a/b", "sha256:ab") "," LAYERS "}", "digest"},
        {OCI, "{\"schemaVersion\":2,\"config\":" DESC("a/b", "md5:abcd") "," LAYERS "}", "digest"},
        {OCI,
         "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" D1
         "\",\"size\":-1}," LAYERS "}",
         "size"},
        {OCI,
         "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"" D1
         "\",\"size\":1.5}," LAYERS "}",
         "size"},
        {OCI, "{\"schemaVersion\":2,\"subject\":{}," CONFIG "," LAYERS "}", "subject"},
        {OCI, "{\"schemaVersion\":2,\"subject\":\"" D1 "\"," CONFIG "," LAYERS "}", "subject"},
        {OCI, "{\"schemaVersion\":2,\"annotations\":[]," CONFIG "," LAYERS "}", "annotations"},
        {OCI, "{\"schemaVersion\":2,\"annotations\":{\"a\":1}," CONFIG "," LAYERS "}",
         "annotation"},
        {OCI, "{\"schemaVersion\":2,\"artifactType\":\"no slash\"," CONFIG "," LAYERS "}",
         "artifactType"},
        {OCI, "{\"schemaVersion\":2,\"artifactType\":7," CONFIG "," LAYERS "}", "artifactType"},
    };
    struct manifest manifest;
    struct reason why;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum error rv = manifest_parse(bytes_of_string(bad[i].body), bytes_of_string(bad[i].type),
                                       &manifest, &why);

        if (rv != ERROR_MANIFEST_INVALID || strstr(why.text, bad[i].text) == NULL) {
            fail_msg("%zu: %s: %s", i, rv == OK ? "taken" : why.text, bad[i].body);
        }
    }
}

static void test_manifest__what_the_catalog_learns(void **state)
{
    static const char image[] = "{\"schemaVersion\":2,\"subject\":" DESC(
        OCI, D2) ",\"annotations\":{\"b\":\"2\",\"a\":"
                 "\"1\"}," CONFIG ",\"layers\":[" DESC(
                     "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", D1) "]}";
    static const char index[] = "{\"schemaVersion\":2,\"manifests\":[" DESC(OCI, D1) "," DESC(
        "application/vnd.oci.image.layer.v1.tar", D2) "]}";
    struct manifest manifest;
    struct digest digest;

    (void)state;
    assert_int_equal(manifest_parse(BYTES_LITERAL(image), BYTES_LITERAL(OCI), &manifest, NULL), OK);
    assert_string_equal(manifest.artifact_type, "application/vnd.oci.image.config.v1+json");
    assert_string_equal(buffer_string(&manifest.annotations), "{\"a\":\"1\",\"b\":\"2\"}");
    assert_int_equal(digest_parse(BYTES_LITERAL(D2), &digest), OK);
    assert_true(digest_equal(&digest, &manifest.subject));
    assert_true(manifest.references[0].external);
    assert_int_equal(manifest.references[1].kind, REFERENCE_CONFIG);
    manifest_release(&manifest);
    assert_int_equal(manifest_parse(BYTES_LITERAL(index), BYTES_LITERAL(INDEX), &manifest, NULL),
                     OK);
    assert_string_equal(manifest.artifact_type, "");
    assert_int_equal(manifest.references[0].kind, REFERENCE_MANIFEST);
    assert_int_equal(manifest.references[1].kind, REFERENCE_LAYER);
    manifest_release(&manifest);
}

/* What an index says about the platforms of its children; what does not fit is as if unsaid. */
static void test_manifest__platforms_of_an_index(void **state)
{
    static const struct {
        const char *platform, *expected;
    } cases[] = {
        {"{\"os\":\"linux\",\"architecture\":\"amd64\"}", "linux/amd64"},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}", "linux/arm/v7"},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"\"}", "linux/arm"},
        {"{\"os\":\"linux\",\"architecture\":\"0123456789012345678901234567\"}", ""},
        {"{\"os\":\"linux\"}", ""},
        {"[1]", ""},
    };
    struct manifest manifest;
    char index[512];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(index, sizeof index,
                 "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" OCI "\",\"digest\":\"" D1
                 "\",\"size\":5,\"platform\":%s}]}",
                 cases[i].platform);
        assert_int_equal(
            manifest_parse(bytes_of_string(index), BYTES_LITERAL(INDEX), &manifest, NULL), OK);
        assert_string_equal(manifest.references[0].platform, cases[i].expected);
        manifest_release(&manifest);
    }
}

static void test_manifest__large_annotations(void **state)
{
    struct buffer body;
    struct manifest manifest;
    size_t i, round;

    (void)state;
    for (round = 0; round < 2; round++) {
        buffer_init(&body, 1u << 20);
        buffer_append_string(&body, "{\"schemaVersion\":2,\"annotations\":{\"a\":\"");
        for (i = 0; i < ANNOTATIONS_SIZE_MAX; i++) {
            buffer_append_byte(&body, 'x');
        }
        buffer_append_string(&body, "\"}," CONFIG "," LAYERS);
        if (round == 1) {
            buffer_append_string(&body, ",\"subject\":" DESC(OCI, D2));
        }
        buffer_append_string(&body, "}");
        if (round == 0) {
            assert_int_equal(
                manifest_parse(buffer_view(&body), BYTES_LITERAL(OCI), &manifest, NULL), OK);
            assert_int_equal(manifest.annotations.size, 0);
            manifest_release(&manifest);
        } else {
            assert_int_equal(
                manifest_parse(buffer_view(&body), BYTES_LITERAL(OCI), &manifest, NULL),
                ERROR_MANIFEST_INVALID);
        }
        buffer_release(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest__good_ones_are_taken),
        cmocka_unit_test(test_manifest__bad_ones_are_refused),
        cmocka_unit_test(test_manifest__what_the_catalog_learns),
        cmocka_unit_test(test_manifest__platforms_of_an_index),
        cmocka_unit_test(test_manifest__large_annotations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
