// How tokens lie for units that multiply signed digits of 8 bits with unsigned weights of 8 bits: a whole number is three digits. What the
// weights are too large by is taken away from each sum of four, which is then exact again.

#define MT_SIGNED_BYTES 0
/// [highest digits, middle ones, lowest ones: 64 of 8 bits each; what is taken from the sums: 16 of 32 bits, twice]
enum { places_bytes = 320 };

/// The lowest 8 bits with their sign.
MT_INLINE int32_t lowest_digit(int32_t q) { return (int32_t)((uint32_t)q << 24) >> 24; }

MT_INLINE void place_digits(uint8_t *restrict places, const int32_t *restrict q, int less) {
  int8_t *restrict digits = (int8_t *)places;
  int32_t *restrict taken = (int32_t *)(places + 192);
  // Short loops over one thing each, which become vectors.
  int32_t low[64] __attribute__((aligned(64))), rest[64] __attribute__((aligned(64)));
#pragma clang loop unroll(disable)
  for (int i = 0; i < 64; i++) {
    low[i] = lowest_digit(q[i]);
    rest[i] = (q[i] - low[i]) >> 8;
  }
#pragma clang loop unroll(disable)
  for (int i = 0; i < 64; i++) {
    digits[i] = (int8_t)((rest[i] - lowest_digit(rest[i])) >> 8);
    digits[64 + i] = (int8_t)lowest_digit(rest[i]);
    digits[128 + i] = (int8_t)low[i];
  }
  // Sums of weights of 8 bits have more than 32; their upper part is taken apart from the lowest digit's.
#pragma clang loop unroll(disable)
  for (int i = 0; i < 16; i++) {
    const int32_t upper = rest[4 * i] + rest[4 * i + 1] + rest[4 * i + 2] + rest[4 * i + 3];
    const int32_t lowest = low[4 * i] + low[4 * i + 1] + low[4 * i + 2] + low[4 * i + 3];
    taken[i] = less * (less < 128 ? (int32_t)((uint32_t)upper << 8) + lowest : upper);
    taken[16 + i] = less * lowest;
  }
}
