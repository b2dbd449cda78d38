/* Keeps threads of a package called net between runs, as a careful and as a careless program would; exits with the line of the first check that fails. */
#include <stdint.h>
#include <string.h>

#include "net.h"

#define CHECK(condition) do { if (!(condition)) return __LINE__ % 256; } while (0)

static float x[NET_INPUT_X_ELEMENTS], wanted[NET_OUTPUT_Y_ELEMENTS], y[NET_OUTPUT_Y_ELEMENTS];
static _Alignas(NET_ARENA_ALIGNMENT) unsigned char arena[NET_ARENA_BYTES];

int main(void)
{
    const net_inputs in = {x}, no_input = {NULL};
    const net_outputs first = {wanted}, out = {y};
    net_threads threads;
    int32_t count, run;
    int i;

    for (i = 0; i < NET_INPUT_X_ELEMENTS; i++) x[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
    CHECK(net_run(&in, &first, arena, NET_ARENA_BYTES) == NET_OK);
    CHECK(net_threads_start(NULL, 2) == NET_ERROR_NULL && net_threads_stop(NULL) == NET_ERROR_NULL);
    CHECK(net_run_threads(NULL, &in, &out, arena, NET_ARENA_BYTES) == NET_ERROR_NULL);
    CHECK(net_run(&in, &first, arena, NET_ARENA_BYTES - 1) == NET_ERROR_ARENA_SIZE);
    for (count = -1; count <= NET_THREADS + 1; count++) {
        const int32_t started = net_threads_start(&threads, count);
        CHECK(started == (count < 1 ? 1 : count > NET_THREADS ? NET_THREADS : count));
        CHECK(net_run_threads(&threads, &no_input, &out, arena, NET_ARENA_BYTES) == NET_ERROR_NULL);
        for (run = 0; run < 20; run++) {
            memset(y, 0, sizeof y);
            CHECK(net_run_threads(&threads, &in, &out, arena, NET_ARENA_BYTES) == NET_OK);
            CHECK(memcmp(y, wanted, sizeof y) == 0);
        }
        CHECK(net_threads_stop(&threads) == NET_OK);
    }
    return 0;
}
