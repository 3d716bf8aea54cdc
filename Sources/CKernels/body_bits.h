// What small groups of bits mean: halves, 8-bit and 4-bit floats, tables of 4-bit numbers. Exact in every form.

#ifndef MOETOP_BODY_BITS_H
#define MOETOP_BODY_BITS_H

#pragma STDC FP_CONTRACT OFF

static inline float float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

#ifndef MT_HAS_HALF  // forms with an instruction for it bring their own
/// The exponent is too small by 112: a product puts it right, subnormals included, exactly.
static inline float float_from_half(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13;
  const uint32_t beyond = rest | 0x7f800000u | (half & 0x3ff ? 0x400000u : 0);  // infinity, or a quiet NaN
  const uint32_t bits = (half & 0x7c00) == 0x7c00 ? beyond : bits_of_float(float_from_bits(rest) * 0x1p112f);
  return float_from_bits(sign | bits);
}
#endif

static inline float half_at(const uint8_t *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return float_from_half(half);
}

/// Four exponent bits of bias 7, three fraction bits; no infinity.
static inline float float_from_e4m3(uint8_t byte) {
  const uint32_t sign = (uint32_t)(byte & 0x80) << 24, rest = (uint32_t)(byte & 0x7f) << 20;
  const uint32_t bits = (byte & 0x7f) == 0x7f ? 0x7fc00000u : bits_of_float(float_from_bits(rest) * 0x1p120f);
  return float_from_bits(sign | bits);
}

/// A power of two, 2^(byte - 127); 255 is NaN.
static inline float float_from_e8m0(uint8_t byte) {
  return float_from_bits(byte == 0 ? 0x00400000u : byte == 255 ? 0x7fc00000u : (uint32_t)byte << 23);
}

/// Half of that power, for numbers that stand twice as large in a table.
static inline float half_power(uint8_t byte) {
  return float_from_bits(byte < 2 ? 0x00200000u << byte : (uint32_t)(byte - 1) << 23);
}

/// Twice the 4-bit floats (two exponent bits, one of fraction), so that they are whole numbers.
static const int8_t twice_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

#ifndef MT_HAS_LOOKUP  // forms with a byte shuffle bring their own
/// The entries of a table for the low and the high halves of 16 bytes.
static inline void lookup_halves(int8_t *restrict low, int8_t *restrict high, const uint8_t *bytes, const int8_t *table) {
  for (int j = 0; j < 16; j++) {
    low[j] = table[bytes[j] & 15];
    high[j] = table[bytes[j] >> 4];
  }
}
#endif

/// The scale of one of the eight groups of a block of IQ4_XS: four low bits in 4 bytes, two high ones in 16 bits.
static inline int iq4_xs_scale(const uint8_t *p, int g) {
  return ((p[4 + g / 2] >> g % 2 * 4 & 15) | ((p[2] | p[3] << 8) >> 2 * g & 3) << 4) - 32;
}

/// What the elements of each of eight groups are multiplied by, and what is then taken away: 6-bit scales and minima in 12 bytes, the
/// lower four of each whole, the upper four in halves.
static inline void group_scales(const uint8_t *p, float d, float dmin, float factors[8], float leasts[8]) {
  uint8_t scales[8], minima[8];
  for (int g = 0; g < 4; g++) {
    scales[g] = p[g] & 63;
    minima[g] = p[g + 4] & 63;
    scales[g + 4] = (uint8_t)((p[g + 8] & 15) | p[g] >> 6 << 4);
    minima[g + 4] = (uint8_t)(p[g + 8] >> 4 | p[g + 4] >> 6 << 4);
  }
  for (int g = 0; g < 8; g++) {
    factors[g] = d * (float)scales[g];
    leasts[g] = dmin * (float)minima[g];
  }
}

#pragma STDC FP_CONTRACT DEFAULT

#endif
