#ifndef TESTS_LIB_CATALOG_FUZZ_H
#define TESTS_LIB_CATALOG_FUZZ_H

#include "tests/lib/catalog_fixture.h"

/* Seeded random commands of store/ over small pools of names, so that they meet; among them
 * repetitions of earlier ones and bodies with flipped bytes. */

struct fuzz {
    uint64_t seed;
    uint64_t ids;
    struct buffer last; /* The command before, for repetitions. */
};

static inline uint64_t fuzz_number(struct fuzz *fuzz, uint64_t below)
{
    fuzz->seed = fuzz->seed * 6364136223846793005u + 1442695040888963407u;
    return (fuzz->seed >> 33) % below;
}

static inline struct digest fuzz_digest(struct fuzz *fuzz)
{
    char text[16];

    snprintf(text, sizeof text, "%u", (unsigned)fuzz_number(fuzz, 24));
    return digest_of_text(text);
}

static inline struct bytes fuzz_repository(struct fuzz *fuzz)
{
    static const char *const names[] = {"dev/a", "dev/b", "dev/a/c", "test/a", "prod", "Bad"};

    return text_of(names[fuzz_number(fuzz, 6)]);
}

static inline struct bytes fuzz_tag(struct fuzz *fuzz)
{
    static const char *const names[] = {"v1", "v2", "latest", "v10", "-bad"};

    return text_of(names[fuzz_number(fuzz, 4) + (fuzz_number(fuzz, 50) == 0 ? 1 : 0)]);
}

static inline void fuzz_manifest(struct fuzz *fuzz, struct buffer *out, const struct command_id *id)
{
    struct reference references[4];
    struct bytes tags[3];
    uint64_t holders[] = {1 + fuzz_number(fuzz, 5), 1 + fuzz_number(fuzz, 5)};
    bool is_index = fuzz_number(fuzz, 4) == 0;
    struct manifest_put put = {.repository = fuzz_repository(fuzz),
                               .digest = fuzz_digest(fuzz),
                               .size = 5,
                               .media_type = text_of(is_index ? INDEX_TYPE : IMAGE_TYPE),
                               .artifact_type = text_of(""),
                               .annotations = text_of("{}"),
                               .references = references,
                               .n_references = fuzz_number(fuzz, 4),
                               .tags = tags,
                               .n_tags = fuzz_number(fuzz, 3),
                               .holders = holders,
                               .n_holders = 2,
                               .allow_missing = fuzz_number(fuzz, 2) == 0,
                               .condition = fuzz_number(fuzz, 5) == 0 ? 1 : 0};
    size_t i;

    for (i = 0; i < 4; i++) {
        references[i] = (struct reference){is_index ? REFERENCE_MANIFEST : REFERENCE_LAYER,
                                           fuzz_digest(fuzz), 5, fuzz_number(fuzz, 9) == 0, ""};
    }
    for (i = 0; i < 3; i++) {
        tags[i] = fuzz_tag(fuzz);
    }
    if (fuzz_number(fuzz, 3) == 0) {
        put.subject = fuzz_digest(fuzz);
    }
    command_manifest_put(out, id, text_of("ci"), &put);
}

static inline void fuzz_blob(struct fuzz *fuzz, struct buffer *out, const struct command_id *id)
{
    struct digest digests[] = {fuzz_digest(fuzz), fuzz_digest(fuzz)};
    uint64_t holders[] = {1 + fuzz_number(fuzz, 5), 1 + fuzz_number(fuzz, 5)};
    struct bytes repository = fuzz_repository(fuzz);

    switch (fuzz_number(fuzz, 5)) {
    case 0:
        command_blob_mount(out, id, text_of("ci"), repository, fuzz_repository(fuzz), digests);
        return;
    case 1:
        command_blob_unlink(out, id, text_of("ci"), repository, digests);
        return;
    case 2:
        command_blob_holders(out, id, holders[0], digests, 2, fuzz_number(fuzz, 2) == 0);
        return;
    default:
        command_blob_commit(out, id, text_of("ci"), repository, digests, 5, holders, 2);
        return;
    }
}

