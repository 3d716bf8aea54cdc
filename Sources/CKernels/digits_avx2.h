// Words of the product by digits for AVX2: whole numbers in two digits of 12 bits, multiplied by weights of 16 bits.

typedef __m256i bytes32;
typedef struct digit_sums {
  vf even, odd;  // of the blocks with even and with odd numbers
} digit_sums;

/// Weights are signed here: there is an instruction for 16 bits whatever their sign.
#define MT_SIGNED_BYTES 1
/// [block: high digits of even elements, of odd ones, low digits of even elements, of odd ones: 16 of 16 bits each]
enum { places_bytes = 256 };

MT_INLINE void place_digits(uint8_t *places, const int32_t *q, int less) {
  (void)less;
  int16_t *at = (int16_t *)places;
  for (int block = 0; block < 2; block++, at += 64, q += 32) {
    for (int i = 0; i < 16; i++) {
      const int32_t even = (q[2 * i] + 2048) >> 12, odd = (q[2 * i + 1] + 2048) >> 12;
      at[i] = (int16_t)even;
      at[16 + i] = (int16_t)odd;
      at[32 + i] = (int16_t)(q[2 * i] - (even << 12));
      at[48 + i] = (int16_t)(q[2 * i + 1] - (odd << 12));
    }
  }
}

MT_INLINE digit_sums no_sums(void) { return (digit_sums){_mm256_setzero_ps(), _mm256_setzero_ps()}; }

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

MT_INLINE vf block_factors(const float *factors, int count) {
  return count == 1 ? _mm256_broadcast_ss(factors) : _mm256_set_m128(_mm_broadcast_ss(factors + 1), _mm_broadcast_ss(factors));
}

MT_INLINE void add_pair(digit_sums *sums, bytes32 a, bytes32 b, int less, const uint8_t *places, const float *factors, int count) {
  sums->even = v_fma(block_sums(a, less, places), block_factors(factors, count), sums->even);
  sums->odd = v_fma(block_sums(b, less, places + places_bytes / 2), block_factors(factors + count, count), sums->odd);
}

MT_INLINE __m256 both(digit_sums sums) { return _mm256_add_ps(sums.even, sums.odd); }
