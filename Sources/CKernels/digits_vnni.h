// Words of the product by digits for AVX-512 with VNNI: whole numbers in three signed digits of 8 bits, multiplied by unsigned weights of 8
// bits. What the weights are too large by is taken away from each sum of four, which is then exact again.

typedef __m256i bytes32;
/// Lanes 0 to 7 are of the blocks with even numbers, the others of those with odd ones.
typedef __m512 digit_sums;

#define MT_SIGNED_BYTES 0
/// [highest digits, middle ones, lowest ones: 64 of 8 bits each; what is taken from the sums: 16 of 32 bits, twice]
enum { places_bytes = 320 };

MT_INLINE void place_digits(uint8_t *places, const int32_t *q, int less) {
  int8_t *digits = (int8_t *)places;
  int32_t *taken = (int32_t *)(places + 192);
  for (int i = 0; i < 16; i++) {
    int32_t upper = 0, lowest = 0;
    for (int j = 4 * i; j < 4 * i + 4; j++) {
      const int8_t low = (int8_t)(q[j] & 255);
      const int32_t rest = (q[j] - low) >> 8;
      const int8_t middle = (int8_t)(rest & 255);
      digits[j] = (int8_t)((rest - middle) >> 8);
      digits[64 + j] = middle;
      digits[128 + j] = low;
      upper += rest;
      lowest += low;
    }
    // Sums of weights of 8 bits have more than 32; their upper part is taken apart from the lowest digit's.
    taken[i] = less * (less < 128 ? (int32_t)((uint32_t)upper << 8) + lowest : upper);
    taken[16 + i] = less * lowest;
  }
}

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
  const __m512i each = count == 1 ? _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
                                  : _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m128 of_pair = count == 1 ? _mm_castpd_ps(_mm_load_sd((const double *)factors)) : _mm_loadu_ps(factors);
  *sums = v_fma(exact, _mm512_permutexvar_ps(each, _mm512_castps128_ps512(of_pair)), *sums);
}

MT_INLINE __m256 both(digit_sums sums) {
  return _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
}
