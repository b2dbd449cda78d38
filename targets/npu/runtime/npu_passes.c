#include "npu_passes.h"

#include <string.h>

#include "npu_config.h"
#include "npu_geometry.h"

static int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t npu_passes(const npu_command *c) { return (int64_t)npu_tiles(c) * npu_chunks(c) * npu_slices(c); }

int64_t npu_kept_blocks(const npu_command *c, const uint8_t *mask, int32_t group, int32_t slice) {
  npu_command part = npu_slice_at(c, slice);
  int64_t blocks = npu_group_blocks(&part), bit = slice * npu_slice_blocks(c), kept = 0;
  if (!(c->flags & NPU_SPARSE)) return blocks;
  mask += group * npu_ceil_div(npu_group_blocks(c), 8);
  for (int64_t end = bit + blocks; bit < end; bit++) kept += mask[bit / 8] >> (bit % 8) & 1;
  return kept;
}

/* How often the array does a chunk's steps for so many output positions */
static int64_t turns_of(const npu_command *c, int64_t pixels) {
  if (c->op != NPU_POOL) return npu_ceil_div(pixels, NPU_PIXELS);
  return maximum(npu_ceil_div(pixels * c->window.kh * c->window.kw, NPU_PIXELS), npu_ceil_div(pixels * NPU_ARRAY_CHANNELS, NPU_REQUANTIZE_LANES));
}

/* Steps of the array on one of its groups, nothing skipped */
static int64_t dense_steps(const npu_command *c) {
  const npu_window *w = &c->window;
  if (c->op == NPU_DWCONV) return npu_ceil_div((int64_t)w->kh * w->kw, NPU_DEPTHWISE_TAPS) * NPU_DEPTHWISE_TAPS;
  return w->kh * (NPU_PACKS_ROWS ? npu_ceil_div((int64_t)w->kw * c->in.c, NPU_ARRAY_DEPTH) : w->kw * npu_ceil_div(c->in.c, NPU_ARRAY_DEPTH));
}

/* Weights and steps of slice `slice`, which is the input of `part`, for the chunk of `channels` channels from `from` */
static void weigh(const npu_command *c, const npu_command *part, const uint8_t *mask, int64_t from, int64_t channels, int32_t slice, npu_pass *pass) {
  int32_t lanes = NPU_ARRAY_CHANNELS * (c->flags & NPU_INT4 ? 2 : 1), group = npu_group_channels(c);
  int64_t requantize = npu_ceil_div(lanes * NPU_PIXELS * (c->flags & NPU_RESIDUAL ? 1 + NPU_SUM_SCALINGS : 1), NPU_REQUANTIZE_LANES);
  int64_t least = slice < npu_slices(c) - 1 ? NPU_SWAP_CYCLES : requantize, blocks = 0;
  pass->work = NPU_SKIPS_ZEROS ? 0 : npu_ceil_div(channels, NPU_ARRAY_CHANNELS) * maximum(dense_steps(part), least);
  for (int64_t o = from; o < from + channels; o += group) {
    int64_t kept = npu_kept_blocks(c, mask, (int32_t)(o / group), slice);
    if (NPU_SKIPS_ZEROS) pass->work += maximum(kept, least);
    blocks += kept;
  }
  pass->loads[NPU_WEIGHTS] = blocks * (c->op == NPU_CONV ? NPU_BLOCK : NPU_CHANNELS);
  pass->loads[NPU_OTHERS] = slice ? 0 : NPU_PARAMETER_BYTES * channels + (from ? 0 : npu_mask_bytes(c));
}

/* Of passes in a row that need the same input or weights the first loads it and the last frees it. */
static void keep(const npu_command *c, int64_t tile, int64_t part, npu_pass *pass) {
  int64_t last = npu_chunks(c) * (int64_t)npu_slices(c) - 1, tiles = npu_tiles(c);
  int outer = c->flags & NPU_CHUNKS_OUTER, inputs = c->op != NPU_CONV || c->slice || (outer && tiles > 1), weights = !outer && last > 0;
  if (!inputs && part != last) pass->frees[NPU_INPUT] = 0;
  if (!inputs && part) pass->loads[NPU_INPUT] = 0;
  if (!weights && tile != tiles - 1) pass->frees[NPU_WEIGHTS] = 0;
  if (!weights && tile) pass->loads[NPU_WEIGHTS] = pass->loads[NPU_OTHERS] = 0;
}

npu_pass npu_pass_at(const npu_command *c, const uint8_t *mask, int64_t number) {
  int64_t tiles = npu_tiles(c), slices = npu_slices(c), parts = npu_chunks(c) * slices;
  int outer = c->flags & NPU_CHUNKS_OUTER;
  int64_t t = outer ? number % tiles : number / parts, k = outer ? number / tiles : number % parts;
  int64_t from = k / slices * c->chunk, channels = c->chunk < c->out.c - from ? c->chunk : c->out.c - from;
  npu_tile tile = npu_tile_at(c, (int32_t)t);
  npu_command part = npu_slice_at(c, (int32_t)(k % slices));
  int64_t pixels = (int64_t)(tile.to - tile.from) * c->out.w;
  npu_pass pass;
  memset(&pass, 0, sizeof pass);
  pass.turns = turns_of(c, pixels), pass.blocks = npu_ceil_div(pixels, NPU_PIXELS), pass.last = turns_of(c, (pixels - 1) % NPU_PIXELS + 1);
  if (k % slices == slices - 1) pass.outputs = pixels * channels * (c->flags & NPU_RESIDUAL && npu_has_second(c) ? 2 : 1);
  if (c->op == NPU_POOL) pass.work = npu_ceil_div(channels, NPU_ARRAY_CHANNELS);
  else weigh(c, &part, mask, from, channels, (int32_t)(k % slices), &pass);
  pass.loads[NPU_INPUT] = pass.frees[NPU_INPUT] = (int64_t)tile.count * c->in.w * (c->op == NPU_CONV ? part.in.c : channels);
  pass.frees[NPU_WEIGHTS] = pass.loads[NPU_WEIGHTS];
  keep(c, t, k, &pass);
  return pass;
}
