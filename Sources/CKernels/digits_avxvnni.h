// Words of the product by digits for AVX-VNNI, processors without AVX-512: three digits of 8 bits (digits_bytes.h), a block in a vector.

typedef __m256i bytes32;

MT_INLINE void place_taken(uint8_t *places, int less) {
  const __m256i one = _mm256_set1_epi8(1), none = _mm256_setzero_si256(), factor = _mm256_set1_epi32(less);
  __m256i *x = (__m256i *)places;
  for (int block = 0; block < 2; block++, x++) {
    __m256i upper = _mm256_dpbusd_avx_epi32(none, one, _mm256_load_si256(x));
    upper = _mm256_dpbusd_avx_epi32(_mm256_slli_epi32(upper, 8), one, _mm256_load_si256(x + 2));
    const __m256i lowest = _mm256_dpbusd_avx_epi32(none, one, _mm256_load_si256(x + 4));
    if (less < 128) { upper = _mm256_add_epi32(_mm256_slli_epi32(upper, 8), lowest); }
    _mm256_store_si256(x + 6, _mm256_mullo_epi32(upper, factor));
    _mm256_store_si256(x + 8, _mm256_mullo_epi32(lowest, factor));
  }
}
#include "digits_bytes.h"

/// 64 digits of either kind: those of the second block lie behind those of the first.
enum { second_block = 32 };

/// Eight sums of four products, rounded once.
MT_INLINE vf block_sums(bytes32 w, int less, const uint8_t *places) {
  const __m256i *x = (const __m256i *)places;
  __m256i upper = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), w, _mm256_load_si256(x));
  upper = _mm256_dpbusd_avx_epi32(_mm256_slli_epi32(upper, 8), w, _mm256_load_si256(x + 2));
  if (less < 128) {
    __m256i all = _mm256_dpbusd_avx_epi32(_mm256_slli_epi32(upper, 8), w, _mm256_load_si256(x + 4));
    if (less > 0) { all = _mm256_sub_epi32(all, _mm256_load_si256(x + 6)); }
    return _mm256_cvtepi32_ps(all);
  }
  const __m256i lowest = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), w, _mm256_load_si256(x + 4));
  const vf high = _mm256_cvtepi32_ps(_mm256_sub_epi32(upper, _mm256_load_si256(x + 6)));
  return v_fma(high, v_set(256), _mm256_cvtepi32_ps(_mm256_sub_epi32(lowest, _mm256_load_si256(x + 8))));
}

#include "digits_pairs.h"
