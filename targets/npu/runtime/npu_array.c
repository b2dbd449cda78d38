/* What all jobs share: reaching SRAM, filling the input buffer, epilogues. */
#include "npu_array.h"

#include <stddef.h>
#include <string.h>

#include "nnc_npu.h"
#include "npu_arithmetic.h"

uint8_t *npu_reach(npu_array *array, uint64_t address, uint64_t bytes) {
  if (address <= array->sram_bytes && bytes <= array->sram_bytes - address) return array->sram + address;
  array->fault = NNC_NPU_BOUNDS;
  return NULL;
}

int8_t *npu_row(npu_array *array, const npu_image *i, int32_t y) {
  int32_t row = i->wrap ? (i->first + y) % i->wrap : y;
  return (int8_t *)npu_reach(array, i->base + (uint64_t)row * i->row_pitch, (uint64_t)(i->w - 1) * i->pixel_pitch + (uint64_t)i->c);
}

/* One kernel row's elements for each output pixel, side by side; the zero point outside the image */
static void pack_row(const npu_command *c, const int8_t *row, int8_t *to) {
  int64_t width = npu_row_steps(c) * NPU_DEPTH;
  memset(to, c->in.zero, (size_t)(c->out.w * width));
  for (int32_t x = 0; x < c->out.w; x++, to += width)
    for (int32_t j = 0; j < c->window.kw; j++) {
      int32_t column = x * c->window.sw - c->window.left + j * c->window.dw;
      if (column >= 0 && column < c->in.w) memcpy(to + (size_t)j * (size_t)c->in.c, row + (size_t)column * c->in.pixel_pitch, (size_t)c->in.c);
    }
}

static void copy_row(const npu_command *c, const int8_t *row, int32_t from, int32_t channels, int8_t *to) {
  for (int32_t x = 0; x < c->in.w; x++) memcpy(to + (size_t)x * (size_t)channels, row + (size_t)x * c->in.pixel_pitch + from, (size_t)channels);
}

void npu_fill(npu_array *array, const npu_command *c, const npu_tile *tile, int32_t from, int32_t channels) {
  int64_t bytes = npu_buffer_row(c);
  int32_t slot = 0;
  for (int32_t y = tile->from; y < tile->to; y++) {
    npu_kernel_rows rows = npu_kernel_rows_at(c, tile->from, y);
    array->starts[y - tile->from] = slot - rows.fresh;
    for (int32_t i = rows.fresh; i <= rows.high; i++, slot++) {
      const int8_t *row = npu_row(array, &c->in, y * c->window.sh - c->window.top + i * c->window.dh);
      if ((slot + 1) * bytes > NPU_INPUT_BUFFER_BYTES) array->fault = NNC_NPU_BUFFER;
      if (array->fault) return;
      if (npu_packs(c)) pack_row(c, row, array->input + slot * bytes);
      else copy_row(c, row, from, channels, array->input + slot * bytes);
    }
  }
}

void npu_window_rows(const npu_array *array, const npu_command *c, const npu_tile *tile, int32_t y, const int8_t *rows[NPU_MAX_KERNEL]) {
  npu_kernel_rows inside = npu_kernel_rows_at(c, tile->from, y);
  int32_t outputs, taps;
  npu_repetition(c, &outputs, &taps);
  for (int32_t i = 0; i < c->window.kh; i++) {
    int32_t from = y - tile->from, tap = i; /* of the window that first touched this row */
    while (from >= outputs && tap + taps < c->window.kh) from -= outputs, tap += taps;
    rows[i] = i < inside.low || i > inside.high ? NULL : array->input + (array->starts[from] + tap) * npu_buffer_row(c);
  }
}

int8_t npu_requantize(npu_array *array, int64_t acc, const npu_scaling *s, int once) {
  int64_t shifted = once || s->shift < 0 ? acc : acc * ((int64_t)1 << s->shift);
  if (acc != npu_saturate(acc) || shifted != npu_saturate(shifted)) array->fault = NNC_NPU_OVERFLOW;
  return npu_clamp((int64_t)npu_multiply(npu_saturate(acc), s->multiplier, s->shift, once) + s->zero, s->low, s->high);
}

int8_t npu_add(npu_array *array, int32_t a, int32_t b, const npu_sum *s) {
  int32_t values[2] = {a, b};
  int64_t total = 0;
  for (int i = 0; i < 2; i++) {
    int32_t factor = s->factor[i], scaled = npu_multiply((values[i] - s->zero[i]) * (1 << s->left), factor < 0 ? -factor : factor, s->shift[i], 0);
    total += factor < 0 ? -(int64_t)scaled : scaled;
  }
  return npu_requantize(array, total, &s->result, 0);
}
