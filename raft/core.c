#include "raft/core.h"

static void idle_cb(uv_idle_t *idle)
{
    (void)idle; /* Being active is its purpose. */
}

void core_arm(struct consensus *consensus)
{
    if (consensus->life != LIFE_CLOSED) {
        uv_idle_start(&consensus->idle, idle_cb);
    }
}

bool core_leads(const struct consensus *consensus)
{
    return consensus->raft.state == RAFT_LEADER && guard_is_ready(&consensus->guard) &&
           consensus->raft.transfer == NULL && !consensus->membership.is_transferring;
}

uint64_t core_leader(const struct consensus *consensus)
{
    raft_id id = 0;
    const char *address = NULL;

    if (consensus->raft.state == RAFT_LEADER) {
        return consensus->id;
    }
    if (consensus->raft.state == RAFT_FOLLOWER) {
        raft_leader((struct raft *)(uintptr_t)&consensus->raft, &id, &address);
    }
    return id;
}

uint64_t core_now(const struct consensus *consensus)
{
    return uv_now(consensus->loop);
}

bool core_send(struct consensus *consensus, uint64_t to, unsigned kind,
               const struct peer_message *message)
{
    struct buffer body;
    bool is_sent = false;

    buffer_init(&body, COMMAND_SIZE_MAX + 1024u);
    peer_message_encode(&body, message);
    if (buffer_status(&body) == OK && consensus->io.transport != NULL) {
        is_sent = transport_send_frame(consensus->io.transport, to, kind, buffer_view(&body));
    }
    buffer_release(&body);
    return is_sent;
}

const struct raft_server *core_server(const struct consensus *consensus, uint64_t id)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;

    for (unsigned i = 0; i < configuration->n; i++) {
        if (configuration->servers[i].id == id) {
            return &configuration->servers[i];
        }
    }
    return NULL;
}

size_t core_voters(const struct consensus *consensus)
{
    const struct raft_configuration *configuration = &consensus->raft.configuration;
    size_t n = 0;

    for (unsigned i = 0; i < configuration->n; i++) {
        n += configuration->servers[i].role == RAFT_VOTER;
    }
    return n;
}
