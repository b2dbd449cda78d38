/* POOL: maximum, mean and requantized sum over windows. */
#include <stddef.h>

#include "npu_arithmetic.h"
#include "npu_array.h"

/* Over the elements of a window inside the image; `sum` of x - z */
typedef struct {
  int32_t sum, largest, count;
} pooled;

static pooled pool_window(const npu_command *c, const int8_t *const *rows, int32_t x, int32_t channels, int32_t channel) {
  const npu_window *w = &c->window;
  pooled result = {0, INT8_MIN, 0};
  for (int32_t i = 0; i < w->kh; i++)
    for (int32_t j = 0; j < w->kw && rows[i]; j++) {
      int32_t column = x * w->sw - w->left + j;
      if (column < 0 || column >= c->in.w) continue;
      int32_t value = rows[i][column * channels + channel];
      result.sum += value - c->in.zero;
      if (value > result.largest) result.largest = value;
      result.count++;
    }
  return result;
}

static int8_t pool_value(npu_array *array, const npu_command *c, const pooled *p) {
  const npu_scaling *s = &c->scaling;
  if (c->mode == NPU_POOL_MAX) return npu_clamp(p->largest, s->low, s->high);
  if (c->mode == NPU_POOL_SUM) return npu_requantize(array, p->sum, s, 0);
  return npu_clamp((int64_t)npu_divide_half_away(p->sum, p->count ? p->count : 1) + c->in.zero, s->low, s->high);
}

static void pool_chunk(npu_array *array, const npu_command *c, const npu_tile *tile, int32_t from, int32_t channels) {
  const int8_t *rows[NPU_MAX_KERNEL];
  for (int32_t y = tile->from; y < tile->to; y++) {
    int8_t *out = npu_row(array, &c->out, y);
    if (!out) return;
    npu_window_rows(array, c, tile, y, rows);
    for (int32_t x = 0; x < c->out.w; x++)
      for (int32_t k = 0; k < channels; k++) {
        pooled p = pool_window(c, rows, x, channels, k);
        out[(size_t)x * c->out.pixel_pitch + (size_t)(from + k)] = pool_value(array, c, &p);
      }
  }
}

void npu_pool(npu_array *array, const npu_command *c) {
  for (int32_t t = 0; t < npu_tiles(c); t++) {
    npu_tile tile = npu_tile_at(c, t);
    for (int32_t from = 0; from < c->in.c; from += c->chunk) {
      int32_t channels = c->chunk < c->in.c - from ? c->chunk : c->in.c - from;
      if (!array->fault) npu_fill(array, c, &tile, from, channels);
      if (!array->fault) pool_chunk(array, c, &tile, from, channels);
    }
  }
}
