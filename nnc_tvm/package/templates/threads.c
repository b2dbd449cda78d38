/* Threads that run @NAME@ together, in memory of the caller's: POSIX threads that meet at a barrier.
 *
 * A thread that comes early turns for a while, which is how long others usually take; then it lets others have its core, which may be what
 * they wait for; then it sleeps. Between two runs threads wait at the barrier, too: a run begins when the caller's thread comes there.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "threads.h"

enum { OTHERS = @MACRO@_THREADS - 1, CACHE_LINE = 64, TURNS = 1 << 8, YIELDS = 1 << 9 };

struct member {
    pthread_t handle;
    struct @NAME@_team *team;
    int32_t number;
};

/* What a @NAME@_threads holds. `arrived` and `meetings` have cache lines of their own. */
struct @NAME@_team {
    pthread_mutex_t mutex;
    pthread_cond_t left;
    struct member others[OTHERS];
    @NAME@_share share;
    const void *job;
    int32_t count; /* threads, the caller's included */
    unsigned char apart[CACHE_LINE];
    atomic_int arrived;
    unsigned char further_apart[CACHE_LINE];
    atomic_uint meetings;
    atomic_int asleep;
    unsigned char end[CACHE_LINE];
};

_Static_assert(sizeof(struct @NAME@_team) <= sizeof(@NAME@_threads), "a @NAME@_threads is too small for this system's POSIX threads");

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* as long as x86's pause, which yield is not */
#endif
}

static void wait_for_others(struct @NAME@_team *team, unsigned meeting)
{
    int turn;
    for (turn = 0; turn < TURNS + YIELDS; turn++) {
        if (atomic_load_explicit(&team->meetings, memory_order_acquire) != meeting) return;
        if (turn < TURNS) pause_briefly();
        else sched_yield();
    }
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->asleep, 1); /* before `meetings` is read again, as the last one writes that before it reads this */
    while (atomic_load(&team->meetings) == meeting) pthread_cond_wait(&team->left, &team->mutex);
    atomic_fetch_sub(&team->asleep, 1);
    pthread_mutex_unlock(&team->mutex);
}

void @NAME@_meet(struct @NAME@_team *team)
{
    unsigned meeting;
    if (team->count == 1) return;
    meeting = atomic_load_explicit(&team->meetings, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 < team->count) {
        wait_for_others(team, meeting);
        return;
    }
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    atomic_store(&team->meetings, meeting + 1);
    if (atomic_load(&team->asleep) != 0) {
        pthread_mutex_lock(&team->mutex);
        pthread_cond_broadcast(&team->left);
        pthread_mutex_unlock(&team->mutex);
    }
}

static void run_share(struct @NAME@_team *team, int32_t number)
{
    const int32_t first = @MACRO@_THREADS * number / team->count, last = @MACRO@_THREADS * (number + 1) / team->count;
    team->share(team, team->job, first, last);
}

static void *work(void *argument)
{
    const struct member *const self = (const struct member *)argument;
    struct @NAME@_team *const team = self->team;
    pthread_mutex_lock(&team->mutex); /* until all are started and counted */
    pthread_mutex_unlock(&team->mutex);
    for (;;) {
        @NAME@_meet(team);
        if (team->share == NULL) return NULL;
        run_share(team, self->number);
        @NAME@_meet(team);
    }
}

void @NAME@_share_out(@NAME@_threads *threads, @NAME@_share share, const void *job)
{
    struct @NAME@_team *const team = (struct @NAME@_team *)threads;
    team->share = share;
    team->job = job;
    @NAME@_meet(team);
    run_share(team, 0);
    @NAME@_meet(team);
}

int32_t @NAME@_threads_start(@NAME@_threads *threads, int32_t count)
{
    struct @NAME@_team *const team = (struct @NAME@_team *)threads;
    if (threads == NULL) return @MACRO@_ERROR_NULL;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->left, NULL);
    atomic_init(&team->arrived, 0);
    atomic_init(&team->meetings, 0);
    atomic_init(&team->asleep, 0);
    pthread_mutex_lock(&team->mutex);
    for (team->count = 1; team->count < count && team->count < @MACRO@_THREADS; team->count++) {
        struct member *const other = &team->others[team->count - 1];
        other->team = team;
        other->number = team->count;
        if (pthread_create(&other->handle, NULL, work, other) != 0) break;
    }
    pthread_mutex_unlock(&team->mutex);
    return team->count;
}

int32_t @NAME@_threads_stop(@NAME@_threads *threads)
{
    struct @NAME@_team *const team = (struct @NAME@_team *)threads;
    int32_t k;
    if (threads == NULL) return @MACRO@_ERROR_NULL;
    team->share = NULL;
    @NAME@_meet(team);
    for (k = 0; k < team->count - 1; k++) pthread_join(team->others[k].handle, NULL);
    pthread_cond_destroy(&team->left);
    pthread_mutex_destroy(&team->mutex);
    return @MACRO@_OK;
}
