#include "npu_clock.h"

#include <string.h>

#include "npu_config.h"
#include "npu_geometry.h"

static int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t npu_kept_blocks(const npu_command *c, const uint8_t *mask, int32_t group, int32_t slice) {
  npu_command part = npu_slice_at(c, slice);
  int64_t blocks = npu_group_blocks(&part), bit = slice * npu_slice_blocks(c), kept = 0;
  if (!(c->flags & NPU_SPARSE)) return blocks;
  mask += group * npu_ceil_div(npu_group_blocks(c), 8);
  for (int64_t end = bit + blocks; bit < end; bit++) kept += mask[bit / 8] >> (bit % 8) & 1;
  return kept;
}

/* sum over tiles of ceil(rows * OW * steps / P), not below ceil(rows * OW * scalings / lanes) */
static int64_t tile_steps(const npu_command *c, int64_t steps, int64_t scalings) {
  int64_t full = c->out.h / c->tile_rows, rows[2] = {c->tile_rows, c->out.h % c->tile_rows}, total[2];
  for (int i = 0; i < 2; i++)
    total[i] = maximum(npu_ceil_div(rows[i] * c->out.w * steps, NPU_PIXELS), npu_ceil_div(rows[i] * c->out.w * scalings, NPU_REQUANTIZE_LANES));
  return full * total[0] + total[1];
}

/* Groups of the array's channels in all chunks */
static int64_t array_groups(const npu_command *c) {
  int64_t groups = 0;
  for (int64_t at = 0; at < c->out.c; at += c->chunk) groups += npu_ceil_div(c->chunk < c->out.c - at ? c->chunk : c->out.c - at, NPU_ARRAY_CHANNELS);
  return groups;
}

/* Steps of the array on one of its groups, nothing skipped */
static int64_t dense_steps(const npu_command *c) {
  const npu_window *w = &c->window;
  if (c->op == NPU_DWCONV) return npu_ceil_div((int64_t)w->kh * w->kw, NPU_DEPTHWISE_TAPS) * NPU_DEPTHWISE_TAPS;
  return w->kh * (NPU_PACKS_ROWS ? npu_ceil_div((int64_t)w->kw * c->in.c, NPU_ARRAY_DEPTH) : w->kw * npu_ceil_div(c->in.c, NPU_ARRAY_DEPTH));
}

static void weigh(const npu_command *c, const uint8_t *mask, npu_cost *cost, int64_t *first_chunk) {
  int32_t groups = npu_groups(c), chunk_groups = npu_chunk_groups(c), lanes = NPU_ARRAY_CHANNELS * (c->flags & NPU_INT4 ? 2 : 1);
  int64_t requantize = npu_ceil_div(lanes * NPU_PIXELS * (c->flags & NPU_RESIDUAL ? 1 + NPU_SUM_SCALINGS : 1), NPU_REQUANTIZE_LANES);
  int64_t steps = 0, masked = groups * npu_group_blocks(c), kept_first = 0;
  for (int32_t s = 0; s < npu_slices(c); s++) {
    npu_command part = npu_slice_at(c, s);
    int64_t least = s < npu_slices(c) - 1 ? NPU_SWAP_CYCLES : requantize;
    if (!NPU_SKIPS_ZEROS) steps += array_groups(c) * maximum(dense_steps(&part), least);
    for (int32_t g = 0; g < groups; g++) {
      int64_t kept = c->op == NPU_CONV ? npu_kept_blocks(c, mask, g, s) : npu_group_blocks(c);
      if (NPU_SKIPS_ZEROS) steps += maximum(kept, least);
      masked -= kept;
      if (!s && g < chunk_groups) kept_first += kept;
    }
  }
  int64_t pixels = (int64_t)c->out.h * c->out.w, channels = c->chunk < c->out.c ? c->chunk : c->out.c;
  cost->array = tile_steps(c, 1, 0) * steps;
  cost->macs = pixels * c->out.c * c->window.kh * c->window.kw * (c->op == NPU_CONV ? c->in.c : 1);
  cost->macs_skipped = masked * NPU_DEPTH * npu_group_channels(c) * pixels;
  cost->weights = c->weight_bytes + (int64_t)NPU_PARAMETER_BYTES * c->out.c;
  if (!(c->flags & NPU_CHUNKS_OUTER) && npu_chunks(c) * npu_slices(c) > 1) cost->weights *= npu_tiles(c);
  *first_chunk = kept_first * (c->op == NPU_CONV ? NPU_BLOCK : NPU_CHANNELS) + NPU_PARAMETER_BYTES * channels + npu_mask_bytes(c);
}

