// Which whole numbers stand for a row of activations? The half of a product by digits that concerns the token, the same in every form:
// include/kernels.h has the definition (Sums by digits). body_digits.h has the half that concerns the weights.

#include "body_bits.h"

#pragma STDC FP_CONTRACT OFF

enum {
  /// The largest whole number: three signed digits of 8 bits.
  largest_digit_number = 127 * 65536 + 127 * 256 + 127,
  /// Blocks whose factors are found together.
  digit_run = 8
};

/// A number for each lane of a block, or for each block of a run.
typedef float eight __attribute__((vector_size(32)));

/// The sum of eight numbers: halves first.
static inline float fold_eight(const float *a) {
  const float b = a[0] + a[4], c = a[1] + a[5], d = a[2] + a[6], e = a[3] + a[7];
  return (b + d) + (c + e);
}

/// How the weights of a type become whole numbers: 0 for a type without.
typedef struct digit_type {
  uint8_t less;      // what is taken from a stored number to have the weight
  bool has_least;    // a block has a number that is taken from each of its products
  uint8_t factors;   // of a block: 1, or 2 where each half has its own
  uint16_t bytes;    // of eight blocks of 32 elements
  uint8_t apart;     // the numbers of two blocks that a vector holds: 2 where the one next to a block has the other halves of the same bytes
} digit_type;

static inline digit_type digit_type_of(mt_element_type type) {
  switch (type) {
  case MT_Q4_0: return (digit_type){8, false, 1, 8 * 18, 1};
  case MT_Q8_0: return (digit_type){128, false, 1, 8 * 34, 1};
  case MT_IQ4_NL: return (digit_type){128, false, 1, 8 * 18, 1};
  case MT_MXFP4: return (digit_type){12, false, 1, 8 * 17, 1};
  case MT_Q4_K: return (digit_type){0, true, 1, 144, 2};
  case MT_Q5_K: return (digit_type){0, true, 1, 176, 2};
  case MT_Q6_K: return (digit_type){32, false, 2, 210, 1};
  case MT_IQ4_XS: return (digit_type){128, false, 1, 136, 1};
  default: return (digit_type){0};
  }
}

/// The same for sums by blocks. Weights of four bits are taken around 0: the sum of a block then fits into 32 bits (8 x 8355711 x 32 < 2^31),
/// and what they are smaller by is part of the least.
typedef struct block_type {
  uint8_t less, factors;
  bool has_least, is_narrow;
} block_type;

static inline block_type block_type_of(mt_element_type type) {
  const digit_type t = digit_type_of(type);
  return (block_type){type == MT_Q4_K ? 8 : t.less, t.factors, t.has_least, type == MT_Q4_K || type == MT_Q4_0};
}

/// The first block of vector v of a run; the second is `apart` blocks on.
static inline size_t first_block(size_t v, size_t apart) { return v / apart * 2 * apart + v % apart; }

/// MAKE(name, type) for each of them: a function, or the case that chooses it.
#define MT_EACH_DIGIT_TYPE(MAKE)                                                  \
  MAKE(q4_0, MT_Q4_0) MAKE(q8_0, MT_Q8_0) MAKE(q4_k, MT_Q4_K) MAKE(q5_k, MT_Q5_K) \
  MAKE(q6_k, MT_Q6_K) MAKE(iq4_nl, MT_IQ4_NL) MAKE(iq4_xs, MT_IQ4_XS) MAKE(mxfp4, MT_MXFP4)

/// The whole numbers of a block of 32 activations, their sum, and what 1 stands for.
static inline float whole_numbers(int32_t *restrict q, int32_t *restrict sum, const float *restrict x) {
  uint32_t largest = 0;
#pragma clang loop unroll(disable)
  for (int i = 0; i < 32; i++) {
    const uint32_t bits = bits_of_float(x[i]) & 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  if (largest >= 0x7f800000) {
    memset(q, 0, 32 * sizeof *q);
    *sum = 0;
    return NAN;
  }
  // The largest becomes 2^22 to 2^23, and half of that where it would not fit; below 2^-104 the unit stays 2^-126.
  int power = 22 + 127 - (int)(largest >> 23);
  power = power > 126 ? 126 : power;
  float up = float_from_bits((uint32_t)(power + 127) << 23);
  if (float_from_bits(largest) * up >= largest_digit_number + 0.5f) {
    power -= 1;
    up = float_from_bits((uint32_t)(power + 127) << 23);
  }
  int32_t total = 0;
#pragma clang loop unroll(disable)
  for (int i = 0; i < 32; i++) {
    const int32_t whole = (int32_t)__builtin_rintf(x[i] * up);
    q[i] = whole;
    total += whole;
  }
  *sum = total;
  return float_from_bits((uint32_t)(127 - power) << 23);
}

#pragma STDC FP_CONTRACT DEFAULT
