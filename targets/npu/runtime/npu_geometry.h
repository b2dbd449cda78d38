/* Tiles, chunks, groups and the rows that windows touch: what checks, clock and array agree on. */
#ifndef NPU_GEOMETRY_H
#define NPU_GEOMETRY_H

#include "npu_stream.h"

typedef struct {
  int32_t from, to;   /* output rows */
  int32_t count;      /* input rows touched inside the image, each once */
  int32_t first, end; /* the lowest of them, and behind the highest; where there are none the image's height, and 0 */
} npu_tile;

static inline int64_t npu_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* CONV, DWCONV and POOL: those with windows, tiles and chunks */
static inline int npu_has_tiles(const npu_command *c) { return c->op == NPU_CONV || c->op == NPU_DWCONV || c->op == NPU_POOL; }

/* ADD, MUL and RESIDUAL: those that read `second`. RESIDUAL is a flag of CONV and DWCONV alone. */
static inline int npu_has_second(const npu_command *c) {
  return c->op == NPU_ADD || c->op == NPU_MUL || ((c->op == NPU_CONV || c->op == NPU_DWCONV) && c->flags & NPU_RESIDUAL);
}

/* Whether `second` is one pixel, of MUL the same for all. */
static inline int npu_second_spreads(const npu_command *c) { return c->op == NPU_MUL && c->second.h == 1 && c->second.w == 1; }

/* Whether the fill packs each window's row: CONV whose channels do not fill the depth of a dot product. */
int npu_packs(const npu_command *c);

/* Steps of a kernel row, blocks of a group: 4 elements of each channel (CONV); elements of a group's channel (DWCONV). */
int64_t npu_row_steps(const npu_command *c);
int64_t npu_group_blocks(const npu_command *c);

/* Slices of input channels that the buffers hold one after the other while accumulators stay: how many, the blocks of a group in each but the last,
 * and the command for one of them alone. */
int32_t npu_slices(const npu_command *c);
int64_t npu_slice_blocks(const npu_command *c);
npu_command npu_slice_at(const npu_command *c, int32_t index);

/* Output channels of a group; groups; those of chunk 0. Bytes of a group's weights without a mask, and of the padded mask (0 without SPARSE). */
int32_t npu_group_channels(const npu_command *c);
int32_t npu_groups(const npu_command *c);
int32_t npu_chunk_groups(const npu_command *c);
int64_t npu_group_bytes(const npu_command *c);
int64_t npu_mask_bytes(const npu_command *c);

int32_t npu_tiles(const npu_command *c);
int32_t npu_chunks(const npu_command *c);

/* Tile number `index`. */
npu_tile npu_tile_at(const npu_command *c, int32_t index);

/* Of output row y in a tile from output row `from`: the kernel rows [low, high] inside the image, and those from `fresh` on whose input rows no earlier
 * output row of the tile has touched. */
typedef struct {
  int32_t low, high, fresh;
} npu_kernel_rows;
npu_kernel_rows npu_kernel_rows_at(const npu_command *c, int32_t from, int32_t y);

/* Two windows of a tile touch one input row where one is `outputs` output rows earlier and `taps` kernel rows later. */
void npu_repetition(const npu_command *c, int32_t *outputs, int32_t *taps);

/* Bytes of the input buffer that one input row takes; channels the buffer holds at once. */
int64_t npu_buffer_row(const npu_command *c);
int32_t npu_buffer_channels(const npu_command *c);

#endif
