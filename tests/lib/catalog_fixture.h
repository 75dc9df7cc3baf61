#ifndef TESTS_LIB_CATALOG_FIXTURE_H
#define TESTS_LIB_CATALOG_FIXTURE_H

#include "base/memory.h"
#include "store/catalog.h"
#include "tests/lib/test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A catalog in a directory of its own under /tmp, and commands applied to it one entry at a time.
 */

#define FIXTURE_ROWS_MAX 64

struct catalog_fixture {
    char directory[64];
    const struct command_row *rows[FIXTURE_ROWS_MAX];
    size_t n_rows;
    struct catalog *catalog;
    uint64_t index, time_ms;
    uint64_t ids; /* Command ids count up. */
    /* Of the last command. */
    struct buffer result_bytes;
    struct command_result result;
};

static inline void fixture_add_rows(struct catalog_fixture *fixture, const struct command_row *rows,
                                    size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        assert_true(fixture->n_rows < FIXTURE_ROWS_MAX);
        fixture->rows[fixture->n_rows++] = &rows[i];
    }
}

static inline void fixture_open(struct catalog_fixture *fixture)
{
    struct reason why = {""};
    enum error error =
        catalog_open(fixture->directory, fixture->rows, fixture->n_rows, &fixture->catalog, &why);

    if (error != OK) {
        print_error("%s\n", why.text);
    }
    assert_int_equal(error, OK);
}

static inline void fixture_init(struct catalog_fixture *fixture)
{
    *fixture = (struct catalog_fixture){.time_ms = 1000};
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/caisson-catalog-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    buffer_init(&fixture->result_bytes, (size_t)256 * 1024);
    fixture_add_rows(fixture, catalog_commands, catalog_commands_n);
    fixture_open(fixture);
}

static inline void fixture_empty_directory(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *item;

    assert_non_null(dir);
    while ((item = readdir(dir)) != NULL) {
        if (item->d_name[0] != '.') {
            assert_int_equal(unlinkat(dirfd(dir), item->d_name, 0), 0);
        }
    }
    closedir(dir);
}

static inline void fixture_release(struct catalog_fixture *fixture)
{
    catalog_close(fixture->catalog);
    buffer_release(&fixture->result_bytes);
    fixture_empty_directory(fixture->directory);
    assert_int_equal(rmdir(fixture->directory), 0);
}

static inline struct command_id fixture_id(struct catalog_fixture *fixture)
{
    struct command_id id = {{0}};

    fixture->ids++;
    memcpy(id.bytes, &fixture->ids, sizeof fixture->ids);
    return id;
}

/* Apply one command as one entry; releases the command. */
static inline enum error fixture_apply(struct catalog_fixture *fixture, struct buffer *command)
{
    struct bytes view = buffer_view(command);
    struct catalog_entry entry = {.index = ++fixture->index,
                                  .term = 1,
                                  .time_ms = fixture->time_ms += 10,
                                  .commands = &view,
                                  .n = 1};
    enum error error;

    assert_int_equal(buffer_status(command), OK);
    buffer_clear(&fixture->result_bytes);
    catalog_apply(fixture->catalog, &entry, &fixture->result_bytes);
    error = command_result_read(buffer_view(&fixture->result_bytes), &fixture->result);
    assert_int_equal(error, OK);
    buffer_release(command);
    return fixture->result.error;
}

static inline struct bytes text_of(const char *text)
{
    return bytes_of_string(text);
}

static inline struct digest digest_of_text(const char *text)
{
    struct digest digest;

    digest_of(DIGEST_SHA256, bytes_of_string(text), &digest);
    return digest;
}

/* Start a command that fixture_apply() will take. */
static inline struct buffer fixture_command(void)
{
    struct buffer command;

    buffer_init(&command, (size_t)512 * 1024);
    return command;
}

/* Content and holders {1, 2}, linked into repository. */
static inline enum error fixture_blob(struct catalog_fixture *fixture, const char *repository,
                                      const char *content)
{
    static const uint64_t holders[] = {1, 2};
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);
    struct digest digest = digest_of_text(content);

    command_blob_commit(&command, &id, text_of("ci"), text_of(repository), &digest, strlen(content),
                        holders, 2);
    return fixture_apply(fixture, &command);
}

#define IMAGE_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

/* A manifest of which content is the whole text; tag NULL: none. */
static inline struct manifest_put fixture_put_of(const char *repository, const char *content)
{
    static const uint64_t holders[] = {1, 2};

    return (struct manifest_put){.repository = text_of(repository),
                                 .digest = digest_of_text(content),
                                 .size = strlen(content),
                                 .media_type = text_of(IMAGE_TYPE),
                                 .artifact_type = text_of(""),
                                 .annotations = text_of(""),
                                 .holders = holders,
                                 .n_holders = 2};
}

static inline enum error fixture_put(struct catalog_fixture *fixture,
                                     const struct manifest_put *put)
{
    struct buffer command = fixture_command();
    struct command_id id = fixture_id(fixture);

    command_manifest_put(&command, &id, text_of("ci"), put);
    return fixture_apply(fixture, &command);
}

/* An image with a config and a layer, pushed whole, tagged unless tag is NULL. */
static inline struct digest fixture_image(struct catalog_fixture *fixture, const char *repository,
                                          const char *name, const char *tag)
{
    char config[128], layer[128];
    struct manifest_put put = fixture_put_of(repository, name);
    struct bytes tags[1];
    struct reference references[2];

    snprintf(config, sizeof config, "config of %s", name);
    snprintf(layer, sizeof layer, "layer of %s", name);
    assert_int_equal(fixture_blob(fixture, repository, config), OK);
    assert_int_equal(fixture_blob(fixture, repository, layer), OK);
    references[0] =
        (struct reference){REFERENCE_CONFIG, digest_of_text(config), strlen(config), false, ""};
    references[1] =
        (struct reference){REFERENCE_LAYER, digest_of_text(layer), strlen(layer), false, ""};
    put.references = references;
    put.n_references = 2;
    if (tag != NULL) {
        tags[0] = text_of(tag);
        put.tags = tags;
        put.n_tags = 1;
    }
    assert_int_equal(fixture_put(fixture, &put), OK);
    return put.digest;
}

/* Check that the hash that was kept is the hash of what is there; and give it. */
static inline void fixture_hash(struct catalog_fixture *fixture, char text[65])
{
    struct catalog_txn txn;
    char counted[65];

    catalog_read(fixture->catalog, &txn);
    catalog_txn_hash(&txn, text);
    catalog_txn_count_hash(&txn, counted);
    catalog_done(&txn);
    assert_string_equal(text, counted);
}

#endif
