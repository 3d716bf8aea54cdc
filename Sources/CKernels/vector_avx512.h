// Vectors of 16 floats: the words in which the bodies are written, for AVX-512 (F, BW, VL, DQ).
#include <immintrin.h>

typedef __m512 vf;
enum { lanes = 16, tile_tokens = 6, decode_rows = 8 };

#define MT_INLINE static inline __attribute__((always_inline, unused))

MT_INLINE __mmask16 first(size_t n) { return (__mmask16)((1u << n) - 1); }
MT_INLINE vf v_set(float value) { return _mm512_set1_ps(value); }
MT_INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
MT_INLINE vf v_load_n(const float *p, size_t n, float rest) { return _mm512_mask_loadu_ps(v_set(rest), first(n), p); }
MT_INLINE void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
MT_INLINE void v_store_n(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, first(n), a); }
MT_INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
MT_INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
MT_INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
MT_INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
MT_INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
MT_INLINE vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
/// The larger; a NaN in `a` loses.
MT_INLINE vf v_max_number(vf a, vf b) { return _mm512_max_ps(a, b); }
/// NaN stays NaN.
MT_INLINE vf v_clamp(vf a, float low, float high) { return _mm512_min_ps(v_set(high), _mm512_max_ps(v_set(low), a)); }
MT_INLINE vf v_abs(vf a) { return _mm512_abs_ps(a); }
/// The magnitude of a with the sign of b.
MT_INLINE vf v_copysign(vf a, vf b) { return _mm512_or_ps(_mm512_abs_ps(a), _mm512_and_ps(b, v_set(-0.0f))); }
/// a < b ? then : otherwise
MT_INLINE vf v_if_less(vf a, vf b, vf then, vf otherwise) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), otherwise, then);
}
MT_INLINE vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/// a * 2^n for whole n in -160...160
MT_INLINE vf v_scale_by_power(vf a, vf n) { return _mm512_scalef_ps(a, n); }

MT_INLINE vf v_from_bf16(__m256i halves) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
MT_INLINE vf v_load_bf16(const void *p) { return v_from_bf16(_mm256_loadu_si256(p)); }
MT_INLINE vf v_load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
MT_INLINE vf v_load_bf16_n(const void *p, size_t n) { return v_from_bf16(_mm256_maskz_loadu_epi16(first(n), p)); }
MT_INLINE vf v_load_f16_n(const void *p, size_t n) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p)); }

/// Element k of vector r becomes element r of vector k. Four times two vectors meet in one, element by element in turn.
MT_INLINE void v_turn(vf *m) {
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  for (int pass = 0; pass < 4; pass++) {
    vf next[16];
#pragma clang loop unroll(full)
    for (int r = 0; r < 8; r++) {
      next[2 * r] = _mm512_permutex2var_ps(m[r], low, m[r + 8]);
      next[2 * r + 1] = _mm512_permutex2var_ps(m[r], high, m[r + 8]);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; r++) { m[r] = next[r]; }
  }
}

/// Bytes of rows: 128 bits at a time, the first halves of two in turn, and the second ones.
typedef __m512i vb;
MT_INLINE vb vb_load(const int8_t *p) { return _mm512_loadu_si512(p); }
MT_INLINE void vb_store(int8_t *p, vb a) { _mm512_storeu_si512(p, a); }
MT_INLINE vb vb_low(vb a, vb b) { return _mm512_unpacklo_epi8(a, b); }
MT_INLINE vb vb_high(vb a, vb b) { return _mm512_unpackhi_epi8(a, b); }
MT_INLINE vf v_from_bytes(const int8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p))); }

/// 0 to 15, and the numbers of a vector that the low or the high halves of sixteen bytes name.
#define MT_PICKS_NUMBERS 1
MT_INLINE vf v_counts(void) { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
MT_INLINE __m512i v_places(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
MT_INLINE vf v_pick_low(vf numbers, const uint8_t *p) { return _mm512_permutexvar_ps(v_places(p), numbers); }
MT_INLINE vf v_pick_high(vf numbers, const uint8_t *p) { return _mm512_permutexvar_ps(_mm512_srli_epi32(v_places(p), 4), numbers); }

/// Four vectors into one: each 128-bit lane holds four partial sums of one of them (folds 16 -> 8 -> 4).
MT_INLINE vf v_fold_four(const vf *a) {
  vf ab = v_add(_mm512_shuffle_f32x4(a[0], a[1], 0x44), _mm512_shuffle_f32x4(a[0], a[1], 0xee));
  vf cd = v_add(_mm512_shuffle_f32x4(a[2], a[3], 0x44), _mm512_shuffle_f32x4(a[2], a[3], 0xee));
  return v_add(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}
/// Folds 4 -> 2 of two such vectors.
MT_INLINE vf v_fold_pair(vf a, vf b) {
  __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
  return v_add(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
/// Sums of 4, 8 or 16 vectors.
MT_INLINE void v_sums(const vf *a, const int count, float *out) {
  vf q0 = v_fold_four(a), q1 = count > 4 ? v_fold_four(a + 4) : q0;
  vf s01 = v_fold_pair(q0, q1);
  vf s23 = count > 8 ? v_fold_pair(v_fold_four(a + 8), v_fold_four(a + 12)) : s01;
  vf sums = v_add(_mm512_shuffle_ps(s01, s23, 0x88), _mm512_shuffle_ps(s01, s23, 0xdd));
  // Lane l, element q now holds vector 4 q + l.
  sums = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), sums);
  if (count > 8) {
    v_store(out, sums);
  } else if (count > 4) {
    _mm256_storeu_ps(out, _mm512_castps512_ps256(sums));
  } else {
    _mm_storeu_ps(out, _mm512_castps512_ps128(sums));
  }
}
MT_INLINE float v_sum(vf a) {
  const vf four[4] = {a, a, a, a};
  float sums[4];
  v_sums(four, 4, sums);
  return sums[0];
}
MT_INLINE float v_largest(vf a) { return _mm512_reduce_max_ps(a); }
