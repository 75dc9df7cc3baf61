/* A catalog of N manifests, filled through apply: how long filling, a clean start, a snapshot, the
 * longest stall that a snapshot under way causes to apply, and a start from the snapshot take.
 *
 *   bench_store_manifests N DIRECTORY */

#include "base/clock.h"
#include "base/memory.h"
#include "store/catalog.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH     64
#define BYTES_MAX (256u * 1024)

struct load {
    struct catalog *catalog;
    const struct command_row *rows[64];
    uint64_t index, number;
};

static double seconds_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

static void append_manifest(struct buffer *out, uint64_t number)
{
    static const uint64_t holders[] = {1, 2, 3};
    struct manifest_put put = {
        .size = 500,
        .media_type = BYTES_LITERAL("application/vnd.oci.image.manifest.v1+json"),
        .artifact_type = BYTES_LITERAL(""),
        .annotations = BYTES_LITERAL(""),
        .holders = holders,
        .n_holders = 3,
        .n_tags = 1,
        .allow_missing = true};
    struct command_id id = {{0}};
    char repository[64], tag[64], content[64];
    struct bytes tags[1];

    snprintf(repository, sizeof repository, "team-%" PRIu64 "/app-%" PRIu64, number % 100,
             number % 1000);
    snprintf(tag, sizeof tag, "v%" PRIu64, number);
    snprintf(content, sizeof content, "manifest %" PRIu64, number);
    memcpy(id.bytes, &number, sizeof number);
    digest_of(DIGEST_SHA256, bytes_of_string(content), &put.digest);
    put.repository = bytes_of_string(repository);
    tags[0] = bytes_of_string(tag);
    put.tags = tags;
    command_manifest_put(out, &id, BYTES_LITERAL("ci"), &put);
}

/* One entry; how long its apply took, in nanoseconds. */
static uint64_t apply_batch(struct load *load)
{
    struct buffer commands[BATCH], results[BATCH];
    struct bytes views[BATCH];
    struct catalog_entry entry = {
        .index = ++load->index, .term = 1, .time_ms = load->index, .commands = views, .n = BATCH};
    uint64_t begin, took;

    for (size_t i = 0; i < BATCH; i++) {
        buffer_init(&commands[i], BYTES_MAX);
        buffer_init(&results[i], BYTES_MAX);
        append_manifest(&commands[i], ++load->number);
        views[i] = buffer_view(&commands[i]);
    }
    begin = clock_monotonic_ns();
    catalog_apply(load->catalog, &entry, results);
    took = clock_monotonic_ns() - begin;
    for (size_t i = 0; i < BATCH; i++) {
        buffer_release(&commands[i]);
        buffer_release(&results[i]);
    }
    return took;
}

/* --- the snapshot, on a thread of its own ----------------------------------------------------- */

struct snapshot {
    struct catalog_view *view;
    FILE *file;
    uint64_t size;
    atomic_bool is_done;
};

static enum error sink(void *data, struct bytes piece)
{
    struct snapshot *snapshot = data;

    snapshot->size += piece.size;
    return fwrite(piece.data, 1, piece.size, snapshot->file) == piece.size ? OK : ERROR_IO;
}

static enum error source(void *data, void *out, size_t size, size_t *n)
{
    struct snapshot *snapshot = data;

    *n = fread(out, 1, size, snapshot->file);
    return OK;
}

static void *write_snapshot(void *data)
{
    struct snapshot *snapshot = data;
    struct reason why;

    if (catalog_view_write(snapshot->view, sink, snapshot, &why) != OK) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    snapshot->is_done = true;
    return NULL;
}

static void open_catalog(struct load *load, const char *directory)
{
    struct reason why;

    if (catalog_open(directory, load->rows, catalog_commands_n, &load->catalog, &why) != OK) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
}

static void measure_snapshot(struct load *load, struct snapshot *snapshot)
{
    uint64_t begin, index, n = 0, worst = 0, quiet = 0;
    pthread_t thread;

    for (int i = 0; i < 200; i++) {
        uint64_t took = apply_batch(load);

        quiet = took > quiet ? took : quiet;
    }
    begin = clock_monotonic_ns();
    snapshot->view = catalog_view_open(load->catalog, &index);
    printf("snapshot_open_ms %.3f\n", seconds_since(begin) * 1e3);
    if (pthread_create(&thread, NULL, write_snapshot, snapshot) != 0) {
        exit(1);
    }
    while (!snapshot->is_done) {
        uint64_t took = apply_batch(load);

        worst = took > worst ? took : worst;
        n++;
    }
    pthread_join(thread, NULL);
    catalog_view_close(snapshot->view);
    printf("snapshot_seconds %.3f\nsnapshot_bytes %" PRIu64 "\n", seconds_since(begin),
           snapshot->size);
    printf("applies_meanwhile %" PRIu64 "\nlongest_apply_ms %.3f\nlongest_apply_before_ms %.3f\n",
           n, (double)worst / 1e6, (double)quiet / 1e6);
}

int main(int argc, char **argv)
{
    struct snapshot snapshot = {.size = 0};
    struct load load = {.index = 0};
    uint64_t begin, n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    struct reason why;

    if (argc != 3 || n == 0) {
        fprintf(stderr, "usage: bench_store_manifests N DIRECTORY\n");
        return 64;
    }
    for (size_t i = 0; i < catalog_commands_n; i++) {
        load.rows[i] = &catalog_commands[i];
    }
    open_catalog(&load, argv[2]);
    begin = clock_monotonic_ns();
    while (load.number < n) {
        (void)apply_batch(&load);
    }
    printf("manifests %" PRIu64 "\nfill_seconds %.3f\n", load.number, seconds_since(begin));
    snapshot.file = tmpfile();
    measure_snapshot(&load, &snapshot);
    catalog_close(load.catalog);
    begin = clock_monotonic_ns();
    open_catalog(&load, argv[2]);
    printf("clean_start_seconds %.3f\n", seconds_since(begin));
    rewind(snapshot.file);
    begin = clock_monotonic_ns();
    if (catalog_restore(load.catalog, load.index, source, &snapshot, &why) != OK) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    printf("restore_seconds %.3f\n", seconds_since(begin));
    fclose(snapshot.file);
    catalog_close(load.catalog);
    return 0;
}
