/* DWCONV, a chunk of channels after the other. */
#include "npu_convolution.h"

#include <stddef.h>

/* One group of 4 channels from `first` of one pixel; rows of `channels` channels from `from` */
static void depthwise_group(const npu_command *c, const int8_t *const *rows, int32_t x, int32_t from, int32_t channels, int32_t first, const int8_t *weights,
                            int32_t acc[NPU_CHANNELS]) {
  const npu_window *w = &c->window;
  int32_t lanes = from + channels - first < NPU_CHANNELS ? from + channels - first : NPU_CHANNELS;
  for (int32_t i = 0; i < w->kh; i++)
    for (int32_t j = 0; j < w->kw && rows[i]; j++) {
      int32_t column = x * w->sw - w->left + j * w->dw;
      if (column < 0 || column >= c->in.w) continue;
      const int8_t *pixel = rows[i] + column * channels + (first - from), *tap = weights + (i * w->kw + j) * NPU_CHANNELS;
      for (int32_t l = 0; l < lanes; l++) acc[l] += (pixel[l] - c->in.zero) * tap[l];
    }
}

static void depthwise_chunk(npu_array *array, const npu_command *c, const npu_tile *tile, int32_t from, int32_t channels, const int8_t *weights) {
  const int8_t *rows[NPU_MAX_KERNEL], *residual;
  int8_t *out;
  for (int32_t y = tile->from; y < tile->to; y++) {
    npu_window_rows(array, c, tile, y, rows);
    if (!npu_output_row(array, c, y, &out, &residual)) return;
    for (int32_t x = 0; x < c->out.w; x++)
      for (int32_t o = from; o < from + channels; o += NPU_CHANNELS) {
        int32_t acc[NPU_CHANNELS] = {0};
        depthwise_group(c, rows, x, from, channels, o, weights + o / NPU_CHANNELS * npu_group_bytes(c), acc);
        npu_finish(array, c, acc, o, residual + (size_t)x * c->second.pixel_pitch, out + (size_t)x * c->out.pixel_pitch);
      }
  }
}

void npu_convolve_depthwise(npu_array *array, const npu_command *c) {
  const int8_t *weights = (const int8_t *)npu_reach(array, c->weights, c->weight_bytes);
  for (int32_t t = 0; t < npu_tiles(c); t++) {
    npu_tile tile = npu_tile_at(c, t);
    for (int32_t from = 0; from < c->in.c; from += c->chunk) {
      int32_t channels = c->chunk < c->in.c - from ? c->chunk : c->in.c - from;
      if (!array->fault) npu_fill(array, c, &tile, from, channels);
      if (!array->fault) depthwise_chunk(array, c, &tile, from, channels, weights);
    }
  }
}
