/* CONV. Chunks are computed in the order of groups whatever order the command gives: it decides what memory is read again, not results. */
#include "npu_convolution.h"

#include <string.h>

#include "nnc_npu.h"
#include "npu_passes.h"

/* Most groups of a chunk whose accumulators stay */
enum { MOST_GROUPS = NPU_ACCUMULATORS / NPU_CHANNELS };

typedef struct {
  int32_t bias;
  npu_scaling scaling;
} channel;

static channel channel_at(npu_array *array, const npu_command *c, int32_t index) {
  channel result = {0, c->scaling};
  const uint8_t *p = npu_reach(array, c->parameters + (uint64_t)index * NPU_PARAMETER_BYTES, NPU_PARAMETER_BYTES);
  if (!p) return result;
  uint32_t words[2] = {npu_word(p, 0), npu_word(p, 1)};
  memcpy(&result.bias, &words[0], 4);
  memcpy(&result.scaling.multiplier, &words[1], 4);
  result.scaling.shift = (p[8] ^ 128) - 128;
  if (result.scaling.multiplier < 0 || result.scaling.shift < -31 || result.scaling.shift > 30 || p[9]) {
    array->fault = NNC_NPU_PARAMETERS;
    result.scaling.multiplier = result.scaling.shift = 0;
  }
  return result;
}

void npu_finish(npu_array *array, const npu_command *c, const int32_t *acc, int32_t first, const int8_t *residual, int8_t *out) {
  for (int32_t o = first; o < first + npu_group_channels(c) && o < c->out.c; o++) {
    channel ch = channel_at(array, c, o);
    int8_t value = npu_requantize(array, (int64_t)ch.bias + acc[o - first], &ch.scaling, c->flags & NPU_SINGLE_ROUNDING);
    out[o] = c->flags & NPU_RESIDUAL ? npu_add(array, value, residual[o], &c->sum) : value;
  }
}

/* The input elements of one output pixel as the blocks take them, less the zero point: 0 outside the image */
static void gather(npu_array *array, const npu_command *c, const int8_t *const *rows, int32_t x) {
  const npu_window *w = &c->window;
  int64_t width = npu_row_steps(c) * NPU_DEPTH;
  int16_t *to = array->window, zero = (int16_t)c->in.zero;
  for (int32_t i = 0; i < w->kh; i++, to += width) {
    if (rows[i] && npu_packs(c)) {
      for (int64_t k = 0; k < width; k++) to[k] = (int16_t)(rows[i][x * width + k] - zero);
      continue;
    }
    for (int32_t j = 0; j < w->kw; j++) {
      int32_t column = x * w->sw - w->left + j * w->dw, inside = rows[i] && column >= 0 && column < c->in.w;
      for (int32_t k = 0; k < c->in.c; k++) to[j * c->in.c + k] = inside ? (int16_t)(rows[i][column * c->in.c + k] - zero) : 0;
    }
    for (int64_t k = (int64_t)w->kw * c->in.c; k < width; k++) to[k] = 0;
  }
}

static int32_t nibble(int8_t pair, int high) { return ((((uint8_t)pair >> (high ? 4 : 0)) & 15) ^ 8) - 8; }

/* 8 channels, two elements in a byte, the first of them in its low half */
static void multiply_nibbles(int32_t *acc, const int8_t *weights, const int16_t *x) {
  for (int o = 0; o < 2 * NPU_CHANNELS; o++)
    for (int e = 0; e < NPU_DEPTH; e += 2, weights++) acc[o] += nibble(*weights, 0) * x[e] + nibble(*weights, 1) * x[e + 1];
}

static void multiply_block(int32_t *acc, const int8_t *weights, const int16_t *x) {
  for (int o = 0; o < NPU_CHANNELS; o++)
    for (int e = 0; e < NPU_DEPTH; e++) acc[o] += weights[o * NPU_DEPTH + e] * x[e];
}

/* The blocks of a group that `mask` (NULL: all) keeps from bit `first` on; returns the next */
static const int8_t *multiply_group(const npu_array *array, const npu_command *c, const uint8_t *mask, int64_t first, const int8_t *weights, int32_t *acc) {
  int64_t blocks = npu_group_blocks(c);
  for (int64_t k = 0; k < blocks; k++) {
    if (mask && !(mask[(first + k) / 8] >> ((first + k) % 8) & 1)) continue;
    if (c->flags & NPU_INT4) multiply_nibbles(acc, weights, array->window + k * NPU_DEPTH);
    else multiply_block(acc, weights, array->window + k * NPU_DEPTH);
    weights += NPU_BLOCK;
  }
  return weights;
}

/* The blocks behind the mask are those that it keeps, no bit is set behind a group's last block, and every chunk's slices fit their buffer. */
static int masks_fit(const npu_command *c, const uint8_t *mask) {
  int64_t blocks = npu_group_blocks(c), bytes = npu_ceil_div(blocks, 8), kept = 0, chunk = 0;
  for (int32_t g = 0; g < npu_groups(c) && blocks % 8; g++)
    if (mask[(g + 1) * bytes - 1] >> (blocks % 8)) return 0;
  for (int32_t s = 0; s < npu_slices(c); s++)
    for (int32_t g = 0; g < npu_groups(c); g++) {
      int64_t here = npu_kept_blocks(c, mask, g, s);
      chunk = g % (c->chunk / npu_group_channels(c)) ? chunk + here : here;
      if (chunk * NPU_BLOCK > NPU_WEIGHT_BUFFER_BYTES) return 0;
      kept += here;
    }
  return kept * NPU_BLOCK + npu_mask_bytes(c) == c->weight_bytes;
}

