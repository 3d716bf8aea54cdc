// What the bits of a stored weight mean, as f32: one function a type, each over whole blocks. Every form includes this file and
// the compiler vectorises the loops for it; nothing is fused (FP_CONTRACT is off), so the bits are the same in every form and
// equal to the reference's. Rows have any alignment: bytes are read one by one, wider numbers through memcpy.
//
// The layouts are ggml's (and, for the 8-bit floats, OCP's). d is an f16 scale at the place the layout gives it.

#include "body_bits.h"

#pragma STDC FP_CONTRACT OFF

/// Short loops that stay loops, so that they become vectors instead of many single steps. A build that watches every addition
/// for overflow has no vectors of them, and clang warns of a promise not kept.
#if __has_feature(undefined_behavior_sanitizer)
#define EACH_OF_32 for (int j = 0; j < 32; j++)
#else
#define EACH_OF_32 _Pragma("clang loop vectorize(enable) interleave_count(4)") for (int j = 0; j < 32; j++)
#endif
#define EACH(count) _Pragma("clang loop unroll(disable)") for (int j = 0; j < (count); j++)

#if MT_PICKS_NUMBERS
/// Four bits stand for sixteen numbers of a block, which are made once and picked: of 16 bytes the low halves, then the high ones.
static inline void pick_halves(float *restrict out, const uint8_t *bytes, const vf numbers) {
  v_store(out, v_pick_low(numbers, bytes));
  v_store(out + 16, v_pick_high(numbers, bytes));
}
#endif

/// 32 numbers from 16 bytes whose halves are places in a table: elements j and j + 16 share byte j.
static inline void dequant_table(float *restrict out, const uint8_t *bytes, const int8_t *table, float d) {
#if MT_PICKS_NUMBERS
  pick_halves(out, bytes, v_mul(v_set(d), v_from_bytes(table)));
#else
  int8_t values[32];
  lookup_halves(values, values + 16, bytes, table);
  for (int j = 0; j < 32; j++) { out[j] = d * (float)values[j]; }
#endif
}

// Blocks of 32: elements j and j + 16 share byte j.

/// d, 16 bytes: d * (q - 8)
static void dequant_q4_0(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 18, out += 32) {
    const float d = half_at(src);
    const uint8_t *q = src + 2;
#if MT_PICKS_NUMBERS
    pick_halves(out, q, v_mul(v_set(d), v_sub(v_counts(), v_set(8))));
#else
    EACH(16) { out[j] = d * (float)((q[j] & 15) - 8); }
    EACH(16) { out[j + 16] = d * (float)((q[j] >> 4) - 8); }
#endif
  }
}

/// d, m, 16 bytes: d * q + m
static void dequant_q4_1(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 20, out += 32) {
    const float d = half_at(src), m = half_at(src + 2);
    const uint8_t *q = src + 4;
#if MT_PICKS_NUMBERS
    pick_halves(out, q, v_add(v_mul(v_set(d), v_counts()), v_set(m)));
#else
    EACH(16) { out[j] = d * (float)(q[j] & 15) + m; }
    EACH(16) { out[j + 16] = d * (float)(q[j] >> 4) + m; }
#endif
  }
}

/// d, 32 fifth bits, 16 bytes: d * (q - 16)
static void dequant_q5_0(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 22, out += 32) {
    const float d = half_at(src);
    uint32_t fifth;
    memcpy(&fifth, src + 2, sizeof fifth);
    const uint8_t *q = src + 6;
    EACH(16) { out[j] = d * (float)((int)((q[j] & 15) | (fifth >> j & 1) << 4) - 16); }
    EACH(16) { out[j + 16] = d * (float)((int)((uint32_t)(q[j] >> 4) | (fifth >> (j + 16) & 1) << 4) - 16); }
  }
}

/// d, m, 32 fifth bits, 16 bytes: d * q + m
static void dequant_q5_1(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 24, out += 32) {
    const float d = half_at(src), m = half_at(src + 2);
    uint32_t fifth;
    memcpy(&fifth, src + 4, sizeof fifth);
    const uint8_t *q = src + 8;
    EACH(16) { out[j] = d * (float)(int)((q[j] & 15) | (fifth >> j & 1) << 4) + m; }
    EACH(16) { out[j + 16] = d * (float)(int)((uint32_t)(q[j] >> 4) | (fifth >> (j + 16) & 1) << 4) + m; }
  }
}

/// d, 32 signed bytes: d * q
static void dequant_q8_0(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 34, out += 32) {
    const float d = half_at(src);
    const int8_t *q = (const int8_t *)(src + 2);
    for (int j = 0; j < 32; j++) { out[j] = d * (float)q[j]; }
  }
}

/// d, 16 bytes: d * value of a fixed table
static void dequant_iq4_nl(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 18, out += 32) {
    dequant_table(out, src + 2, iq4_values, half_at(src));
  }
}

