// Rows become columns, for AVX-512: what tiles and blocks lay side by side.

/// Sixteen rows of sixteen elements of 32 bits become columns.
MT_INLINE void turn_sixteen(__m512i *rows) {
  __m512i a[16], b[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  // Part l of b[i + j] now has column 4 l + j of the rows i to i + 3.
#pragma clang loop unroll(full)
  for (int j = 0; j < 4; j++) {
    const __m512i upper = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88), upper_odd = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd);
    const __m512i lower = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88), lower_odd = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);
    rows[j] = _mm512_shuffle_i32x4(upper, lower, 0x88);
    rows[4 + j] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0x88);
    rows[8 + j] = _mm512_shuffle_i32x4(upper, lower, 0xdd);
    rows[12 + j] = _mm512_shuffle_i32x4(upper_odd, lower_odd, 0xdd);
  }
}
