#include "npu_geometry.h"

#include "npu_config.h"

static int32_t minimum(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t maximum(int32_t a, int32_t b) { return a > b ? a : b; }

int npu_packs(const npu_command *c) { return c->op == NPU_CONV && c->in.c % NPU_DEPTH != 0; }

int64_t npu_row_steps(const npu_command *c) { return npu_ceil_div((int64_t)c->window.kw * c->in.c, NPU_DEPTH); }

int32_t npu_slices(const npu_command *c) { return c->slice ? (int32_t)npu_ceil_div(c->in.c, c->slice) : 1; }

npu_command npu_slice_at(const npu_command *c, int32_t index) {
  npu_command part = *c;
  if (!c->slice) return part;
  part.in.base += (uint32_t)(index * c->slice), part.in.c = minimum(c->slice, c->in.c - index * c->slice), part.slice = 0;
  return part;
}

int64_t npu_slice_blocks(const npu_command *c) {
  npu_command first = npu_slice_at(c, 0);
  return npu_group_blocks(&first);
}

int64_t npu_group_blocks(const npu_command *c) {
  if (c->op != NPU_CONV) return (int64_t)c->window.kh * c->window.kw;
  if (!c->slice) return c->window.kh * npu_row_steps(c);
  npu_command last = npu_slice_at(c, npu_slices(c) - 1);
  return (npu_slices(c) - 1) * npu_slice_blocks(c) + npu_group_blocks(&last);
}

int32_t npu_group_channels(const npu_command *c) { return c->op == NPU_CONV && c->flags & NPU_INT4 ? 2 * NPU_CHANNELS : NPU_CHANNELS; }

int32_t npu_groups(const npu_command *c) { return (int32_t)npu_ceil_div(c->out.c, npu_group_channels(c)); }

int32_t npu_chunk_groups(const npu_command *c) { return minimum(c->chunk / npu_group_channels(c), npu_groups(c)); }

int64_t npu_group_bytes(const npu_command *c) { return npu_group_blocks(c) * (c->op == NPU_CONV ? NPU_BLOCK : NPU_CHANNELS); }

int64_t npu_mask_bytes(const npu_command *c) {
  return c->op == NPU_CONV && c->flags & NPU_SPARSE ? npu_ceil_div(npu_groups(c) * npu_ceil_div(npu_group_blocks(c), 8), NPU_BLOCK) * NPU_BLOCK : 0;
}

int32_t npu_tiles(const npu_command *c) { return (int32_t)npu_ceil_div(c->out.h, c->tile_rows); }

int32_t npu_chunks(const npu_command *c) { return (int32_t)npu_ceil_div(c->out.c, c->chunk); }

void npu_repetition(const npu_command *c, int32_t *outputs, int32_t *taps) {
  int32_t a = c->window.dh, b = c->window.sh;
  while (b) {
    int32_t rest = a % b;
    a = b, b = rest;
  }
  *outputs = c->window.dh / a, *taps = c->window.sh / a;
}

npu_kernel_rows npu_kernel_rows_at(const npu_command *c, int32_t from, int32_t y) {
  const npu_window *w = &c->window;
  int32_t start = y * w->sh - w->top, outputs, taps, left = c->in.h - 1 - start;
  npu_repetition(c, &outputs, &taps);
  npu_kernel_rows rows = {start < 0 ? (w->dh - 1 - start) / w->dh : 0, left < 0 ? -1 : minimum(left / w->dh, w->kh - 1), 0};
  rows.fresh = maximum(rows.low, y - outputs >= from ? w->kh - taps : 0);
  return rows;
}

npu_tile npu_tile_at(const npu_command *c, int32_t index) {
  if (c->flags & NPU_UPWARD) index = npu_tiles(c) - 1 - index;
  npu_tile tile = {index * c->tile_rows, minimum((index + 1) * c->tile_rows, c->out.h), 0, c->in.h, 0};
  for (int32_t y = tile.from; y < tile.to; y++) {
    npu_kernel_rows rows = npu_kernel_rows_at(c, tile.from, y);
    tile.count += maximum(0, rows.high - rows.fresh + 1);
    if (rows.low > rows.high) continue;
    tile.first = minimum(tile.first, y * c->window.sh - c->window.top + rows.low * c->window.dh);
    tile.end = maximum(tile.end, y * c->window.sh - c->window.top + rows.high * c->window.dh + 1);
  }
  return tile;
}

int32_t npu_buffer_channels(const npu_command *c) { return c->op == NPU_CONV ? c->in.c : minimum(c->chunk, c->in.c); }

int64_t npu_buffer_row(const npu_command *c) {
  return npu_packs(c) ? c->out.w * NPU_DEPTH * npu_row_steps(c) : (int64_t)c->in.w * npu_buffer_channels(c);
}
