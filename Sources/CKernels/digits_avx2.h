// Words of the product by digits for AVX2: whole numbers in two digits of 12 bits, multiplied by weights of 16 bits.

typedef __m256i bytes32;
/// Weights are signed here: there is an instruction for 16 bits whatever their sign.
#define MT_SIGNED_BYTES 1
/// [block: high digits of even elements, of odd ones, low digits of even elements, of odd ones: 16 of 16 bits each]
enum { places_bytes = 256, second_block = 128 };

MT_INLINE void place_digits(uint8_t *places, const int32_t *a, const int32_t *b, int less) {
  (void)less;
  int16_t *at = (int16_t *)places;
  for (int block = 0; block < 2; block++, at += 64) {
    const int32_t *q = block == 0 ? a : b;
    for (int i = 0; i < 16; i++) {
      const int32_t even = (q[2 * i] + 2048) >> 12, odd = (q[2 * i + 1] + 2048) >> 12;
      at[i] = (int16_t)even;
      at[16 + i] = (int16_t)odd;
      at[32 + i] = (int16_t)(q[2 * i] - even * 4096);
      at[48 + i] = (int16_t)(q[2 * i + 1] - odd * 4096);
    }
  }
}

/// Eight sums of four products, rounded once. Weights of which nothing was taken are not negative.
MT_INLINE vf block_sums(bytes32 w, int less, const uint8_t *places) {
  const __m256i *x = (const __m256i *)places;
  __m256i even, odd;
  if (less > 0) {
    even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
    odd = _mm256_srai_epi16(w, 8);
  } else {
    even = _mm256_and_si256(w, _mm256_set1_epi16(255));
    odd = _mm256_srli_epi16(w, 8);
  }
  const __m256i high = _mm256_add_epi32(_mm256_madd_epi16(even, _mm256_load_si256(x)), _mm256_madd_epi16(odd, _mm256_load_si256(x + 1)));
  const __m256i low =
      _mm256_add_epi32(_mm256_madd_epi16(even, _mm256_load_si256(x + 2)), _mm256_madd_epi16(odd, _mm256_load_si256(x + 3)));
  return v_fma(_mm256_cvtepi32_ps(high), v_set(4096), _mm256_cvtepi32_ps(low));
}

#include "digits_pairs.h"
