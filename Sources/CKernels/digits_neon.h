// Words of the product by digits for NEON with dot products: whole numbers in three signed digits of 8 bits, multiplied by signed weights
// of 8 bits; and which whole numbers are the weights of a block, and its factor.

typedef struct bytes32 {
  int8x16_t low, high;
} bytes32;
typedef struct digit_sums {
  eight first, second;  // of two chains of blocks
} digit_sums;
/// Weights of two blocks, one of each chain.
typedef struct byte_pair {
  bytes32 first, second;
} byte_pair;

/// [highest digits, middle ones, lowest ones: 64 of 8 bits each]
enum { places_bytes = 192 };

/// Digits with a sign are those of a number that is half a digit's range larger at each place, less that half.
MT_INLINE void place_digits(uint8_t *places, const int32_t *a, const int32_t *b, int less) {
  (void)less;
  int8_t *digits = (int8_t *)places;
  for (int i = 0; i < 64; i++) {
    const uint32_t all = (uint32_t)(i < 32 ? a[i] : b[i - 32]) + 0x808080;
    digits[i] = (int8_t)(uint8_t)(all >> 16 ^ 0x80);
    digits[64 + i] = (int8_t)(uint8_t)(all >> 8 ^ 0x80);
    digits[128 + i] = (int8_t)(uint8_t)(all ^ 0x80);
  }
}

MT_INLINE digit_sums no_sums(void) { return (digit_sums){{0}, {0}}; }

/// Four sums of four products, rounded once. `x` has the highest digits; the others lie 64 bytes apart.
MT_INLINE float32x4_t four_sums(int8x16_t w, const int8_t *x) {
  int32x4_t upper = vdotq_s32(vdupq_n_s32(0), w, vld1q_s8(x));
  upper = vdotq_s32(vshlq_n_s32(upper, 8), w, vld1q_s8(x + 64));
  const int32x4_t lowest = vdotq_s32(vdupq_n_s32(0), w, vld1q_s8(x + 128));
  return vfmaq_f32(vcvtq_f32_s32(lowest), vcvtq_f32_s32(upper), vdupq_n_f32(256));
}

MT_INLINE eight block_sums(bytes32 w, const uint8_t *places) {
  const float32x4_t low = four_sums(w.low, (const int8_t *)places), high = four_sums(w.high, (const int8_t *)places + 16);
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}

/// The factors of eight blocks, one or two a block.
typedef struct run_scale {
  eight factors[2];
} run_scale;
MT_INLINE run_scale two_a_block(eight first, eight second) { return (run_scale){{first, second}}; }
MT_INLINE run_scale one_a_block(eight factors) { return two_a_block(factors, factors); }

/// Of block s.
MT_INLINE eight block_factors(const run_scale *scale, int s, int count) {
  const float *factors = (const float *)scale->factors + s * count;
  const float a = factors[0], b = factors[count - 1];
  return (eight){a, a, a, a, b, b, b, b};
}

/// Vector v of a run.
MT_INLINE void add_pair(digit_sums *sums, byte_pair w, digit_type t, const uint8_t *places, const run_scale *scale, int v) {
  const int s = (int)first_block((size_t)v, t.apart);
  sums->first = __builtin_elementwise_fma(block_sums(w.first, places), block_factors(scale, s, t.factors), sums->first);
  sums->second = __builtin_elementwise_fma(block_sums(w.second, places + 32), block_factors(scale, s + t.apart, t.factors), sums->second);
}

MT_INLINE eight both(digit_sums sums) { return sums.first + sums.second; }

MT_INLINE bytes32 halves_of(uint8x16_t bytes, uint8_t less) {
  const int8x16_t taken = vdupq_n_s8((int8_t)less);
  return (bytes32){vsubq_s8(vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15))), taken),
                   vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4)), taken)};
}
MT_INLINE bytes32 entries_of(const int8_t *table, uint8x16_t bytes) {
  const int8x16_t entries = vld1q_s8(table);
  return (bytes32){vqtbl1q_s8(entries, vandq_u8(bytes, vdupq_n_u8(15))), vqtbl1q_s8(entries, vshrq_n_u8(bytes, 4))};
}
/// Sixteen weights from halves of bytes (of `shift` 0 or 4) and more bits, moved by `up` (to the left where positive) and kept by a mask.
MT_INLINE int8x16_t joined(uint8x16_t bytes, int shift, uint8x16_t more, int up, uint8_t mask) {
  const uint8x16_t half = vandq_u8(vshlq_u8(bytes, vdupq_n_s8((int8_t)-shift)), vdupq_n_u8(15));
  return vreinterpretq_s8_u8(vorrq_u8(half, vandq_u8(vshlq_u8(more, vdupq_n_s8((int8_t)up)), vdupq_n_u8(mask))));
}
MT_INLINE int8x16_t less_32(int8x16_t bytes) { return vsubq_s8(bytes, vdupq_n_s8(32)); }

