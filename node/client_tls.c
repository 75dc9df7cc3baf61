#include "node/client_tls.h"

#include "base/assert.h"
#include "base/durable.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"

#define PEM_MAX (1u << 20)

enum error client_tls_open(const struct config *config, struct tls_context **out,
                           struct reason *why)
{
    struct tls_options options = {.role = TLS_CLIENTS};
    struct buffer certificate, key;
    enum error rv;

    *out = NULL;
    if (config->tls_certificate[0] == '\0') {
        return OK;
    }
    buffer_init(&key, 1);
    rv = durable_read("", config->tls_certificate, PEM_MAX, &certificate, why);
    if (rv == OK) {
        buffer_release(&key);
        rv = durable_read("", config->tls_key, PEM_MAX, &key, why);
    }
    if (rv == OK) {
        options.certificate = buffer_view(&certificate);
        options.key = buffer_view(&key);
        rv = tls_context_open(&options, out, why);
        memory_wipe(key.data, key.size);
        if (rv != OK) {
            reason_prefix(why, "tls.certificate %s with tls.key %s", config->tls_certificate,
                          config->tls_key);
        }
    }
    buffer_release(&certificate);
    buffer_release(&key);
    return rv;
}

/* --- again ------------------------------------------------------------------------------------ */

static void reload_work(uv_work_t *work)
{
    struct client_tls_reload *reload = container_of(work, struct client_tls_reload, work);

    if (client_tls_open(reload->config, &reload->fresh, &reload->why) != OK) {
        reload->fresh = NULL;
    }
}

static void reload_work_cb(uv_work_t *work, int status)
{
    struct client_tls_reload *reload = container_of(work, struct client_tls_reload, work);

    CHECK(status == 0);
    reload->is_under_way = false;
    if (reload->fresh != NULL) {
        tls_context_renew(reload->context, reload->fresh);
        LOG_INFO("SIGHUP: new connections of clients use the certificate that is in %s now",
                 reload->config->tls_certificate);
    } else {
        LOG_ERROR("SIGHUP: the certificate for clients stays the old one: %s", reload->why.text);
    }
    if (reload->is_wanted) {
        client_tls_reload(reload, work->loop, reload->config, reload->context);
    }
}

void client_tls_reload(struct client_tls_reload *reload, uv_loop_t *loop,
                       const struct config *config, struct tls_context *context)
{
    if (context == NULL) {
        LOG_INFO("SIGHUP: nothing to read again, clients are served plain HTTP");
        return;
    }
    reload->is_wanted = reload->is_under_way;
    if (reload->is_under_way) {
        return;
    }
    reload->is_under_way = true;
    reload->config = config;
    reload->context = context;
    CHECK(uv_queue_work(loop, &reload->work, reload_work, reload_work_cb) == 0);
}
