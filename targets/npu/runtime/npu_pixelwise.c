/* ADD, MUL, LUT and SOFTMAX: pixel by pixel. */
#include <stddef.h>

#include "npu_arithmetic.h"
#include "npu_array.h"
#include "npu_geometry.h"

static void pixel(npu_array *array, const npu_command *c, const int8_t *a, const int8_t *b, const int8_t *table, int8_t *out) {
  if (c->op == NPU_SOFTMAX) {
    npu_softmax_row(a, out, c->in.c, c->scaling.multiplier, c->scaling.shift, c->diff_min);
    return;
  }
  for (int32_t k = 0; k < c->in.c; k++) {
    if (c->op == NPU_ADD) out[k] = npu_add(array, a[k], b[k], &c->sum);
    else if (c->op == NPU_MUL) out[k] = npu_requantize(array, (a[k] - c->in.zero) * (b[k] - c->second.zero), &c->scaling, c->flags & NPU_SINGLE_ROUNDING);
    else out[k] = table[a[k] + 128];
  }
}

void npu_pixelwise(npu_array *array, const npu_command *c) {
  const int8_t *table = c->op == NPU_LUT ? (const int8_t *)npu_reach(array, c->table, NPU_TABLE_BYTES) : NULL;
  for (int32_t y = 0; y < c->out.h; y++) {
    const int8_t *a = npu_row(array, &c->in, y), *b = npu_has_second(c) ? npu_row(array, &c->second, npu_second_spreads(c) ? 0 : y) : a;
    int8_t *out = npu_row(array, &c->out, y);
    if (array->fault) return;
    for (int32_t x = 0; x < c->out.w; x++)
      pixel(array, c, a + (size_t)x * c->in.pixel_pitch, b + (npu_second_spreads(c) ? 0 : (size_t)x * c->second.pixel_pitch), table, out + (size_t)x * c->out.pixel_pitch);
  }
}
