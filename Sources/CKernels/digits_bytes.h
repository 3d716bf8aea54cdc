// How tokens lie for units that multiply signed digits of 8 bits with unsigned weights of 8 bits: a whole number is three digits. What the
// weights are too large by is taken away from each sum of four, which is then exact again.

// `place_taken` is the including form's: `less` times the sums of four of what lies at `places`, behind it. Sums of weights of 8 bits have more
// than 32; of those the upper two digits are taken apart from the lowest.

#define MT_SIGNED_BYTES 0
/// [highest digits, middle ones, lowest ones: 64 of 8 bits each; what is taken from the sums: 16 of 32 bits, twice]
enum { places_bytes = 320 };

/// Digits with a sign are those of a number that is half a digit's range larger at each place, less that half.
MT_INLINE void place_digits(uint8_t *restrict places, const int32_t *restrict a, const int32_t *restrict b, int less) {
  int8_t *restrict digits = (int8_t *)places;
  for (int block = 0; block < 2; block++, digits += 32) {
    const int32_t *restrict q = block == 0 ? a : b;
    // A short loop, which becomes vectors.
#pragma clang loop unroll(disable)
    for (int i = 0; i < 32; i++) {
      const uint32_t all = (uint32_t)q[i] + 0x808080;
      digits[i] = (int8_t)(uint8_t)(all >> 16 ^ 0x80);
      digits[64 + i] = (int8_t)(uint8_t)(all >> 8 ^ 0x80);
      digits[128 + i] = (int8_t)(uint8_t)(all ^ 0x80);
    }
  }
  if (less > 0) { place_taken(places, less); }
}
