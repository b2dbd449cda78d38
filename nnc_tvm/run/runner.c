/* Runs @NAME@ on many samples.
 *
 *   runner run COUNT INPUT... OUTPUT...   COUNT samples, one after the other in each file
 *   runner repeat COUNT INPUT...          the files' first sample COUNT times, nothing else
 *   runner time COUNT INPUT...            the same, printing the nanoseconds of each inference
 *   runner count COUNT INPUT...           as repeat, on one thread
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "@NAME@.h"

enum { INPUTS = @INPUTS@, OUTPUTS = @OUTPUTS@ };

@MEMORY@
static unsigned char memory[@MACRO@_ARENA_BYTES + @MACRO@_ARENA_ALIGNMENT - 1];

static const @NAME@_inputs in = {@IN@};
static const @NAME@_outputs out = {@OUT@};
@THREADS@static const size_t input_bytes[INPUTS] = {@INPUT_BYTES@};
static const size_t output_bytes[OUTPUTS] = {@OUTPUT_BYTES@};
static void *const input_data[INPUTS] = {@IN@};
static const void *const output_data[OUTPUTS] = {@OUT@};

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    return file;
}

static void infer(void)
{
    unsigned char *arena = memory + (@MACRO@_ARENA_ALIGNMENT - (uintptr_t)memory % @MACRO@_ARENA_ALIGNMENT) % @MACRO@_ARENA_ALIGNMENT;
    int32_t error = @RUN@&in, &out, arena, @MACRO@_ARENA_BYTES);
    if (error != @MACRO@_OK) {
        fprintf(stderr, "@NAME@_run returned %ld\n", (long)error);
        exit(3);
    }
}

static void read_sample(FILE **files)
{
    int i;
    for (i = 0; i < INPUTS; i++)
        if (fread(input_data[i], 1, input_bytes[i], files[i]) != input_bytes[i]) {
            fprintf(stderr, "input %d ends too early\n", i);
            exit(2);
        }
}

static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    FILE *files[INPUTS + OUTPUTS];
    long count, sample;
    int i, run, timed, result = 0;
    if (argc < 3 + INPUTS) return 2;
    run = strcmp(argv[1], "run") == 0;
    timed = strcmp(argv[1], "time") == 0;
    if (run && argc < 3 + INPUTS + OUTPUTS) return 2;
    count = atol(argv[2]);
    for (i = 0; i < INPUTS; i++) files[i] = open_file(argv[3 + i], "rb");
    for (i = 0; run && i < OUTPUTS; i++) files[INPUTS + i] = open_file(argv[3 + INPUTS + i], "wb");
    if (!run) read_sample(files);
@START@    for (sample = 0; result == 0 && sample < count; sample++) {
        double start = 0;
        if (run) read_sample(files);
        if (timed) start = nanoseconds();
        infer();
        if (timed) printf("%.0f\n", nanoseconds() - start);
        for (i = 0; run && i < OUTPUTS; i++)
            if (fwrite(output_data[i], 1, output_bytes[i], files[INPUTS + i]) != output_bytes[i]) {
                perror("output");
                result = 2;
            }
    }
@STOP@    for (i = 0; run && i < OUTPUTS; i++)
        if (fclose(files[INPUTS + i]) != 0) {
            perror("output");
            result = 2;
        }
    return result;
}
