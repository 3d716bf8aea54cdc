// Vectors of 8 floats: the words in which the bodies are written, for AVX2 with FMA and F16C.
#include <immintrin.h>

typedef __m256 vf;
enum { lanes = 8, tile_tokens = 3, decode_rows = 8 };

#define MT_INLINE static inline __attribute__((always_inline, unused))

MT_INLINE __m256i first(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
MT_INLINE vf v_set(float value) { return _mm256_set1_ps(value); }
MT_INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
MT_INLINE vf v_load_n(const float *p, size_t n, float rest) {
  return _mm256_blendv_ps(v_set(rest), _mm256_maskload_ps(p, first(n)), _mm256_castsi256_ps(first(n)));
}
MT_INLINE void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
MT_INLINE void v_store_n(float *p, vf a, size_t n) { _mm256_maskstore_ps(p, first(n), a); }
MT_INLINE vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
MT_INLINE vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
MT_INLINE vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
MT_INLINE vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
MT_INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
MT_INLINE vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
/// The larger; a NaN in `a` loses.
MT_INLINE vf v_max_number(vf a, vf b) { return _mm256_max_ps(a, b); }
/// NaN stays NaN.
MT_INLINE vf v_clamp(vf a, float low, float high) { return _mm256_min_ps(v_set(high), _mm256_max_ps(v_set(low), a)); }
MT_INLINE vf v_abs(vf a) { return _mm256_andnot_ps(v_set(-0.0f), a); }
/// The magnitude of a with the sign of b.
MT_INLINE vf v_copysign(vf a, vf b) { return _mm256_or_ps(v_abs(a), _mm256_and_ps(b, v_set(-0.0f))); }
/// a < b ? then : otherwise
MT_INLINE vf v_if_less(vf a, vf b, vf then, vf otherwise) {
  return _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
MT_INLINE vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
MT_INLINE vf v_power_of_two(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
/// a * 2^n for whole n in -160...160: two steps, so that neither factor leaves the range of f32.
MT_INLINE vf v_scale_by_power(vf a, vf n) {
  __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  return v_mul(v_mul(a, v_power_of_two(half)), v_power_of_two(_mm256_sub_epi32(whole, half)));
}

MT_INLINE vf v_from_bf16(__m128i halves) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
MT_INLINE __m128i v_halves_n(const void *p, size_t n) {
  uint16_t halves[8] = {0};
  memcpy(halves, p, 2 * n);
  return _mm_loadu_si128((const __m128i *)halves);
}
MT_INLINE vf v_load_bf16(const void *p) { return v_from_bf16(_mm_loadu_si128(p)); }
MT_INLINE vf v_load_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
MT_INLINE vf v_load_bf16_n(const void *p, size_t n) { return v_from_bf16(v_halves_n(p, n)); }
MT_INLINE vf v_load_f16_n(const void *p, size_t n) { return _mm256_cvtph_ps(v_halves_n(p, n)); }

/// Element k of vector r becomes element r of vector k.
MT_INLINE void v_turn(vf *m) {
  vf twos[8];
#pragma clang loop unroll(full)
  for (int r = 0; r < 8; r += 4) {
    const vf a = _mm256_unpacklo_ps(m[r], m[r + 1]), b = _mm256_unpackhi_ps(m[r], m[r + 1]);
    const vf c = _mm256_unpacklo_ps(m[r + 2], m[r + 3]), d = _mm256_unpackhi_ps(m[r + 2], m[r + 3]);
    twos[r] = _mm256_shuffle_ps(a, c, 0x44);
    twos[r + 1] = _mm256_shuffle_ps(a, c, 0xee);
    twos[r + 2] = _mm256_shuffle_ps(b, d, 0x44);
    twos[r + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    m[k] = _mm256_permute2f128_ps(twos[k], twos[k + 4], 0x20);
    m[k + 4] = _mm256_permute2f128_ps(twos[k], twos[k + 4], 0x31);
  }
}

/// Bytes of rows: 128 bits at a time, the first halves of two in turn, and the second ones.
typedef __m256i vb;
MT_INLINE vb vb_load(const int8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
MT_INLINE void vb_store(int8_t *p, vb a) { _mm256_storeu_si256((__m256i *)p, a); }
MT_INLINE vb vb_low(vb a, vb b) { return _mm256_unpacklo_epi8(a, b); }
MT_INLINE vb vb_high(vb a, vb b) { return _mm256_unpackhi_epi8(a, b); }
MT_INLINE vf v_from_bytes(const int8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))); }

/// Four vectors into one of partial pairs: low lane of a and c, high lane of b and d (folds 8 -> 4 -> 2).
MT_INLINE vf v_fold_four(const vf *a) {
  vf ab = v_add(_mm256_permute2f128_ps(a[0], a[1], 0x20), _mm256_permute2f128_ps(a[0], a[1], 0x31));
  vf cd = v_add(_mm256_permute2f128_ps(a[2], a[3], 0x20), _mm256_permute2f128_ps(a[2], a[3], 0x31));
  __m256d x = _mm256_castps_pd(ab), y = _mm256_castps_pd(cd);
  return v_add(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)), _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
}
/// Sums of 4 or 8 vectors.
MT_INLINE void v_sums_of_eight(const vf *a, const int count, float *out) {
  vf low = v_fold_four(a), high = count > 4 ? v_fold_four(a + 4) : low;
  vf sums = v_add(_mm256_shuffle_ps(low, high, 0x88), _mm256_shuffle_ps(low, high, 0xdd));
  // Low lane a c a' c', high lane b d b' d'.
  sums = _mm256_permutevar8x32_ps(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  if (count > 4) {
    v_store(out, sums);
  } else {
    _mm_storeu_ps(out, _mm256_castps256_ps128(sums));
  }
}
/// Sums of 4, 8 or 16 vectors.
MT_INLINE void v_sums(const vf *a, const int count, float *out) {
  v_sums_of_eight(a, count, out);
  if (count > 8) { v_sums_of_eight(a + 8, 8, out + 8); }
}
MT_INLINE float v_sum(vf a) {
  const vf four[4] = {a, a, a, a};
  float sums[4];
  v_sums(four, 4, sums);
  return sums[0];
}
MT_INLINE float v_largest(vf a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
