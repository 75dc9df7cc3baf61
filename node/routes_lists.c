#include "base/assert.h"
#include "base/json.h"
#include "node/consistency.h"
#include "node/routes_manifests.h"
#include "node/worker.h"
#include "store/catalog.h"

/* tags/list and _catalog: names in bytewise order after "last", n of them, with a Link to the next
 * page when there is more. Without n: all (not every client follows a Link), as far as they fit
 * into the 4 MiB that clients take. */

#define PAGE_NAMES_MAX 10000u
#define PAGE_BYTES_MAX (3584u * 1024)

struct page {
    struct exchange *exchange;
    struct buffer body;
    uint64_t n_wanted, n;
    struct bytes last; /* The last name that went in; borrowed from the transaction. */
    bool is_filtered, has_more;
};

static void page_add(struct page *page, struct bytes name)
{
    if (page->n++ > 0) {
        buffer_append_byte(&page->body, ',');
    }
    json_escape(&page->body, name);
    page->last = name;
}

static bool page_visit(void *data, struct bytes name)
{
    struct page *page = data;

    if (page->is_filtered && !exchange_may(page->exchange, ACTION_PULL, name)) {
        return true;
    }
    if (page->n == page->n_wanted || page->body.size > PAGE_BYTES_MAX) {
        page->has_more = page->n_wanted > 0;
        return false;
    }
    page_add(page, name);
    return true;
}

/* False after an answer. */
static bool page_open(struct page *page, struct exchange *exchange)
{
    struct bytes n;

    *page = (struct page){.exchange = exchange, .n_wanted = UINT64_MAX};
    if (exchange_query(exchange, "n", 0, &n)) {
        if (bytes_to_uint(n, &page->n_wanted) != OK) {
            exchange_fail_as(exchange, 400, "UNSUPPORTED", NULL, "n must be a number, 0 or more");
            return false;
        }
        if (page->n_wanted > PAGE_NAMES_MAX) {
            page->n_wanted = PAGE_NAMES_MAX;
        }
    }
    buffer_init(&page->body, PAGE_BYTES_MAX + 4096);
    return true;
}

/* Names of tags and repositories need no escape in a URL but the slash, which may stand in a query.
 */
static void page_answer(struct page *page)
{
    struct exchange *exchange = page->exchange;

    if (page->has_more) {
        exchange_set_header(exchange, "Link",
                            "<" BYTES_FMT "?last=" BYTES_FMT "&n=%llu>; rel=\"next\"",
                            BYTES_ARG(exchange_path(exchange)), BYTES_ARG(page->last),
                            (unsigned long long)(page->n_wanted < PAGE_NAMES_MAX ? page->n_wanted
                                                                                 : PAGE_NAMES_MAX));
    }
    CHECK(buffer_status(&page->body) == OK);
    exchange_answer(exchange, 200, "application/json", buffer_view(&page->body));
    buffer_release(&page->body);
}

static void tags_list(struct exchange *exchange)
{
    struct bytes name = exchange_parameter(exchange, "name");
    struct catalog_txn txn;
    struct page page;
    struct bytes last;
    enum error rv;

    if (!page_open(&page, exchange)) {
        return;
    }
    (void)exchange_query(exchange, "last", 0, &last);
    buffer_print(&page.body, "{\"name\":\"" BYTES_FMT "\",\"tags\":[", BYTES_ARG(name));
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    rv = catalog_repository_exists(&txn, name);
    if (rv == OK) {
        catalog_tags(&txn, name, last, page_visit, &page);
        catalog_set_index(exchange, &txn);
        buffer_append_string(&page.body, "]}");
        page_answer(&page);
    } else {
        buffer_release(&page.body);
        exchange_fail(exchange, rv, NULL);
    }
    catalog_done(&txn);
}

static void catalog_list(struct exchange *exchange)
{
    struct catalog_txn txn;
    struct page page;
    struct bytes last;

    if (!page_open(&page, exchange)) {
        return;
    }
    (void)exchange_query(exchange, "last", 0, &last);
    page.is_filtered = true;
    buffer_append_string(&page.body, "{\"repositories\":[");
    catalog_read(exchange_worker(exchange)->catalog, &txn);
    catalog_repositories(&txn, last, page_visit, &page);
    catalog_set_index(exchange, &txn);
    buffer_append_string(&page.body, "]}");
    page_answer(&page);
    catalog_done(&txn);
}

void tags_list_handler(struct exchange *exchange)
{
    catalog_freshen(exchange, FRESH_LATEST, tags_list);
}

void catalog_list_handler(struct exchange *exchange)
{
    catalog_freshen(exchange, FRESH_LATEST, catalog_list);
}
