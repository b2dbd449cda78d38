/* The array of the emulator: it computes jobs, looking at every access. */
#ifndef NPU_ARRAY_H
#define NPU_ARRAY_H

#include "npu_config.h"
#include "npu_geometry.h"

/* SRAM, the private input buffer of a tile (and where each output row's fresh input rows begin in it), the input elements that one
 * output pixel needs, the accumulators of a tile's chunk whose input comes in slices, and the first fault. */
typedef struct {
  uint8_t *sram;
  uint32_t sram_bytes;
  int32_t fault;
  int8_t input[NPU_INPUT_BUFFER_BYTES];
  int16_t window[NPU_INPUT_BUFFER_BYTES];
  int32_t accumulators[NPU_ACCUMULATORS];
  int32_t starts[NPU_MAX_TILE_ROWS];
} npu_array;

/* `bytes` of SRAM from `address`; NULL and a fault where they are not all there. */
uint8_t *npu_reach(npu_array *array, uint64_t address, uint64_t bytes);

/* Row y of an image; NULL and a fault where it is not all in SRAM. */
int8_t *npu_row(npu_array *array, const npu_image *image, int32_t y);

/* Reads a tile's input into the buffer: channels [from, from + channels). */
void npu_fill(npu_array *array, const npu_command *c, const npu_tile *tile, int32_t from, int32_t channels);

/* The buffer's rows that output row y needs, NULL for those outside the image. */
enum { NPU_MAX_KERNEL = 255 };
void npu_window_rows(const npu_array *array, const npu_command *c, const npu_tile *tile, int32_t y, const int8_t *rows[NPU_MAX_KERNEL]);

/* The epilogues; an accumulator or left shift that leaves int32 is a fault. */
int8_t npu_requantize(npu_array *array, int64_t acc, const npu_scaling *scaling, int once);
int8_t npu_add(npu_array *array, int32_t a, int32_t b, const npu_sum *sum);

/* One job each, whose command has been checked. */
void npu_convolve(npu_array *array, const npu_command *c);
void npu_convolve_depthwise(npu_array *array, const npu_command *c);
void npu_pool(npu_array *array, const npu_command *c);
void npu_pixelwise(npu_array *array, const npu_command *c);

/* Decodes Rice-coded symbols. Returns NNC_NPU_OK, or NNC_NPU_CODEC where the bytes do not hold exactly `symbols`. */
int32_t npu_rice_decode(const uint8_t *bytes, uint32_t count, int8_t *symbols, uint32_t symbol_count);

#endif
