// Words of the product by digits for AVX-512 with VNNI: three digits of 8 bits (digits_bytes.h), two blocks in a vector.

typedef __m256i bytes32;
/// Lanes 0 to 7 are of one chain of blocks, the others of the other.
typedef __m512 digit_sums;
/// Weights of two blocks, one of each chain.
typedef __m512i byte_pair;
MT_INLINE byte_pair joined_pair(bytes32 first, bytes32 second) { return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1); }
#define MT_WIDE_PAIRS 1

MT_INLINE void place_taken(uint8_t *places, int less) {
  const __m512i one = _mm512_set1_epi8(1), none = _mm512_setzero_si512(), factor = _mm512_set1_epi32(less);
  __m512i *x = (__m512i *)places;
  __m512i upper = _mm512_dpbusd_epi32(none, one, _mm512_load_si512(x));
  upper = _mm512_dpbusd_epi32(_mm512_slli_epi32(upper, 8), one, _mm512_load_si512(x + 1));
  const __m512i lowest = _mm512_dpbusd_epi32(none, one, _mm512_load_si512(x + 2));
  if (less < 128) { upper = _mm512_add_epi32(_mm512_slli_epi32(upper, 8), lowest); }
  _mm512_store_si512(x + 3, _mm512_mullo_epi32(upper, factor));
  _mm512_store_si512(x + 4, _mm512_mullo_epi32(lowest, factor));
}
#include "digits_bytes.h"

MT_INLINE digit_sums no_sums(void) { return _mm512_setzero_ps(); }

/// The factors of eight blocks, one or two a block.
typedef __m512 run_scale;
MT_INLINE run_scale one_a_block(__m256 factors) { return _mm512_castps256_ps512(factors); }
MT_INLINE run_scale two_a_block(__m256 first, __m256 second) { return _mm512_insertf32x8(_mm512_castps256_ps512(first), second, 1); }

/// Vector v of a run.
MT_INLINE void add_pair(digit_sums *sums, byte_pair w, digit_type t, const uint8_t *places, const run_scale *scale, int v) {
  const __m512i *x = (const __m512i *)places;
  __m512i upper = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, _mm512_load_si512(x));
  upper = _mm512_dpbusd_epi32(_mm512_slli_epi32(upper, 8), w, _mm512_load_si512(x + 1));
  __m512 exact;
  if (t.less < 128) {
    __m512i all = _mm512_dpbusd_epi32(_mm512_slli_epi32(upper, 8), w, _mm512_load_si512(x + 2));
    if (t.less > 0) { all = _mm512_sub_epi32(all, _mm512_load_si512(x + 3)); }
    exact = _mm512_cvtepi32_ps(all);
  } else {
    const __m512i lowest = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, _mm512_load_si512(x + 2));
    const __m512 high = _mm512_cvtepi32_ps(_mm512_sub_epi32(upper, _mm512_load_si512(x + 3)));
    exact = v_fma(high, v_set(256), _mm512_cvtepi32_ps(_mm512_sub_epi32(lowest, _mm512_load_si512(x + 4))));
  }
  // Two factors a block: of its halves.
  const int n = t.factors - 1, first = (int)first_block((size_t)v, t.apart) * t.factors, second = first + t.apart * t.factors;
  const __m512i each = _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, n, n, n, n, 0, 0, 0, 0, n, n, n, n),
                                        _mm512_inserti64x4(_mm512_set1_epi32(first), _mm256_set1_epi32(second), 1));
  *sums = v_fma(exact, _mm512_permutexvar_ps(each, *scale), *sums);
}

MT_INLINE __m256 both(digit_sums sums) {
  return _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
}
