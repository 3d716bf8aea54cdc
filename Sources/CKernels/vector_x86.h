// Words that every x86 form has alike, whatever the width of its vectors of floats.

#define MT_HAS_HALF 1
static inline float float_from_half(uint16_t half) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))); }

#define MT_HAS_LOOKUP 1
/// The entries of a table for the low and the high halves of 16 bytes.
MT_INLINE void lookup_halves(int8_t *low, int8_t *high, const uint8_t *bytes, const int8_t *table) {
  const __m128i entries = _mm_loadu_si128((const __m128i *)table), halves = _mm_loadu_si128((const __m128i *)bytes);
  const __m128i mask = _mm_set1_epi8(15);
  _mm_storeu_si128((__m128i *)low, _mm_shuffle_epi8(entries, _mm_and_si128(halves, mask)));
  _mm_storeu_si128((__m128i *)high, _mm_shuffle_epi8(entries, _mm_and_si128(_mm_srli_epi16(halves, 4), mask)));
}

/// What `v_sums` makes of one vector, for as many outputs as a vector has lanes: lane l of output r is sums[l * stride + r]. Halves are
/// added first.
MT_INLINE vf v_fold_lanes(const float *sums, size_t stride) {
  vf a[lanes];
  for (size_t l = 0; l < lanes; l++) { a[l] = v_load(sums + l * stride); }
  for (size_t width = lanes / 2; width > 0; width /= 2) {
    for (size_t l = 0; l < width; l++) { a[l] = v_add(a[l], a[l + width]); }
  }
  return a[0];
}

/// The n-th lane, where two neighbours in this order are what is added first, two such sums then, and so on: its bits in turn.
MT_INLINE size_t fold_order(size_t n) {
  size_t lane = 0;
  for (size_t bit = 1, turned = lanes / 2; turned > 0; bit *= 2, turned /= 2) { lane |= n & bit ? turned : 0; }
  return lane;
}
