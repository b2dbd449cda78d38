/* Softmax in gemmlowp fixed point. A number with i integer bits is an int32 raw value times 2^(i - 31). */
#include "npu_arithmetic.h"

enum { INPUT_BITS = 5, SUM_BITS = 12, OUTPUT_BITS = 8, NEWTON_STEPS = 3 };

static int32_t add_saturated(int32_t a, int32_t b) { return npu_saturate((int64_t)a + b); }

/* exp(a) in Q0.31 for raw a <= 0 with 5 integer bits: a Taylor polynomial on [-1/4, 0) times exp of powers of two */
static int32_t exp_on_negative_values(int32_t a) {
  static const int32_t exp_of_minus_power[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242}; /* of 2^-2 ... 2^4 */
  const int32_t exp_minus_eighth = 1895147668, third = 715827883, quarter = (int32_t)1 << (31 - INPUT_BITS - 2);
  if (a == 0) return INT32_MAX;
  int32_t within = (int32_t)((uint32_t)a & (uint32_t)(quarter - 1)) - quarter;
  int32_t x = within * (1 << INPUT_BITS) + (1 << 28); /* centred: exp(within) = exp(-1/8) * exp(x) */
  int32_t x2 = npu_high_multiply(x, x), x3 = npu_high_multiply(x2, x), x4 = npu_high_multiply(x2, x2);
  int32_t tail = npu_rounding_shift(npu_high_multiply(npu_rounding_shift(x4, 2) + x3, third) + x2, 1);
  int32_t result = add_saturated(exp_minus_eighth, npu_high_multiply(x + tail, exp_minus_eighth));
  uint32_t remainder = (uint32_t)within - (uint32_t)a;
  for (int e = 0; e < 7; e++)
    if (remainder & ((uint32_t)quarter << e)) result = npu_high_multiply(result, exp_of_minus_power[e]);
  return result;
}

/* 1 / (1 + a) in Q0.31 for a in [0, 1), Q0.31: Newton's iteration on half the denominator */
static int32_t one_over_one_plus(int32_t a) {
  const int32_t n48_17 = 1515870810, n32_17 = -1010580540; /* Q2.29 */
  int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
  int32_t x = n48_17 + npu_high_multiply(half, n32_17);
  for (int i = 0; i < NEWTON_STEPS; i++) {
    int32_t error = (1 << 29) - npu_high_multiply(half, x);
    x = add_saturated(x, npu_saturate((int64_t)npu_high_multiply(x, error) * 4));
  }
  return npu_saturate((int64_t)x * 2);
}

static unsigned leading_zeros(uint32_t value) {
  unsigned count = 0;
  while (!(value & 0x80000000u)) value <<= 1, count++;
  return count;
}

void npu_softmax_row(const int8_t *x, int8_t *y, int32_t count, int32_t multiplier, int shift, int32_t diff_min) {
  int32_t largest = INT8_MIN, sum = 0;
  for (int32_t i = 0; i < count; i++) largest = x[i] > largest ? x[i] : largest;
  int32_t exponentials[256]; /* of every difference there can be */
  for (int32_t d = 0; d < 256; d++)
    exponentials[d] = exp_on_negative_values(npu_high_multiply(npu_saturate(-(int64_t)(-d < diff_min ? 0 : d) * ((int64_t)1 << shift)), multiplier));
  for (int32_t i = 0; i < count; i++)
    if (x[i] - largest >= diff_min) sum = add_saturated(sum, npu_rounding_shift(exponentials[largest - x[i]], SUM_BITS));
  unsigned leading = leading_zeros((uint32_t)sum);
  int32_t scale = one_over_one_plus((int32_t)(((uint32_t)sum << leading) - 0x80000000u));
  unsigned exponent = SUM_BITS - leading + 31 - OUTPUT_BITS;
  for (int32_t i = 0; i < count; i++) {
    int32_t value = npu_rounding_shift(npu_high_multiply(exponentials[largest - x[i]], scale), exponent > 31 ? 31 : exponent) - 128;
    y[i] = x[i] - largest >= diff_min ? npu_clamp(value, -128, 127) : INT8_MIN;
  }
}
