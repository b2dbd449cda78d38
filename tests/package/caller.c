/* Calls net_run as a careful and as a careless program would; exits with the number of the first check that fails. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

#define CHECK(condition) do { if (!(condition)) return __LINE__ % 256; } while (0)

int main(void)
{
    int8_t *x = malloc(NET_INPUT_X_Y_0_BYTES), *probabilities = malloc(NET_OUTPUT_PROBABILITIES_BYTES);
    int8_t *again = malloc(NET_OUTPUT_AGAIN_BYTES), *copy = malloc(NET_OUTPUT_X_Y_0_BYTES);
    unsigned char *memory = malloc(NET_ARENA_BYTES + NET_ARENA_ALIGNMENT);
    unsigned char *arena = memory + (NET_ARENA_ALIGNMENT - (uintptr_t)memory % NET_ARENA_ALIGNMENT) % NET_ARENA_ALIGNMENT;
    const net_inputs in = {x}, no_input = {NULL};
    const net_outputs out = {probabilities, again, copy}, no_output = {probabilities, NULL, copy};
    const int shape[] = NET_INPUT_X_Y_0_SHAPE;
    int i;

    for (i = 0; i < NET_INPUT_X_Y_0_ELEMENTS; i++) x[i] = (int8_t)(11 * i - 60);
    memset(probabilities, 99, NET_OUTPUT_PROBABILITIES_BYTES);
    CHECK(NET_INPUT_X_Y_0_RANK == sizeof shape / sizeof *shape && shape[2] == 4);
    CHECK(NET_INPUT_X_Y_0_SCALE == 0.5f && NET_OUTPUT_PROBABILITIES_ZERO_POINT == -128);

    CHECK(net_run(NULL, &out, arena, NET_ARENA_BYTES) == NET_ERROR_NULL);
    CHECK(net_run(&in, NULL, arena, NET_ARENA_BYTES) == NET_ERROR_NULL);
    CHECK(net_run(&in, &out, NULL, NET_ARENA_BYTES) == NET_ERROR_NULL);
    CHECK(net_run(&no_input, &out, arena, NET_ARENA_BYTES) == NET_ERROR_NULL);
    CHECK(net_run(&in, &no_output, arena, NET_ARENA_BYTES) == NET_ERROR_NULL);
    CHECK(net_run(&in, &out, arena + 1, NET_ARENA_BYTES) == NET_ERROR_ARENA_ALIGNMENT);
    CHECK(net_run(&in, &out, arena, NET_ARENA_BYTES - 1) == NET_ERROR_ARENA_SIZE);
    CHECK(net_run(&in, &out, arena, 0) == NET_ERROR_ARENA_SIZE);
    CHECK(probabilities[0] == 99 && probabilities[11] == 99);

    CHECK(net_run(&in, &out, arena, NET_ARENA_BYTES) == NET_OK);
    CHECK(memcmp(copy, x, NET_INPUT_X_Y_0_BYTES) == 0);
    CHECK(memcmp(again, probabilities, NET_OUTPUT_AGAIN_BYTES) == 0);
    free(x);
    free(probabilities);
    free(again);
    free(copy);
    free(memory);
    return 0;
}