static inline void fuzz_user(struct fuzz *fuzz, struct buffer *out, const struct command_id *id)
{
    static const uint8_t zeros[32];
    static const char *const names[] = {"ann", "bob", "eve"};
    struct bytes name = text_of(names[fuzz_number(fuzz, 3)]);
    struct buffer bindings;

    if (fuzz_number(fuzz, 3) == 0) {
        command_user_delete(out, id, text_of("admin"), name);
        return;
    }
    buffer_init(&bindings, 256);
    pack_array(&bindings, 1);
    pack_array(&bindings, 2);
    pack_text(&bindings, fuzz_number(fuzz, 2) == 0 ? "**" : "dev/*");
    pack_uint(&bindings, fuzz_number(fuzz, 16));
    command_user_put(out, id, text_of("admin"), name, bytes_of(zeros, 16), bytes_of(zeros, 32),
                     buffer_view(&bindings));
    buffer_release(&bindings);
}

static inline void fuzz_member(struct fuzz *fuzz, struct buffer *out, const struct command_id *id)
{
    static const char *const names[] = {"node-1", "node-2", "node-3", "node-4"};
    static const uint8_t tokens[2][32] = {{1}, {2}};
    struct bytes token = bytes_of(tokens[fuzz_number(fuzz, 2)], 32);
    struct member_record member = {.id = 1 + fuzz_number(fuzz, 12),
                                   .name = text_of(names[fuzz_number(fuzz, 4)]),
                                   .raft_address = text_of("h:1"),
                                   .data_address = text_of("h:2"),
                                   .client_address = text_of("h:3")};

    switch (fuzz_number(fuzz, 4)) {
    case 0:
        command_join_token_put(out, id, text_of("admin"), token, fuzz_number(fuzz, 400000), 3);
        return;
    case 1:
        command_member_remove(out, id, text_of("admin"), member.id);
        return;
    default:
        command_member_put(out, id, text_of("joining"), &member, token);
        return;
    }
}

/* Where the body begins, so that envelopes stay whole (an unknown version stops the node). */
#define FUZZ_BODY 30

static inline void fuzz_damage(struct fuzz *fuzz, struct buffer *out)
{
    if (out->size > FUZZ_BODY) {
        out->data[FUZZ_BODY + fuzz_number(fuzz, out->size - FUZZ_BODY)] ^=
            (uint8_t)(1 + fuzz_number(fuzz, 255));
    }
}

static inline void fuzz_next(struct fuzz *fuzz, struct buffer *out)
{
    struct command_id id = {{0}};
    uint64_t which = fuzz_number(fuzz, 100);

    if (which == 0 && fuzz->last.size > 0) {
        buffer_append(out, buffer_view(&fuzz->last));
        return;
    }
    fuzz->ids++;
    memcpy(id.bytes, &fuzz->ids, sizeof fuzz->ids);
    if (which < 40) {
        fuzz_manifest(fuzz, out, &id);
    } else if (which < 75) {
        fuzz_blob(fuzz, out, &id);
    } else if (which < 82) {
        struct digest digest = fuzz_digest(fuzz);

        command_manifest_delete(out, &id, text_of("ci"), fuzz_repository(fuzz), &digest);
    } else if (which < 90) {
        command_tag_delete(out, &id, text_of("ci"), fuzz_repository(fuzz), fuzz_tag(fuzz));
    } else if (which < 95) {
        fuzz_user(fuzz, out, &id);
    } else {
        fuzz_member(fuzz, out, &id);
    }
    if (fuzz_number(fuzz, 20) == 0) {
        fuzz_damage(fuzz, out);
    }
    buffer_clear(&fuzz->last);
    buffer_append(&fuzz->last, buffer_view(out));
}

static inline void fuzz_init(struct fuzz *fuzz, uint64_t seed)
{
    *fuzz = (struct fuzz){.seed = seed};
    buffer_init(&fuzz->last, (size_t)512 * 1024);
}

static inline void fuzz_release(struct fuzz *fuzz)
{
    buffer_release(&fuzz->last);
}

#define FUZZ_ENTRY_MAX 5

/* Apply an entry of n commands; the results appended to *all when not NULL. */
static inline void fuzz_apply(struct catalog *catalog, uint64_t index, uint64_t time_ms,
                              const struct buffer *commands, size_t n, struct buffer *all)
{
    struct bytes views[FUZZ_ENTRY_MAX];
    struct buffer results[FUZZ_ENTRY_MAX];
    struct catalog_entry entry = {
        .index = index, .term = 1, .time_ms = time_ms, .commands = views, .n = n};
    size_t i;

    for (i = 0; i < n; i++) {
        views[i] = buffer_view(&commands[i]);
        buffer_init(&results[i], (size_t)256 * 1024);
    }
    catalog_apply(catalog, &entry, results);
    for (i = 0; i < n; i++) {
        if (all != NULL) {
            buffer_append(all, buffer_view(&results[i]));
        }
        buffer_release(&results[i]);
    }
}

#endif
