// How tokens lie for units that multiply signed digits of 8 bits with unsigned weights of 8 bits: a whole number is three digits. What the
// weights are too large by is taken away from each sum of four, which is then exact again.

#define MT_SIGNED_BYTES 0
/// [highest digits, middle ones, lowest ones: 64 of 8 bits each; what is taken from the sums: 16 of 32 bits, twice]
enum { places_bytes = 320 };

MT_INLINE void place_digits(uint8_t *places, const int32_t *q, int less) {
  int8_t *digits = (int8_t *)places;
  int32_t *taken = (int32_t *)(places + 192);
  for (int i = 0; i < 16; i++) {
    int32_t upper = 0, lowest = 0;
    for (int j = 4 * i; j < 4 * i + 4; j++) {
      const int8_t low = (int8_t)(q[j] & 255);
      const int32_t rest = (q[j] - low) >> 8;
      const int8_t middle = (int8_t)(rest & 255);
      digits[j] = (int8_t)((rest - middle) >> 8);
      digits[64 + j] = middle;
      digits[128 + j] = low;
      upper += rest;
      lowest += low;
    }
    // Sums of weights of 8 bits have more than 32; their upper part is taken apart from the lowest digit's.
    taken[i] = less * (less < 128 ? (int32_t)((uint32_t)upper << 8) + lowest : upper);
    taken[16 + i] = less * lowest;
  }
}

