/* SPDX-License-Identifier: Apache-2.0
 * Two memory stores, one behind the chaos backend, and transfers between them. */
#include "transfer_fixture.h"

struct chaos chaos;
orbit_client *client;
orbit_backend *from, *to;
orbit_error error;
uint8_t *zeros;

void must(orbit_status status, const char *what)
{
    if (status < 0)
        fail_msg("%s: %s: %s", what, orbit_status_word(status), error.message);
}

void open_stores(const char *source_profile, const char *target_profile, bool external)
{
    char url[96];
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    orbit_open_options open = ORBIT_OPEN_OPTIONS_INIT;
    options.external_loop = external;
    open.retry_attempts = 3;
    chaos_init(&chaos, &orb_mem_ops, NULL);
    must(orbit_client_open(&client, &options, &error), "client");
    must(orbit_register(client, "chaos", &chaos.table, &chaos, &error), "register");
    snprintf(url, sizeof(url), "chaos://s?profile=%s", source_profile);
    must(orbit_open(&from, client, url, &open, &error), "source");
    snprintf(url, sizeof(url), "mem://t?profile=%s", target_profile);
    must(orbit_open(&to, client, url, NULL, &error), "target");
}

uint64_t memory_used(void)
{
    orbit_client_stats stats = ORBIT_CLIENT_STATS_INIT;
    orbit_client_get_stats(client, &stats);
    return stats.memory_used_bytes;
}

int setup(void **state)
{
    (void)state;
    client = NULL;
    zeros = calloc(1, LARGE);
    return zeros ? 0 : -1;
}

int teardown(void **state)
{
    (void)state;
    free(zeros);
    if (!client)
        return 0;
    assert_int_equal(memory_used(), 0);
    orbit_backend_close(from);
    orbit_backend_close(to);
    orbit_client_close(client);
    assert_int_equal(chaos_count(&chaos.started), chaos_count(&chaos.ended));
    if (chaos_count(&chaos.violations))
        fail_msg("the contract was broken: %s", chaos.violation);
    chaos_release(&chaos);
    return 0;
}

void have(orbit_backend *store, const char *path, size_t length)
{
    must(orbit_write(store, path, orbit_source_memory(zeros, length), length, NULL, NULL, &error), path);
}

void have_many(const char *directory, unsigned count)
{
    char path[96];
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/d%u/f%05u", directory, i % 7, i);
        have(from, path, i % 300);
    }
}

bool is_there(orbit_backend *store, const char *path)
{
    bool exists = false;
    must(orbit_exists(store, path, NULL, &exists, &error), path);
    return exists;
}

void use_tree(orbit_job_source *jobs, uint32_t operation, const char *path)
{
    must(orbit_jobs_tree(jobs, operation, from, path, to, "into", NULL, &error), "tree");
}

unsigned count_below(orbit_backend *store, const char *path)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    orbit_lister *lister = NULL;
    orbit_entry entry;
    unsigned count = 0;
    options.recursive = options.files_only = true;
    must(orbit_list(&lister, store, path, &options, &error), "list");
    while (orbit_lister_next(lister, &entry, &error) == ORBIT_OK)
        count++;
    orbit_lister_close(lister);
    return count;
}

void each(void *ctx, const orbit_transfer_result *result, orbit_status status, const orbit_error *why)
{
    struct seen *seen = ctx;
    assert_true((status == ORBIT_ENTRY_FAILED) == (why != NULL));
    seen->well += result->outcome == ORBIT_JOB_DONE;
    seen->failed += result->outcome == ORBIT_JOB_FAILED;
    seen->kept += result->outcome == ORBIT_JOB_KEPT;
    seen->left_out += result->outcome == ORBIT_JOB_LEFT_OUT;
    if (why)
        snprintf(seen->last, sizeof(seen->last), "%.64s: %.128s", result->from, why->message);
    if (result->bytes == LARGE)
        __atomic_store_n(&seen->large, true, __ATOMIC_SEQ_CST);
}
