// Folding by carry-less multiplication: a block of 128 bits moves ahead in the text by two products with powers of x modulo the polynomial.
// - Source: Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009, reflected form; constants of
//   polynomial 0x04C11DB7.
#include "checksum.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("sse4.1,pclmul")))

/* `x` moved ahead by the distance that `powers` stands for, onto `next`. */
TARGET static inline __m128i folded(__m128i x, __m128i powers, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(x, powers, 0x00);
  const __m128i high = _mm_clmulepi64_si128(x, powers, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

TARGET static inline __m128i block(const uint8_t *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }

TARGET static size_t fold(uint32_t *crc, const uint8_t *bytes, size_t count) {
  const size_t taken = count & ~(size_t)15;
  const __m128i by64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const uint8_t *const end = bytes + taken;
  __m128i a = _mm_xor_si128(block(bytes), _mm_cvtsi32_si128((int)~*crc));
  __m128i b = block(bytes + 16), c = block(bytes + 32), d = block(bytes + 48);
  for (bytes += 64; end - bytes >= 64; bytes += 64) {
    a = folded(a, by64, block(bytes));
    b = folded(b, by64, block(bytes + 16));
    c = folded(c, by64, block(bytes + 32));
    d = folded(d, by64, block(bytes + 48));
  }
  a = folded(folded(folded(a, by16, b), by16, c), by16, d);
  for (; end - bytes >= 16; bytes += 16) a = folded(a, by16, block(bytes));

  /* 128 bits to 64, then Barrett's reduction to 32. */
  const __m128i low32 = _mm_setr_epi32(~0, 0, ~0, 0);
  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by16, 0x10));
  const __m128i by4 = _mm_set_epi64x(0, 0x0163cd6124);
  a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low32), by4, 0x00));
  const __m128i polynomial = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(a, low32), polynomial, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, low32), polynomial, 0x00);
  *crc = ~(uint32_t)_mm_extract_epi32(_mm_xor_si128(a, quotient), 1);
  return taken;
}

size_t moetop_crc32_blocks(uint32_t *crc, const uint8_t *bytes, size_t count) {
  if (count < 64 || !__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return 0;
  return fold(crc, bytes, count);
}

#else

size_t moetop_crc32_blocks(uint32_t *crc, const uint8_t *bytes, size_t count) {
  (void)crc, (void)bytes, (void)count;
  return 0;
}

#endif
