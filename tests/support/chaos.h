/* SPDX-License-Identifier: Apache-2.0
 * A backend that wraps another and makes its life hard: late starts, small windows, pauses, errors before and
 * after the effect, bodies cut at a byte, operations that hang until they are cancelled. It also watches: what is
 * in flight, how many bytes went through, and whether the wrapped backend keeps the contract.
 *
 *     struct chaos chaos;
 *     chaos_init(&chaos, &orb_mem_ops, NULL);
 *     chaos.plan = (struct chaos_plan){.seed = 7, .fail_before_percent = 10, .window = 1000};
 *     orbit_register(client, "chaos", &chaos.table, &chaos, &error);
 *     orbit_open(&store, client, "chaos://name?profile=files", NULL, &error);
 *     …
 *     assert_int_equal(chaos_count(&chaos.started), chaos_count(&chaos.ended));
 *     assert_int_equal(chaos_count(&chaos.violations), 0);
 *
 * The wrapped backend's open() gets the authority, path and settings of the chaos URL, and `ctx`. Functions that
 * it does not have are NULL in chaos.table, too. With an empty plan everything passes through unchanged.
 *
 * Decisions follow from the seed and the number of the operation, so a run whose operations start in the same
 * order meets the same faults. The plan may be changed with chaos_plan() while operations are under way; it
 * counts for those that start afterwards. The struct lives longer than the client. */
#ifndef ORB_TESTS_CHAOS_H
#define ORB_TESTS_CHAOS_H

#include "backend/backend.h"

/* Which operations a plan is for. */
enum {
    CHAOS_STAT = 1 << 0,
    CHAOS_LIST = 1 << 1, /* begin and pages */
    CHAOS_READ = 1 << 2,
    CHAOS_PUT = 1 << 3,
    CHAOS_BEGIN = 1 << 4,
    CHAOS_PART = 1 << 5,
    CHAOS_FINISH = 1 << 6,
    CHAOS_ABORT = 1 << 7,
    CHAOS_REMOVE = 1 << 8,
    CHAOS_MKDIR = 1 << 9,
    CHAOS_RENAME = 1 << 10,
    CHAOS_COPY = 1 << 11,
    CHAOS_OTHER = 1 << 12
};

struct chaos_plan {
    uint64_t seed;
    uint32_t operations; /* CHAOS_… that meet faults and delays; 0: all */
    uint64_t skip;       /* so many of those go well first */
    uint64_t faults_max; /* after so many faults all goes well; 0: no end */

    uint32_t delay_percent, delay_max_ms; /* starts late by 0 to delay_max_ms */
    uint32_t fail_before_percent;         /* ends with `status`, the wrapped backend is not asked */
    uint32_t fail_after_percent;          /* took place, but the reply is lost: `status` with MAYBE_DONE */
    uint32_t cut_percent;                 /* reads, puts and parts: the bytes end with `status` somewhere */
    uint64_t cut_at;                      /* the byte; 0: anywhere within the first 1 MiB or the known length */
    uint32_t hang_percent;                /* nothing happens until it is cancelled */
    orbit_status status;                  /* 0: ORBIT_E_NETWORK */
    uint32_t flags;                       /* of the error; 0: ORBIT_ERROR_RETRIABLE. UINT32_MAX: none */

    bool
        late_end; /* the last page of a listing says that more follow, and then comes one without entries, as over SFTP */

    /* All reads, puts and parts, whatever `operations` says. */
    size_t window;           /* acquire and peek lend 1 to `window` bytes; 0: what the other side lends */
    uint32_t starve_percent; /* acquire and peek have nothing now, and resume a moment later */
};

struct chaos {
    orbit_backend_ops table; /* what to register */
    const orbit_backend_ops *wrapped;
    void *wrapped_ctx;
    struct chaos_plan plan; /* set before use, then by chaos_plan() */
    pthread_mutex_t mutex;

    _Atomic uint64_t started, ended; /* operations; equal when nothing is in flight */
    _Atomic uint64_t in_flight, in_flight_peak;
    _Atomic uint64_t reached;                   /* operations that the wrapped backend was asked for */
    _Atomic uint64_t faults;                    /* failed before, after, cut or hanging */
    _Atomic uint64_t bytes_read, bytes_written; /* committed, consumed */
    _Atomic uint64_t heads;
    _Atomic uint64_t violations;  /* of the contract, by the wrapped backend or by the caller */
    char violation[160];          /* the first one; by mutex */
    _Atomic uint64_t candidates;  /* operations that the plan is for */
    _Atomic uint64_t by_kind[13]; /* started, by the bit numbers of CHAOS_… */
};

void chaos_init(struct chaos *chaos, const orbit_backend_ops *wrapped, void *wrapped_ctx);
void chaos_release(struct chaos *chaos);
void chaos_plan(struct chaos *chaos, const struct chaos_plan *plan);
static inline uint64_t chaos_count(const _Atomic uint64_t *counter)
{
    return atomic_load(counter);
}

#endif
