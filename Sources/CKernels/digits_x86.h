// Which whole numbers are the weights of a block, and its factor? For the x86 forms; bytes are signed, or as much too large as
// `digit_type_of` says, as the form's words want them.

/// Bytes as the form's words want them.
MT_INLINE bytes32 by_less(bytes32 bytes, int less) {
  return MT_SIGNED_BYTES ? _mm256_sub_epi8(bytes, _mm256_set1_epi8((char)less)) : bytes;
}
MT_INLINE bytes32 halves_of(__m128i bytes) {
  return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
}
MT_INLINE bytes32 entries_of(const int8_t *table, int less, __m128i bytes) {
  const __m128i entries = _mm_loadu_si128((const __m128i *)table);
  const __m128i wanted = MT_SIGNED_BYTES ? entries : _mm_add_epi8(entries, _mm_set1_epi8((char)less));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(wanted), halves_of(bytes));
}
MT_INLINE bytes32 load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
MT_INLINE __m128i load16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }

/// The blocks s and s + 1 of a run that begins at p, s even.
MT_INLINE void pair_weights(mt_element_type type, const uint8_t *p, int s, bytes32 *a, bytes32 *b) {
  const __m256i nibble = _mm256_set1_epi8(15);
  switch (type) {
  case MT_Q4_0:
    *a = by_less(halves_of(load16(p + s * 18 + 2)), 8);
    *b = by_less(halves_of(load16(p + s * 18 + 20)), 8);
    return;
  case MT_IQ4_NL:
    *a = entries_of(iq4_values, 128, load16(p + s * 18 + 2));
    *b = entries_of(iq4_values, 128, load16(p + s * 18 + 20));
    return;
  case MT_IQ4_XS:
    *a = entries_of(iq4_values, 128, load16(p + 8 + s * 16));
    *b = entries_of(iq4_values, 128, load16(p + 24 + s * 16));
    return;
  case MT_MXFP4:
    *a = entries_of(twice_e2m1, 12, load16(p + s * 17 + 1));
    *b = entries_of(twice_e2m1, 12, load16(p + s * 17 + 18));
    return;
  case MT_Q8_0: {
    const __m256i sign = _mm256_set1_epi8(MT_SIGNED_BYTES ? 0 : (char)0x80);
    *a = _mm256_xor_si256(load32(p + s * 34 + 2), sign);
    *b = _mm256_xor_si256(load32(p + s * 34 + 36), sign);
    return;
  }
  case MT_Q4_K: {
    const __m256i bytes = load32(p + 16 + s * 16);
    *a = _mm256_and_si256(bytes, nibble);
    *b = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    return;
  }
  case MT_Q5_K: {
    const __m256i bytes = load32(p + 48 + s * 16), fifth = load32(p + 16), one = _mm256_set1_epi8(16);
    // Bit s and bit s + 1 of each byte, moved to place 4.
    const __m256i fa = s < 4 ? _mm256_slli_epi16(fifth, 4 - s) : _mm256_srli_epi16(fifth, s - 4);
    const __m256i fb = s < 3 ? _mm256_slli_epi16(fifth, 3 - s) : _mm256_srli_epi16(fifth, s - 3);
    *a = _mm256_or_si256(_mm256_and_si256(bytes, nibble), _mm256_and_si256(fa, one));
    *b = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble), _mm256_and_si256(fb, one));
    return;
  }
  default: {  // MT_Q6_K: blocks 0 and 1 of four have the low halves of 64 bytes, 2 and 3 the high ones
    const int part = s / 4, shift = s % 4 * 2;
    const __m256i low = load32(p + part * 64), next = load32(p + part * 64 + 32), more = load32(p + 128 + part * 32);
    const __m256i two = _mm256_set1_epi8(0x30);
    const __m256i ha = shift == 0 ? _mm256_slli_epi16(more, 4) : more;
    const __m256i hb = shift == 0 ? _mm256_slli_epi16(more, 2) : _mm256_srli_epi16(more, 2);
    const __m256i la = shift == 0 ? low : _mm256_srli_epi16(low, 4), lb = shift == 0 ? next : _mm256_srli_epi16(next, 4);
    *a = by_less(_mm256_or_si256(_mm256_and_si256(la, nibble), _mm256_and_si256(ha, two)), 32);
    *b = by_less(_mm256_or_si256(_mm256_and_si256(lb, nibble), _mm256_and_si256(hb, two)), 32);
  }
  }
}

#ifdef MT_WIDE_PAIRS
/// The halves of the 16 bytes of two blocks: low ones, then high ones.
MT_INLINE byte_pair halves_of_two(const uint8_t *p, int apart) {
  const __m512i all = joined_pair(_mm256_broadcastsi128_si256(load16(p)), _mm256_broadcastsi128_si256(load16(p + apart)));
  const __m512i places = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4);
  return _mm512_and_si512(_mm512_srlv_epi32(all, places), _mm512_set1_epi8(15));
}
MT_INLINE byte_pair entries_of_two(const int8_t *table, int less, byte_pair places) {
  const __m128i wanted = _mm_add_epi8(_mm_loadu_si128((const __m128i *)table), _mm_set1_epi8((char)less));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(wanted), places);
}

