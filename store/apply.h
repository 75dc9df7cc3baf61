#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "store/command.h"

/* The apply of each command of store/; bodies are documented beside each. Private to store/. */

#define APPLY(name)                                                                                \
    void apply_##name(const struct command_context *context, struct unpacker *body,                \
                      struct outcome *outcome)

APPLY(cluster_create);
APPLY(member_put);
APPLY(member_remove);
APPLY(join_token_put);
APPLY(member_announce);
APPLY(user_put);
APPLY(user_delete);
APPLY(blob_commit);
APPLY(blob_mount);
APPLY(blob_unlink);
APPLY(blob_holders);
APPLY(manifest_put);
APPLY(manifest_delete);
APPLY(tag_delete);
APPLY(settings_put);
APPLY(quota_put);
APPLY(quota_delete);

#undef APPLY

/* Fails the outcome with ERROR_INVALID unless the body decoded to its end. */
bool body_check(const struct unpacker *body, struct outcome *outcome);

/* A member left: its announcement goes, and may have been what held the level down. */
void level_member_left(const struct command_context *context, uint64_t id);

/* A user as cluster.create and user.put carry it: [name, salt, hash, bindings]. */
struct user_fields {
    struct bytes name, salt, hash, bindings;
};

void user_fields_pack(struct buffer *out, const struct user_fields *user);
void user_fields_unpack(struct unpacker *in, struct user_fields *out);
/* Fails the outcome unless name, sizes and bindings are sound. */
bool user_fields_check(const struct user_fields *user, struct outcome *outcome);
void user_store(const struct command_context *context, const struct user_fields *user);

#endif
