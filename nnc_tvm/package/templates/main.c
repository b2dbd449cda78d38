/* Runs @NAME@ once: on the raw bytes of the files given as arguments, one for each input in the order below, or on a pattern. */
#include <stdint.h>
#include <stdio.h>

#include "@NAME@.h"

@MEMORY@
static unsigned char memory[@MACRO@_ARENA_BYTES + @MACRO@_ARENA_ALIGNMENT - 1];

@PATTERNS@
@SHOWS@
static int read_file(const char *path, void *data, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    size_t got = 0;
    int more = 0;
    if (file != NULL) {
        got = fread(data, 1, bytes, file);
        more = fgetc(file) != EOF;
        fclose(file);
    }
    if (file == NULL || got != bytes || more) {
        fprintf(stderr, "%s: not a file of %lu bytes\n", path, (unsigned long)bytes);
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        size_t bytes;
        void *data;
    } inputs[] = {
@BUFFERS@
    };
    const @NAME@_inputs in = {@IN@};
    const @NAME@_outputs out = {@OUT@};
    unsigned char *const arena = memory + (@MACRO@_ARENA_ALIGNMENT - (uintptr_t)memory % @MACRO@_ARENA_ALIGNMENT) % @MACRO@_ARENA_ALIGNMENT;
    int i;
    int32_t error;

    if (argc == 1) {
@FILL@
    } else if (argc == 1 + @COUNT@) {
        for (i = 0; i < @COUNT@; i++)
            if (!read_file(argv[1 + i], inputs[i].data, inputs[i].bytes)) return 2;
    } else {
        fprintf(stderr, "usage: %s [one file for each input]\n", argv[0]);
        for (i = 0; i < @COUNT@; i++) fprintf(stderr, "  %s: %lu bytes\n", inputs[i].name, (unsigned long)inputs[i].bytes);
        return 2;
    }
    error = @NAME@_run(&in, &out, arena, @MACRO@_ARENA_BYTES);
    if (error != @MACRO@_OK) {
        fprintf(stderr, "@NAME@_run returned %ld\n", (long)error);
        return 1;
    }
@SHOW@
    return 0;
}
