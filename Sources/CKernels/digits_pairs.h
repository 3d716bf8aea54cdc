// A block in a vector of 256 bits: the sums of the two chains of blocks apart. `block_sums` is the including form's, the
// digits of the second block of a pair begin `second_block` bytes behind those of the first.

typedef struct digit_sums {
  vf first, second;
} digit_sums;
/// Weights of two blocks, one of each chain.
typedef struct byte_pair {
  bytes32 first, second;
} byte_pair;
MT_INLINE byte_pair joined_pair(bytes32 first, bytes32 second) { return (byte_pair){first, second}; }

#define MT_PAIRS_OF_BLOCKS 1

MT_INLINE digit_sums no_sums(void) { return (digit_sums){_mm256_setzero_ps(), _mm256_setzero_ps()}; }

/// The factors of eight blocks, one or two a block. Taken from memory, a factor is spread over the lanes by the load alone.
typedef struct run_scale {
  vf factors[2];
} run_scale;
MT_INLINE run_scale one_a_block(vf factors) {
  run_scale scale;
  scale.factors[0] = factors;
  __asm__("" : "+m"(scale.factors[0]));
  return scale;
}
MT_INLINE run_scale two_a_block(vf first, vf second) {
  run_scale scale = {{first, second}};
  __asm__("" : "+m"(scale));
  return scale;
}

/// Of block s.
MT_INLINE vf block_factors(const run_scale *scale, int s, int count) {
  const float *factors = (const float *)scale->factors + s * count;
  return count == 1 ? _mm256_broadcast_ss(factors) : _mm256_set_m128(_mm_broadcast_ss(factors + 1), _mm_broadcast_ss(factors));
}

/// Vector v of a run.
MT_INLINE void add_pair(digit_sums *sums, byte_pair w, digit_type t, const uint8_t *places, const run_scale *scale, int v) {
  const int s = (int)first_block((size_t)v, t.apart);
  sums->first = v_fma(block_sums(w.first, t.less, places), block_factors(scale, s, t.factors), sums->first);
  sums->second = v_fma(block_sums(w.second, t.less, places + second_block), block_factors(scale, s + t.apart, t.factors), sums->second);
}

MT_INLINE __m256 both(digit_sums sums) { return _mm256_add_ps(sums.first, sums.second); }
