#include "store/apply.h"
#include "store/catalog.h"

const struct command_row catalog_commands[] = {
    {COMMAND_CLUSTER_CREATE, "cluster.create", apply_cluster_create},
    {COMMAND_MEMBER_PUT, "member.put", apply_member_put},
    {COMMAND_MEMBER_REMOVE, "member.remove", apply_member_remove},
    {COMMAND_JOIN_TOKEN_PUT, "join-token.put", apply_join_token_put},
    {COMMAND_MEMBER_ANNOUNCE, "member.announce", apply_member_announce},
    {COMMAND_USER_PUT, "user.put", apply_user_put},
    {COMMAND_USER_DELETE, "user.delete", apply_user_delete},
    {COMMAND_BLOB_COMMIT, "blob.commit", apply_blob_commit},
    {COMMAND_BLOB_MOUNT, "blob.mount", apply_blob_mount},
    {COMMAND_BLOB_UNLINK, "blob.unlink", apply_blob_unlink},
    {COMMAND_BLOB_HOLDERS, "blob.holders", apply_blob_holders},
    {COMMAND_MANIFEST_PUT, "manifest.put", apply_manifest_put},
    {COMMAND_MANIFEST_DELETE, "manifest.delete", apply_manifest_delete},
    {COMMAND_TAG_DELETE, "tag.delete", apply_tag_delete},
    {COMMAND_SETTINGS_PUT, "settings.put", apply_settings_put},
    {COMMAND_QUOTA_PUT, "quota.put", apply_quota_put},
    {COMMAND_QUOTA_DELETE, "quota.delete", apply_quota_delete},
};
const size_t catalog_commands_n = sizeof catalog_commands / sizeof catalog_commands[0];
