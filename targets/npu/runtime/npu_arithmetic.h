/* The integers of the array and its epilogue: what nnc_tvm.reference computes in NumPy, one function per rounding step.
 * Sources: gemmlowp's fixedpoint.h and LiteRT's kernels/internal/common.h. Right shifts of negative integers are never used:
 * C leaves their meaning to the compiler. */
#ifndef NPU_ARITHMETIC_H
#define NPU_ARITHMETIC_H

#include <stdint.h>

/* floor(value / 2^exponent), exponent in [0, 62] */
static inline int64_t npu_floor_shift(int64_t value, unsigned exponent) {
  return value >= 0 ? (int64_t)((uint64_t)value >> exponent) : -1 - (int64_t)((uint64_t)(-1 - value) >> exponent);
}

static inline int32_t npu_saturate(int64_t value) {
  return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

/* SaturatingRoundingDoublingHighMul: round(a * b / 2^31), halves up */
static inline int32_t npu_high_multiply(int32_t a, int32_t b) {
  return npu_saturate(npu_floor_shift((int64_t)a * b + ((int64_t)1 << 30), 31));
}

/* RoundingDivideByPOT: value / 2^exponent, halves away from zero; exponent in [0, 31] */
static inline int32_t npu_rounding_shift(int32_t value, unsigned exponent) {
  int64_t half = ((int64_t)1 << exponent) >> 1, wide = value;
  return (int32_t)(wide < 0 ? -((half - wide) >> exponent) : (wide + half) >> exponent);
}

/* value / count, halves away from zero; count > 0 */
static inline int32_t npu_divide_half_away(int64_t value, int32_t count) {
  int64_t half = count / 2;
  return (int32_t)(value < 0 ? -((half - value) / count) : (value + half) / count);
}

static inline int8_t npu_clamp(int64_t value, int32_t low, int32_t high) {
  return (int8_t)(value < low ? low : value > high ? high : value);
}

/* acc * multiplier * 2^(shift - 31); multiplier in [0, 2^31), shift in [-31, 30], rounded at the multiply and at the shift, or
 * once (halves away from zero). A left shift that leaves int32 saturates. */
static inline int32_t npu_multiply(int32_t acc, int32_t multiplier, int shift, int once) {
  if (once) {
    int64_t product = (int64_t)acc * multiplier;
    unsigned total = (unsigned)(31 - shift);
    return npu_saturate(npu_floor_shift(product + ((int64_t)1 << (total - 1)) - (product < 0), total));
  }
  int64_t shifted = shift > 0 ? (int64_t)acc * ((int64_t)1 << shift) : acc;
  return npu_rounding_shift(npu_high_multiply(npu_saturate(shifted), multiplier), (unsigned)(shift < 0 ? -shift : 0));
}

/* One row of LiteRT's int8 SOFTMAX in gemmlowp fixed point: output scale 1/256, zero point -128.
 * multiplier, shift: the input's scale as Q5.26; differences from the maximum below diff_min (<= 0) give -128. */
void npu_softmax_row(const int8_t *x, int8_t *y, int32_t count, int32_t multiplier, int shift, int32_t diff_min);

#endif
