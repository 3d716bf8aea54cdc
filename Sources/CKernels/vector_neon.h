// Vectors of 4 floats: the words in which the bodies are written, for NEON on arm64 (every arm64 machine has it).
#include <arm_neon.h>

typedef float32x4_t vf;
enum { lanes = 4, tile_tokens = 6, decode_rows = 8 };

#define MT_INLINE static inline __attribute__((always_inline, unused))

MT_INLINE vf v_set(float value) { return vdupq_n_f32(value); }
MT_INLINE vf v_load(const float *p) { return vld1q_f32(p); }
MT_INLINE vf v_load_n(const float *p, size_t n, float rest) {
  float values[4] = {rest, rest, rest, rest};
  memcpy(values, p, 4 * n);
  return vld1q_f32(values);
}
MT_INLINE void v_store(float *p, vf a) { vst1q_f32(p, a); }
MT_INLINE void v_store_n(float *p, vf a, size_t n) {
  float values[4];
  vst1q_f32(values, a);
  memcpy(p, values, 4 * n);
}
MT_INLINE vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
MT_INLINE vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
MT_INLINE vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
MT_INLINE vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
MT_INLINE vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
MT_INLINE vf v_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
/// The larger; a NaN loses.
MT_INLINE vf v_max_number(vf a, vf b) { return vmaxnmq_f32(a, b); }
/// NaN stays NaN.
MT_INLINE vf v_clamp(vf a, float low, float high) { return vminq_f32(vmaxq_f32(a, v_set(low)), v_set(high)); }
MT_INLINE vf v_abs(vf a) { return vabsq_f32(a); }
/// The magnitude of a with the sign of b.
MT_INLINE vf v_copysign(vf a, vf b) { return vbslq_f32(vdupq_n_u32(0x80000000u), b, a); }
/// a < b ? then : otherwise
MT_INLINE vf v_if_less(vf a, vf b, vf then, vf otherwise) { return vbslq_f32(vcltq_f32(a, b), then, otherwise); }
MT_INLINE vf v_round(vf a) { return vrndnq_f32(a); }
MT_INLINE vf v_power_of_two(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
/// a * 2^n for whole n in -160...160: two steps, so that neither factor leaves the range of f32.
MT_INLINE vf v_scale_by_power(vf a, vf n) {
  int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
  return v_mul(v_mul(a, v_power_of_two(half)), v_power_of_two(vsubq_s32(whole, half)));
}

MT_INLINE uint16x4_t v_halves_n(const void *p, size_t n) {
  uint16_t halves[4] = {0};
  memcpy(halves, p, 2 * n);
  return vld1_u16(halves);
}
MT_INLINE vf v_from_bf16(uint16x4_t halves) { return vreinterpretq_f32_u32(vshll_n_u16(halves, 16)); }
MT_INLINE vf v_from_f16(uint16x4_t halves) { return vcvt_f32_f16(vreinterpret_f16_u16(halves)); }
MT_INLINE vf v_load_bf16(const void *p) { return v_from_bf16(v_halves_n(p, 4)); }
MT_INLINE vf v_load_f16(const void *p) { return v_from_f16(v_halves_n(p, 4)); }
MT_INLINE vf v_load_bf16_n(const void *p, size_t n) { return v_from_bf16(v_halves_n(p, n)); }
MT_INLINE vf v_load_f16_n(const void *p, size_t n) { return v_from_f16(v_halves_n(p, n)); }

/// Sums of 4, 8 or 16 vectors; neighbours are added first.
MT_INLINE void v_sums(const vf *a, const int count, float *out) {
  for (int i = 0; i < count; i += 4) {
    vst1q_f32(out + i, vpaddq_f32(vpaddq_f32(a[i], a[i + 1]), vpaddq_f32(a[i + 2], a[i + 3])));
  }
}
/// What `v_sums` makes of one vector, for as many outputs as a vector has lanes: lane l of output r is sums[l * stride + r].
MT_INLINE vf v_fold_lanes(const float *sums, size_t stride) {
  return v_add(v_add(v_load(sums), v_load(sums + stride)), v_add(v_load(sums + 2 * stride), v_load(sums + 3 * stride)));
}
/// The n-th lane, where two neighbours in this order are what is added first, two such sums then.
MT_INLINE size_t fold_order(size_t n) { return n; }
/// Element k of vector r becomes element r of vector k.
MT_INLINE void v_turn(vf *m) {
  const float32x4x2_t a = vtrnq_f32(m[0], m[1]), b = vtrnq_f32(m[2], m[3]);
  m[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  m[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  m[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  m[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
MT_INLINE float v_sum(vf a) { return vgetq_lane_f32(vpaddq_f32(vpaddq_f32(a, a), a), 0); }
MT_INLINE float v_largest(vf a) { return vmaxnmvq_f32(a); }

#define MT_HAS_LOOKUP 1
/// The entries of a table for the low and the high halves of 16 bytes.
MT_INLINE void lookup_halves(int8_t *low, int8_t *high, const uint8_t *bytes, const int8_t *table) {
  const int8x16_t entries = vld1q_s8(table);
  const uint8x16_t halves = vld1q_u8(bytes);
  vst1q_s8(low, vqtbl1q_s8(entries, vandq_u8(halves, vdupq_n_u8(15))));
  vst1q_s8(high, vqtbl1q_s8(entries, vshrq_n_u8(halves, 4)));
}