/// The blocks s and s + 1 of a run that begins at p, s even.
MT_INLINE void pair_weights(mt_element_type type, const uint8_t *p, int s, bytes32 *a, bytes32 *b) {
  switch (type) {
  case MT_Q4_0:
    *a = halves_of(vld1q_u8(p + s * 18 + 2), 8);
    *b = halves_of(vld1q_u8(p + s * 18 + 20), 8);
    return;
  case MT_IQ4_NL:
    *a = entries_of(iq4_values, vld1q_u8(p + s * 18 + 2));
    *b = entries_of(iq4_values, vld1q_u8(p + s * 18 + 20));
    return;
  case MT_IQ4_XS:
    *a = entries_of(iq4_values, vld1q_u8(p + 8 + s * 16));
    *b = entries_of(iq4_values, vld1q_u8(p + 24 + s * 16));
    return;
  case MT_MXFP4:
    *a = entries_of(twice_e2m1, vld1q_u8(p + s * 17 + 1));
    *b = entries_of(twice_e2m1, vld1q_u8(p + s * 17 + 18));
    return;
  case MT_Q8_0:
    *a = (bytes32){vld1q_s8((const int8_t *)p + s * 34 + 2), vld1q_s8((const int8_t *)p + s * 34 + 18)};
    *b = (bytes32){vld1q_s8((const int8_t *)p + s * 34 + 36), vld1q_s8((const int8_t *)p + s * 34 + 52)};
    return;
  case MT_Q4_K:
  case MT_Q5_K: {
    const uint8_t *q = p + (type == MT_Q4_K ? 16 : 48) + s * 16;
    const uint8x16_t low = vld1q_u8(q), high = vld1q_u8(q + 16), none = vdupq_n_u8(0);
    const uint8x16_t f = type == MT_Q5_K ? vld1q_u8(p + 16) : none, g = type == MT_Q5_K ? vld1q_u8(p + 32) : none;
    *a = (bytes32){joined(low, 0, f, 4 - s, 16), joined(high, 0, g, 4 - s, 16)};
    *b = (bytes32){joined(low, 4, f, 3 - s, 16), joined(high, 4, g, 3 - s, 16)};
    return;
  }
  default: {  // MT_Q6_K
    const int part = s / 4, upper = s % 4 == 0 ? 0 : 4, up = 4 - s % 4 * 2;
    const uint8_t *low = p + part * 64, *more = p + 128 + part * 32;
    const uint8x16_t f = vld1q_u8(more), g = vld1q_u8(more + 16);
    *a = (bytes32){less_32(joined(vld1q_u8(low), upper, f, up, 0x30)), less_32(joined(vld1q_u8(low + 16), upper, g, up, 0x30))};
    *b = (bytes32){less_32(joined(vld1q_u8(low + 32), upper, f, up - 2, 0x30)),
                   less_32(joined(vld1q_u8(low + 48), upper, g, up - 2, 0x30))};
  }
  }
}

/// Vector v of a run that begins at p.
MT_INLINE byte_pair pair_of(mt_element_type type, const uint8_t *p, int v) {
  bytes32 a, b, c, d;
  if (digit_type_of(type).apart == 1) {
    pair_weights(type, p, 2 * v, &a, &b);
    return (byte_pair){a, b};
  }
  pair_weights(type, p, v / 2 * 4, &a, &b);
  pair_weights(type, p, v / 2 * 4 + 2, &c, &d);
  return v % 2 == 0 ? (byte_pair){a, c} : (byte_pair){b, d};
}

/// The factors of the eight blocks that begin at p, two a block for Q6_K, and what is taken from each product.
MT_INLINE void run_factors(mt_element_type type, const uint8_t *p, eight *factors, eight *leasts) {
  switch (type) {
  case MT_Q4_K:
  case MT_Q5_K: group_scales(p + 4, half_at(p), half_at(p + 2), (float *)factors, (float *)leasts); return;
  case MT_Q6_K:
    for (int g = 0; g < 16; g++) { factors[g / 8][g % 8] = half_at(p + 208) * (float)(int8_t)p[192 + g]; }
    return;
  case MT_IQ4_XS:
    for (int g = 0; g < 8; g++) {
      (*factors)[g] = half_at(p) * (float)iq4_xs_scale(p, g);
    }
    return;
  case MT_MXFP4:
    for (int g = 0; g < 8; g++) { (*factors)[g] = half_power(p[g * 17]); }
    return;
  default:
    for (int g = 0; g < 8; g++) { (*factors)[g] = half_at(p + g * (type == MT_Q8_0 ? 34 : 18)); }
  }
}
