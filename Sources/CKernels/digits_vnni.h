// Words of the product by digits for AVX-512 with VNNI: three digits of 8 bits (digits_bytes.h), two blocks in a vector.

typedef __m256i bytes32;
/// Lanes 0 to 7 are of the blocks with even numbers, the others of those with odd ones.
typedef __m512 digit_sums;

/// Rows of a tile one after the other: 32 registers hold what they share.
#define MT_ROWS_UNROLLED 1

#include "digits_bytes.h"

MT_INLINE digit_sums no_sums(void) { return _mm512_setzero_ps(); }

MT_INLINE void add_pair(digit_sums *sums, bytes32 a, bytes32 b, int less, const uint8_t *places, const float *factors, int count) {
  const __m512i w = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1), *x = (const __m512i *)places;
  __m512i upper = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, _mm512_load_si512(x));
  upper = _mm512_dpbusd_epi32(_mm512_slli_epi32(upper, 8), w, _mm512_load_si512(x + 1));
  __m512 exact;
  if (less < 128) {
    __m512i all = _mm512_dpbusd_epi32(_mm512_slli_epi32(upper, 8), w, _mm512_load_si512(x + 2));
    if (less > 0) { all = _mm512_sub_epi32(all, _mm512_load_si512(x + 3)); }
    exact = _mm512_cvtepi32_ps(all);
  } else {
    const __m512i lowest = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, _mm512_load_si512(x + 2));
    const __m512 high = _mm512_cvtepi32_ps(_mm512_sub_epi32(upper, _mm512_load_si512(x + 3)));
    exact = v_fma(high, v_set(256), _mm512_cvtepi32_ps(_mm512_sub_epi32(lowest, _mm512_load_si512(x + 4))));
  }
  // Loads of what was just stored, and no wider: a wider one would wait until the store has reached the cache.
  const __m512 of_blocks =
      count == 1 ? _mm512_castpd_ps(_mm512_broadcastsd_pd(_mm_load_sd((const double *)factors))) : _mm512_broadcast_f32x4(_mm_loadu_ps(factors));
  const __m512i each = count == 1 ? _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
                                  : _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  *sums = v_fma(exact, _mm512_permutevar_ps(of_blocks, each), *sums);
}

MT_INLINE __m256 both(digit_sums sums) {
  return _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
}
