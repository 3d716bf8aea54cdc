// Blocks of 256 whose numbers are entries of tables: eight, or four, at a time. The tables are the caller's (mt_lookup_tables); places in
// them are cut to their sizes by the bits that a block has for them, so that no block reads beside them. Included by body_dequant.h.

static inline uint32_t half_word_at(const uint8_t *p) { return (uint32_t)(p[0] | p[1] << 8); }

static inline uint32_t word_at(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/// d times eight magnitudes, negative where a bit of `signs` is set.
static inline void dequant_signed(float *restrict out, const uint8_t *restrict magnitudes, uint32_t signs, float d) {
  EACH(8) { out[j] = float_from_bits(bits_of_float(d * (float)magnitudes[j]) ^ (signs >> j & 1) << 31); }
}

/// The same with two entries of four.
static inline void dequant_signed_pair(float *restrict out, const uint8_t *first, const uint8_t *second, uint32_t signs, float d) {
  const uint64_t both = word_at(first) | (uint64_t)word_at(second) << 32;
  uint8_t magnitudes[8];
  memcpy(magnitudes, &both, sizeof both);
  dequant_signed(out, magnitudes, signs, d);
}

/// d times eight entries of -1, 0 or 1 that are moved by an eighth.
static inline void dequant_shifted(float *restrict out, const int8_t *restrict entries, bool down, float d) {
  const float shift = down ? -0.125f : 0.125f;
  EACH(8) { out[j] = d * ((float)entries[j] + shift); }
}

/// d, groups of 32: four places of 8 bits, then a word with four times 7 bits of signs and a scale: d * (scale + 1/2) / 4
static void dequant_iq2_xxs(float *restrict out, const uint8_t *restrict src, const mt_lookup_tables *tables, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 66) {
    const float d = half_at(src);
    for (int g = 0; g < 8; g++, out += 32) {
      const uint8_t *places = src + 2 + g * 8;
      const uint32_t word = word_at(places + 4);
      const float scale = d * (0.5f + (float)(word >> 28)) * 0.25f;
      for (int e = 0; e < 4; e++) {
        dequant_signed(out + 8 * e, tables->iq2_xxs[places[e]], tables->signs[word >> 7 * e & 127], scale);
      }
    }
  }
}

/// d, 32 times a place of 9 bits and 7 of signs, 16 scales of four bits, for 16 numbers each: d * (scale + 1/2) / 4
static void dequant_iq2_xs(float *restrict out, const uint8_t *restrict src, const mt_lookup_tables *tables, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 74) {
    const float d = half_at(src);
    for (int g = 0; g < 16; g++, out += 16) {
      const float scale = d * (0.5f + (float)(src[66 + g / 2] >> g % 2 * 4 & 15)) * 0.25f;
      for (int e = 0; e < 2; e++) {
        const uint32_t place = half_word_at(src + 2 + 4 * g + 2 * e);
        dequant_signed(out + 8 * e, tables->iq2_xs[place & 511], tables->signs[place >> 9], scale);
      }
    }
  }
}

/// d, 32 places, 32 bytes of signs, 8 bytes of two more bits a place, 16 scales of four bits, as above
static void dequant_iq2_s(float *restrict out, const uint8_t *restrict src, const mt_lookup_tables *tables, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 82) {
    const float d = half_at(src);
    for (int g = 0; g < 16; g++, out += 16) {
      const float scale = d * (0.5f + (float)(src[74 + g / 2] >> g % 2 * 4 & 15)) * 0.25f;
      for (int e = 2 * g; e < 2 * g + 2; e++) {
        const int place = src[2 + e] | (src[66 + e / 4] >> e % 4 * 2 & 3) << 8;
        dequant_signed(out + e % 2 * 8, tables->iq2_s[place], src[34 + e], scale);
      }
    }
  }
}

/// d, 64 places of entries of four, then eight words with signs and a scale for 32 numbers: d * (scale + 1/2) / 2
static void dequant_iq3_xxs(float *restrict out, const uint8_t *restrict src, const mt_lookup_tables *tables, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 98) {
    const float d = half_at(src);
    for (int g = 0; g < 8; g++, out += 32) {
      const uint8_t *places = src + 2 + g * 8;
      const uint32_t word = word_at(src + 66 + g * 4);
      const float scale = d * (0.5f + (float)(word >> 28)) * 0.5f;
      for (int e = 0; e < 4; e++) {
        const uint8_t *first = tables->iq3_xxs[places[2 * e]], *second = tables->iq3_xxs[places[2 * e + 1]];
        dequant_signed_pair(out + 8 * e, first, second, tables->signs[word >> 7 * e & 127], scale);
      }
    }
  }
}

/// d, 64 places, 8 bytes of ninth bits, 32 bytes of signs, eight scales of four bits, for 32 numbers each: d * (2 * scale + 1)
static void dequant_iq3_s(float *restrict out, const uint8_t *restrict src, const mt_lookup_tables *tables, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 110) {
    const float d = half_at(src);
    for (int g = 0; g < 8; g++, out += 32) {
      const uint8_t *places = src + 2 + g * 8, *signs = src + 74 + g * 4;
      const int ninth = src[66 + g];
      const float scale = d * (float)(1 + 2 * (src[106 + g / 2] >> g % 2 * 4 & 15));
      for (int e = 0; e < 4; e++) {
        const uint8_t *first = tables->iq3_s[places[2 * e] | (ninth >> 2 * e & 1) << 8];
        const uint8_t *second = tables->iq3_s[places[2 * e + 1] | (ninth >> (2 * e + 1) & 1) << 8];
        dequant_signed_pair(out + 8 * e, first, second, signs[e], scale);
      }
    }
  }
}

/// d, 32 places, eight half words: four times three more bits, a scale of three, whether the shift is down: d * (2 * scale + 1)
static void dequant_iq1_s(float *restrict out, const uint8_t *restrict src, const mt_lookup_tables *tables, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 50) {
    const float d = half_at(src);
    for (int g = 0; g < 8; g++, out += 32) {
      const uint32_t high = half_word_at(src + 34 + g * 2);
      const float scale = d * (float)(2 * (high >> 12 & 7) + 1);
      for (int e = 0; e < 4; e++) {
        const uint32_t place = src[2 + g * 4 + e] | (high >> 3 * e & 7) << 8;
        dequant_shifted(out + 8 * e, tables->iq1[place], high >> 15, scale);
      }
    }
  }
}

/// 32 places, 16 bytes of twice three more bits and a shift, four half words: four scales of three bits, for 16 numbers each, and four bits of d
static void dequant_iq1_m(float *restrict out, const uint8_t *restrict src, const mt_lookup_tables *tables, size_t blocks) {
  for (size_t b = 0; b < blocks; b++, src += 56) {
    uint32_t half = 0;
    for (int w = 0; w < 4; w++) { half |= half_word_at(src + 48 + w * 2) >> 12 << 4 * w; }
    const float d = float_from_half((uint16_t)half);
    for (int g = 0; g < 16; g++, out += 16) {
      const float scale = d * (float)(2 * (half_word_at(src + 48 + g / 4 * 2) >> g % 4 * 3 & 7) + 1);
      for (int e = 0; e < 2; e++) {
        const uint32_t high = src[32 + g] >> 4 * e & 15;
        dequant_shifted(out + 8 * e, tables->iq1[src[2 * g + e] | (high & 7) << 8], high >> 3, scale);
      }
    }
  }
}