/// An exponent byte, 16 bytes of 4-bit floats
static void dequant_mxfp4(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 17, out += 32) {
    dequant_table(out, src + 1, twice_e2m1, half_power(src[0]));
  }
}

/// Four unsigned e4m3 scales, then 8 bytes of 4-bit floats for each: elements j and j + 8 of sixteen share a byte
static void dequant_nvfp4(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 36) {
    for (size_t s = 0; s < 4; s++, out += 16) {
      const uint8_t scale = src[s];
      const float d = scale == 0x7f ? 0 : float_from_e4m3(scale & 0x7f) * 0.5f;
      const uint8_t *q = src + 4 + s * 8;
      EACH(8) {
        out[j] = d * (float)twice_e2m1[q[j] & 15];
        out[j + 8] = d * (float)twice_e2m1[q[j] >> 4];
      }
    }
  }
}

/// d, 128 bits: d or -d
static void dequant_q1_0(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 18, out += 128) {
    const float d = half_at(src);
    for (size_t j = 0; j < 128; j++) { out[j] = src[2 + j / 8] >> j % 8 & 1 ? d : -d; }
  }
}

/// d, 64 times two bits, four in a byte: d * (q - 1)
static void dequant_q2_0(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 18, out += 64) {
    const float d = half_at(src);
    for (size_t j = 0; j < 64; j++) { out[j] = d * (float)((src[2 + j / 4] >> 2 * (j % 4) & 3) - 1); }
  }
}

// Blocks of 256: groups with small scales of their own under the block's d (and, where there is a minimum, dmin).

/// 16 bytes (scale, minimum) of four bits, 64 bytes of two bits, d, dmin: d * scale * q - dmin * minimum, groups of 16
static void dequant_q2_k(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 84) {
    const float d = half_at(src + 80), dmin = half_at(src + 82);
    for (int g = 0; g < 16; g++, out += 16) {
      const float scale = d * (float)(src[g] & 15), minimum = dmin * (float)(src[g] >> 4);
      const uint8_t *q = src + 16 + g / 8 * 32 + g % 2 * 16;
      const int shift = g % 8 / 2 * 2;
      EACH(16) { out[j] = scale * (float)(q[j] >> shift & 3) - minimum; }
    }
  }
}

/// 32 bytes of third bits, 64 of two bits, 12 of sixteen 6-bit scales, d: d * (scale - 32) * (q - 4), groups of 16
static void dequant_q3_k(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 110) {
    const float d = half_at(src + 108);
    const uint8_t *scales = src + 96;
    for (int g = 0; g < 16; g++, out += 16) {
      const int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4, high = scales[8 + g % 4] >> g / 4 * 2 & 3;
      const float scale = d * (float)((low | high << 4) - 32);
      const uint8_t *third = src + g % 2 * 16, *q = src + 32 + g / 8 * 32 + g % 2 * 16;
      const int shift = g % 8 / 2 * 2, bit = g / 2;
      EACH(16) { out[j] = scale * (float)((q[j] >> shift & 3) + (third[j] >> bit & 1) * 4 - 4); }
    }
  }
}

/// d, dmin, 12 bytes of scales and minima, 128 bytes of four bits: d * scale * q - dmin * minimum, groups of 32
static void dequant_q4_k(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 144) {
    float factors[8], leasts[8];
    group_scales(src + 4, half_at(src), half_at(src + 2), factors, leasts);
    const uint8_t *q = src + 16;
#if MT_PICKS_NUMBERS
    const vf counts = v_counts();
    for (int g = 0; g < 8; g += 2, q += 32, out += 64) {
      const vf low = v_sub(v_mul(v_set(factors[g]), counts), v_set(leasts[g]));
      const vf high = v_sub(v_mul(v_set(factors[g + 1]), counts), v_set(leasts[g + 1]));
      v_store(out, v_pick_low(low, q)), v_store(out + 16, v_pick_low(low, q + 16));
      v_store(out + 32, v_pick_high(high, q)), v_store(out + 48, v_pick_high(high, q + 16));
    }
#else
    for (int g = 0; g < 8; g += 2, q += 32, out += 64) {
      const float low = factors[g], high = factors[g + 1], low_least = leasts[g], high_least = leasts[g + 1];
      EACH_OF_32 {
        out[j] = low * (float)(q[j] & 15) - low_least;
        out[j + 32] = high * (float)(q[j] >> 4) - high_least;
      }
    }
#endif
  }
}

/// d, dmin, 12 bytes of scales and minima, 32 of fifth bits, 128 of four bits
static void dequant_q5_k(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 176) {
    float factors[8], leasts[8];
    group_scales(src + 4, half_at(src), half_at(src + 2), factors, leasts);
    const uint8_t *fifth = src + 16, *q = src + 48;
    for (int g = 0; g < 8; g += 2, q += 32, out += 64) {
      const float low = factors[g], high = factors[g + 1], low_least = leasts[g], high_least = leasts[g + 1];
      EACH_OF_32 {
        out[j] = low * (float)((q[j] & 15) | (fifth[j] >> g & 1) << 4) - low_least;
        out[j + 32] = high * (float)(q[j] >> 4 | (fifth[j] >> (g + 1) & 1) << 4) - high_least;
      }
    }
  }
}

