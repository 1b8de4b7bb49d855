/* SPDX-License-Identifier: Apache-2.0
 * The policy of patience. A request that hangs costs its time-out (15 s by default) and nothing else tells of it: but
 * when others that were asked later are answered all the while, it is this one that is lost and not the store that is
 * slow. Amazon advises to ask again after two seconds, then four (Optimizing performance, "Timeouts and retries for
 * latency-sensitive applications"); what is usual here is known better. */
#include "engine/patience.h"

#include "base/clock.h"

#define ENOUGH          8u /* silences that say what is usual */
#define PLACE_TIMES     4u /* as long as nine of ten are silent: the place is given to others */
#define PLACE_LEAST_NS  (300 * ORB_MS)
#define PLACE_UNKNOWN   (1000 * ORB_MS) /* where nothing is usual yet */
#define HURRY_TIMES     8u              /* … and it is asked again, the next time after twice that */
#define HURRY_LEAST_NS  (1000 * ORB_MS)
#define FINISH_LEAST_NS (8000 * ORB_MS) /* a store may have to put much together; most send spaces meanwhile */
#define HURRIES_MOST    3u              /* of one call */
#define OVERTAKEN       3u              /* later requests that were answered; … */
#define ALONE_TIMES     3u              /* … without them, as much more time: it may be the store, or the last one */
#define HURRY_ONE_IN    8.0             /* requests, at most, … */
#define HURRY_FREE      2.0             /* … but for so many */
#define REMEMBERED      256.0

static unsigned side_of(orbit_request request)
{
    switch (request) {
    case ORBIT_REQUEST_STAT:
    case ORBIT_REQUEST_LIST_BEGIN:
    case ORBIT_REQUEST_LIST:
    case ORBIT_REQUEST_READ:
    case ORBIT_REQUEST_UPLOADS:
        return 0;
    default:
        return 1;
    }
}

static uint64_t usual(const struct orb_patience *patience, orbit_request request)
{
    const struct orb_tail_values *silences = &patience->silences[request];
    return silences->total < ENOUGH ? 0 : orb_tail_quantile(silences, 90);
}

static uint64_t at_least(uint64_t value, uint64_t least)
{
    return value > least ? value : least;
}

void orb_patience_answered(struct orb_patience *patience, orbit_request request, uint64_t attempt_ns,
                           uint64_t silence_ns)
{
    unsigned side = side_of(request);
    orb_tail_add(&patience->silences[request], silence_ns);
    patience->latest[side][patience->next[side]++ % ORB_PATIENCE_LATEST] = attempt_ns;
    patience->answers += 1;
    if (patience->answers + patience->hurries > REMEMBERED) {
        patience->answers /= 2;
        patience->hurries /= 2;
    }
}

uint64_t orb_patience_place_ns(const struct orb_patience *patience, orbit_request request)
{
    uint64_t known = usual(patience, request);
    return known ? at_least(known * PLACE_TIMES, PLACE_LEAST_NS) : PLACE_UNKNOWN;
}

/* Those on its own side: a store that reads may be unable to write. */
static bool is_overtaken(const struct orb_patience *patience, orbit_request request, uint64_t since_ns)
{
    const uint64_t *latest = patience->latest[side_of(request)];
    unsigned later = 0;
    for (unsigned i = 0; i < ORB_PATIENCE_LATEST; i++)
        later += latest[i] > since_ns;
    return later >= OVERTAKEN;
}

bool orb_patience_is_over(const struct orb_patience *patience, orbit_request request, uint32_t attempt,
                          uint64_t since_ns, uint64_t now_ns)
{
    uint64_t known = usual(patience, request);
    if (!known || !attempt || attempt > HURRIES_MOST || since_ns >= now_ns)
        return false;
    uint64_t least = request == ORBIT_REQUEST_FINISH ? FINISH_LEAST_NS : HURRY_LEAST_NS;
    uint64_t wait_ns = at_least(known * HURRY_TIMES, least) << (attempt - 1);
    if (!is_overtaken(patience, request, since_ns))
        wait_ns *= ALONE_TIMES;
    return now_ns - since_ns > wait_ns &&
           (patience->hurries + 1 - HURRY_FREE) * HURRY_ONE_IN <= patience->answers + patience->hurries;
}

void orb_patience_hurried(struct orb_patience *patience)
{
    patience->hurries += 1;
}