/// Vector v of a run that begins at p.
MT_INLINE byte_pair pair_of(mt_element_type type, const uint8_t *p, int v) {
  const __m512i nibble = _mm512_set1_epi8(15);
  const bool is_upper = v % 2 == 1;
  switch (type) {
  case MT_Q4_K:
  case MT_Q5_K: {  // 64 bytes have two blocks in their low halves, and the two next to these in the high ones
    const __m512i bytes = _mm512_loadu_si512(p + (type == MT_Q4_K ? 16 : 48) + v / 2 * 64);
    const __m512i halves = _mm512_and_si512(is_upper ? _mm512_srli_epi16(bytes, 4) : bytes, nibble);
    if (type == MT_Q4_K) { return halves; }
    // Bit s of each byte and bit s + 2, moved to place 4.
    const int s = (int)first_block((size_t)v, 2);
    const __m256i fifth = load32(p + 16);
    const __m512i all = joined_pair(fifth, _mm256_srli_epi16(fifth, 2));
    const __m512i moved = s < 4 ? _mm512_slli_epi16(all, (unsigned)(4 - s)) : _mm512_srli_epi16(all, (unsigned)(s - 4));
    return _mm512_or_si512(halves, _mm512_and_si512(moved, _mm512_set1_epi8(16)));
  }
  case MT_Q6_K: {  // 64 bytes have the vectors 0 and 1 of two, and 32 what is above
    const __m512i bytes = _mm512_loadu_si512(p + v / 2 * 64);
    const __m256i more = load32(p + 128 + v / 2 * 32);
    const __m512i all = joined_pair(more, _mm256_srli_epi16(more, 2));
    const __m512i halves = _mm512_and_si512(is_upper ? _mm512_srli_epi16(bytes, 4) : bytes, nibble);
    return _mm512_or_si512(halves, _mm512_and_si512(is_upper ? all : _mm512_slli_epi16(all, 4), _mm512_set1_epi8(0x30)));
  }
  case MT_Q8_0:
    return _mm512_xor_si512(joined_pair(load32(p + v * 68 + 2), load32(p + v * 68 + 36)), _mm512_set1_epi8((char)0x80));
  case MT_Q4_0: return halves_of_two(p + v * 36 + 2, 18);
  case MT_IQ4_NL: return entries_of_two(iq4_values, 128, halves_of_two(p + v * 36 + 2, 18));
  case MT_IQ4_XS: return entries_of_two(iq4_values, 128, halves_of_two(p + v * 32 + 8, 16));
  default: return entries_of_two(twice_e2m1, 12, halves_of_two(p + v * 34 + 1, 17));  // MT_MXFP4
  }
}
#elif defined(MT_PAIRS_OF_BLOCKS)
/// Vector v of a run that begins at p.
MT_INLINE byte_pair pair_of(mt_element_type type, const uint8_t *p, int v) {
  bytes32 a, b, c, d;
  if (digit_type_of(type).apart == 1) {
    pair_weights(type, p, 2 * v, &a, &b);
    return joined_pair(a, b);
  }
  pair_weights(type, p, v / 2 * 4, &a, &b);
  pair_weights(type, p, v / 2 * 4 + 2, &c, &d);
  return v % 2 == 0 ? joined_pair(a, c) : joined_pair(b, d);
}
#endif

/// The factors of the eight blocks that begin at p, two a block for Q6_K, and what is taken from each product.
MT_INLINE void run_factors(mt_element_type type, const uint8_t *p, __m256 *factors, __m256 *leasts) {
  switch (type) {
  case MT_Q4_K:
  case MT_Q5_K: {
    uint32_t u[3];
    memcpy(u, p + 4, sizeof u);
    const uint64_t scales = (u[0] & 0x3f3f3f3f) | (uint64_t)((u[2] & 0x0f0f0f0f) | (u[0] >> 6 & 0x03030303) << 4) << 32;
    const uint64_t less = (u[1] & 0x3f3f3f3f) | (uint64_t)((u[2] >> 4 & 0x0f0f0f0f) | (u[1] >> 6 & 0x03030303) << 4) << 32;
    uint32_t both_d;
    memcpy(&both_d, p, sizeof both_d);
    const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128((int)both_d));
    *factors = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)scales))), _mm256_broadcastss_ps(d));
    *leasts = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)less))),
                            _mm256_broadcastss_ps(_mm_movehdup_ps(d)));
    return;
  }
  case MT_Q6_K: {
    const __m128i scales = load16(p + 192);
    const __m256 d = _mm256_set1_ps(half_at(p + 208));
    factors[0] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(scales)), d);
    factors[1] = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(scales, scales))), d);
    return;
  }
  case MT_IQ4_XS: {
    // Four low bits of eight scales in 4 bytes, two high bits of each in 16 bits.
    uint32_t low;
    uint16_t high;
    memcpy(&low, p + 4, sizeof low);
    memcpy(&high, p + 2, sizeof high);
    const __m256i places = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28), twos = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i l = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32((int)low), places), _mm256_set1_epi32(15));
    const __m256i h = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(high), twos), _mm256_set1_epi32(3));
    const __m256i scales = _mm256_sub_epi32(_mm256_or_si256(l, _mm256_slli_epi32(h, 4)), _mm256_set1_epi32(32));
    *factors = _mm256_mul_ps(_mm256_cvtepi32_ps(scales), _mm256_set1_ps(half_at(p)));
    return;
  }
  case MT_MXFP4: {
    float powers[8];
    for (int s = 0; s < 8; s++) { powers[s] = half_power(p[s * 17]); }
    *factors = _mm256_loadu_ps(powers);
    return;
  }
  default: {  // f16 before each block; put together by the units of whole numbers, which have little to do
    const size_t bytes = type == MT_Q8_0 ? 34 : 18;
    uint64_t halves[2] = {0};
    for (size_t s = 0; s < 8; s++) {
      uint16_t half;
      memcpy(&half, p + s * bytes, sizeof half);
      halves[s / 4] |= (uint64_t)half << 16 * (s % 4);
    }
    *factors = _mm256_cvtph_ps(_mm_set_epi64x((int64_t)halves[1], (int64_t)halves[0]));
  }
  }
}
