/* What this machine's multipliers do at most: loops of nothing but products, on registers. Prints JSON: instruction -> GMAC/s.
   gcc -O2 -march=native multiply_loops.c */
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

enum { TURNS = 4000000, ROUNDS = 9, COUNT = 12 };
#define ACCUMULATORS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Defines NAME_rate, the most GMAC/s of ROUNDS loops over COUNT accumulators. The empty asm makes every operand one that the compiler does not know. */
#define LOOP(NAME, VECTOR, ZERO, TURN)                                                                \
  static double NAME##_rate(int macs) {                                                               \
    double best = 0;                                                                                  \
    for (int round = 0; round < ROUNDS; round++) {                                                    \
      VECTOR a = ZERO, b = ZERO;                                                                      \
      VECTOR acc0 = a, acc1 = a, acc2 = a, acc3 = a, acc4 = a, acc5 = a, acc6 = a, acc7 = a, acc8 = a, acc9 = a, acc10 = a, acc11 = a; \
      double start = now();                                                                           \
      for (int turn = 0; turn < TURNS; turn++) { ACCUMULATORS(TURN) }                                 \
      double rate = (double)TURNS * COUNT * macs / (now() - start);                                   \
      if (rate > best) best = rate;                                                                   \
    }                                                                                                 \
    return best;                                                                                      \
  }

#define UNKNOWN(i) __asm__ volatile("" : "+v"(a), "+v"(b), "+v"(acc##i));
#define PMADDWD(i) acc##i = _mm256_add_epi32(acc##i, _mm256_madd_epi16(a, b)); UNKNOWN(i)
#define FMA(i) acc##i = _mm256_fmadd_ps(a, b, acc##i); UNKNOWN(i)
LOOP(pmaddwd, __m256i, _mm256_setzero_si256(), PMADDWD)
LOOP(fma, __m256, _mm256_setzero_ps(), FMA)
#ifdef __AVX512VNNI__
#define VPDPBUSD(i) acc##i = _mm512_dpbusd_epi32(acc##i, a, b); UNKNOWN(i)
#define VPDPWSSD(i) acc##i = _mm512_dpwssd_epi32(acc##i, a, b); UNKNOWN(i)
LOOP(vpdpbusd, __m512i, _mm512_setzero_si512(), VPDPBUSD)
LOOP(vpdpwssd, __m512i, _mm512_setzero_si512(), VPDPWSSD)
#endif

int main(void) {
  printf("{\"pmaddwd\": %.1f, \"fma\": %.1f", pmaddwd_rate(16), fma_rate(8));
#ifdef __AVX512VNNI__
  printf(", \"vpdpbusd\": %.1f, \"vpdpwssd\": %.1f", vpdpbusd_rate(64), vpdpwssd_rate(32));
#endif
  printf("}\n");
  return 0;
}