/// 128 bytes of four bits, 64 of two more, 16 signed scales, d: d * scale * (q - 32), groups of 16
static void dequant_q6_k(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 210, out += 256) {
    const float d = half_at(src + 208);
    const int8_t *scales = (const int8_t *)(src + 192);
    float factors[16];
    for (int g = 0; g < 16; g++) { factors[g] = d * (float)scales[g]; }
    // Sixteen bytes hold parts of four groups, 32 elements apart.
    for (int part = 0; part < 4; part++) {
      const int half = part / 2, piece = part % 2;
      const uint8_t *low = src + half * 64 + piece * 16, *high = src + 128 + half * 32 + piece * 16;
      const float *f = factors + half * 8 + piece;
      float *at = out + half * 128 + piece * 16;
      EACH(16) {
        at[j] = f[0] * (float)(((low[j] & 15) | (high[j] & 3) << 4) - 32);
        at[j + 32] = f[2] * (float)(((low[j + 32] & 15) | (high[j] >> 2 & 3) << 4) - 32);
        at[j + 64] = f[4] * (float)((low[j] >> 4 | (high[j] >> 4 & 3) << 4) - 32);
        at[j + 96] = f[6] * (float)((low[j + 32] >> 4 | high[j] >> 6 << 4) - 32);
      }
    }
  }
}

/// d, 16 bits of high scale pairs, 4 bytes of low scale halves, 128 bytes: d * (scale - 32) * value of a table, groups of 32
static void dequant_iq4_xs(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 136) {
    const float d = half_at(src);
    for (int g = 0; g < 8; g++, out += 32) {
      dequant_table(out, src + 8 + g * 16, iq4_values, d * (float)iq4_xs_scale(src, g));
    }
  }
}

/// Ternary digits of `count` bytes, the most significant first, `digits` of them a byte: d * (q - 1)
static inline float *dequant_ternary(float *restrict out, const uint8_t *restrict q, int count, int digits, float d) {
  int power = 1;
  for (int n = 0; n < digits; n++, power *= 3, out += count) {
    for (int j = 0; j < count; j++) { out[j] = d * (float)((((q[j] * power) & 255) * 3 >> 8) - 1); }
  }
  return out;
}

/// 48 bytes of five ternary digits (32, then 16), 4 bytes of four, d
static void dequant_tq1_0(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 54) {
    const float d = half_at(src + 52);
    out = dequant_ternary(out, src, 32, 5, d);
    out = dequant_ternary(out, src + 32, 16, 5, d);
    out = dequant_ternary(out, src + 48, 4, 4, d);
  }
}

/// 64 bytes of two bits, d: d * (q - 1)
static void dequant_tq2_0(float *restrict out, const uint8_t *restrict src, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 66) {
    const float d = half_at(src + 64);
    for (int g = 0; g < 8; g++, out += 32) {
      const uint8_t *q = src + g / 4 * 32;
      const int shift = g % 4 * 2;
      for (int j = 0; j < 32; j++) { out[j] = d * (float)((q[j] >> shift & 3) - 1); }
    }
  }
}

/// n 4-bit floats, two a byte, the first in the low half
static void dequant_e2m1(float *restrict out, const uint8_t *restrict src, size_t n) {
  for (; n >= 32; n -= 32, src += 16, out += 32) {
    int8_t low[16], high[16], values[32];
    lookup_halves(low, high, src, twice_e2m1);
    EACH(16) {
      values[2 * j] = low[j];
      values[2 * j + 1] = high[j];
    }
    for (int j = 0; j < 32; j++) { out[j] = 0.5f * (float)values[j]; }
  }
  for (size_t i = 0; i < n; i++) { out[i] = 0.5f * (float)twice_e2m1[src[i / 2] >> i % 2 * 4 & 15]; }
}

/// n whole numbers from -8 to 7, stored 8 too large, two a byte, the first in the low half
static void dequant_u4b8(float *restrict out, const uint8_t *restrict src, size_t n) {
  for (; n >= 32; n -= 32, src += 16, out += 32) {
    EACH(16) {
      out[2 * j] = (float)((src[j] & 15) - 8);
      out[2 * j + 1] = (float)((src[j] >> 4) - 8);
    }
  }
  for (size_t i = 0; i < n; i++) { out[i] = (float)((src[i / 2] >> i % 2 * 4 & 15) - 8); }
}

#include "body_lookup.h"

#undef EACH
#pragma STDC FP_CONTRACT DEFAULT