static void convolve_row(npu_array *array, const npu_command *c, const int8_t *const *rows, const uint8_t *weights, int8_t *out, const int8_t *residual) {
  int64_t mask_bytes = npu_ceil_div(npu_group_blocks(c), 8);
  for (int32_t x = 0; x < c->out.w; x++) {
    const uint8_t *mask = c->flags & NPU_SPARSE ? weights : NULL;
    const int8_t *next = (const int8_t *)weights + npu_mask_bytes(c);
    gather(array, c, rows, x);
    for (int32_t o = 0; o < c->out.c; o += npu_group_channels(c)) {
      int32_t acc[NPU_MOST_CHANNELS] = {0};
      next = multiply_group(array, c, mask, 0, next, acc);
      if (mask) mask += mask_bytes;
      npu_finish(array, c, acc, o, residual + (size_t)x * c->second.pixel_pitch, out + (size_t)x * c->out.pixel_pitch);
    }
  }
}

int npu_output_row(npu_array *array, const npu_command *c, int32_t y, int8_t **out, const int8_t **residual) {
  *out = npu_row(array, &c->out, y);
  *residual = c->flags & NPU_RESIDUAL ? npu_row(array, &c->second, y) : *out;
  return !array->fault;
}

static void convolve_tile(npu_array *array, const npu_command *c, const npu_tile *tile, const uint8_t *weights) {
  const int8_t *rows[NPU_MAX_KERNEL], *residual;
  int8_t *out;
  npu_fill(array, c, tile, 0, c->in.c);
  for (int32_t y = tile->from; y < tile->to && !array->fault; y++) {
    npu_window_rows(array, c, tile, y, rows);
    if (npu_output_row(array, c, y, &out, &residual)) convolve_row(array, c, rows, weights, out, residual);
  }
}

/* Where the kept blocks of a slice of each group from `group` begin; how many groups there are in its chunk */
static int32_t find_slices(const npu_command *c, const uint8_t *weights, int32_t group, int32_t slice, const int8_t *starts[MOST_GROUPS]) {
  const int8_t *at = (const int8_t *)weights + npu_mask_bytes(c);
  int32_t last = npu_groups(c) - group < npu_chunk_groups(c) ? npu_groups(c) : group + npu_chunk_groups(c);
  for (int32_t g = 0; g < last; g++)
    for (int32_t s = 0; s < npu_slices(c); s++) {
      if (g >= group && s == slice) starts[g - group] = at;
      at += npu_kept_blocks(c, weights, g, s) * NPU_BLOCK;
    }
  return last - group;
}

/* Adds a slice of the chunk from `group` to the tile's accumulators, pixel by pixel. */
static void add_slice(npu_array *array, const npu_command *c, const npu_tile *tile, const uint8_t *weights, int32_t group, int32_t slice) {
  const int8_t *rows[NPU_MAX_KERNEL], *starts[MOST_GROUPS];
  npu_command part = npu_slice_at(c, slice);
  int32_t groups = find_slices(c, weights, group, slice, starts), *acc = array->accumulators;
  int64_t mask_bytes = npu_ceil_div(npu_group_blocks(c), 8);
  const uint8_t *mask = c->flags & NPU_SPARSE ? weights + group * mask_bytes : NULL;
  npu_fill(array, &part, tile, 0, part.in.c);
  for (int32_t y = tile->from; y < tile->to && !array->fault; y++) {
    npu_window_rows(array, &part, tile, y, rows);
    for (int32_t x = 0; x < c->out.w; x++) {
      gather(array, &part, rows, x);
      for (int32_t g = 0; g < groups; g++, acc += npu_group_channels(c))
        multiply_group(array, &part, mask ? mask + g * mask_bytes : NULL, slice * npu_slice_blocks(c), starts[g], acc);
    }
  }
}

static void finish_chunk(npu_array *array, const npu_command *c, const npu_tile *tile, int32_t group) {
  const int8_t *residual;
  int8_t *out;
  int32_t *acc = array->accumulators, width = npu_group_channels(c), first = group * width, last = first + npu_chunk_groups(c) * width;
  for (int32_t y = tile->from; y < tile->to && npu_output_row(array, c, y, &out, &residual); y++)
    for (int32_t x = 0; x < c->out.w; x++)
      for (int32_t o = first; o < last && o < c->out.c; o += width, acc += width)
        npu_finish(array, c, acc, o, residual + (size_t)x * c->second.pixel_pitch, out + (size_t)x * c->out.pixel_pitch);
}

static void convolve_slices(npu_array *array, const npu_command *c, const npu_tile *tile, const uint8_t *weights) {
  for (int32_t group = 0; group < npu_groups(c) && !array->fault; group += npu_chunk_groups(c)) {
    memset(array->accumulators, 0, sizeof array->accumulators);
    for (int32_t s = 0; s < npu_slices(c) && !array->fault; s++) add_slice(array, c, tile, weights, group, s);
    if (!array->fault) finish_chunk(array, c, tile, group);
  }
}

void npu_convolve(npu_array *array, const npu_command *c) {
  const uint8_t *weights = npu_reach(array, c->weights, c->weight_bytes);
  if (weights && c->flags & NPU_SPARSE && !masks_fit(c, weights)) array->fault = NNC_NPU_WEIGHTS;
  for (int32_t t = 0; t < npu_tiles(c) && !array->fault; t++) {
    npu_tile tile = npu_tile_at(c, t);
    if (c->slice) convolve_slices(array, c, &tile, weights);
    else convolve_tile(array, c, &tile, weights);
  }
}