static npu_cost tiled_cost(const npu_command *c, const uint8_t *mask, int64_t *first) {
  npu_cost cost;
  memset(&cost, 0, sizeof cost);
  if (c->op == NPU_POOL) cost.array = tile_steps(c, (int64_t)c->window.kh * c->window.kw, NPU_ARRAY_CHANNELS) * array_groups(c);
  else weigh(c, mask, &cost, first);
  int64_t row = (int64_t)c->in.w * c->in.c, rows = 0;
  for (int32_t t = 0; t < npu_tiles(c); t++) rows += npu_tile_at(c, t).count;
  cost.input = rows * row;
  if (c->slice || (c->op == NPU_CONV && c->flags & NPU_CHUNKS_OUTER && npu_tiles(c) > 1)) cost.input *= npu_chunks(c);
  npu_command part = npu_slice_at(c, 0);
  *first += (int64_t)npu_tile_at(c, 0).count * c->in.w * npu_buffer_channels(&part);
  return cost;
}

npu_cost npu_job_cost(const npu_command *c, const uint8_t *mask) {
  npu_cost cost;
  int64_t n = (int64_t)c->out.h * c->out.w * c->out.c, first = 0, fills = 0;
  memset(&cost, 0, sizeof cost);
  if (npu_has_tiles(c)) cost = tiled_cost(c, mask, &first), fills = (int64_t)npu_tiles(c) * npu_chunks(c) * npu_slices(c);
  if (c->flags & NPU_RESIDUAL) cost.input += n;
  if (c->op == NPU_ADD) cost.array = npu_ceil_div(NPU_SUM_SCALINGS * n, NPU_REQUANTIZE_LANES), cost.input = 2 * n;
  if (c->op == NPU_MUL) cost.array = npu_ceil_div(n, NPU_REQUANTIZE_LANES), cost.input = n + (int64_t)c->second.h * c->second.w * c->second.c;
  if (c->op == NPU_LUT) cost.array = npu_ceil_div(n, NPU_REQUANTIZE_LANES), cost.input = n + NPU_TABLE_BYTES;
  if (c->op == NPU_SOFTMAX) cost.array = (int64_t)c->out.h * c->out.w * (16 * (int64_t)c->out.c + 64), cost.input = 3 * n;
  cost.output = n;
  int64_t transfer = npu_ceil_div(cost.input + cost.weights + cost.output, NPU_COMPUTE_BYTES_PER_CYCLE);
  cost.prologue = npu_ceil_div(first, NPU_COMPUTE_BYTES_PER_CYCLE);
  cost.stall_sram = maximum(0, transfer - cost.prologue - cost.array);
  cost.cycles = cost.array + cost.stall_sram + cost.prologue + NPU_FILL_CYCLES * fills + NPU_JOB_CYCLES;
  return cost;
}

int64_t npu_dma_cycles(const npu_command *c) {
  int64_t percent = c->flags & NPU_RICE ? NPU_CODED_PERCENT : 100;
  int64_t read = npu_ceil_div(c->flash_bytes * percent, 100 * NPU_FLASH_BYTES_PER_CYCLE), decode = npu_ceil_div(c->sram_bytes, NPU_CODEC_SYMBOLS_PER_CYCLE);
  return c->flags & NPU_RICE ? maximum(read, decode) : read;
}
