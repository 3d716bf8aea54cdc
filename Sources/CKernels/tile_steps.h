// How tiles are laid out: their shapes, and what is laid across.

enum {
  /// Rows of weights in a panel, and tokens that meet it at once: two tiles each.
  tile_side = 16,
  tile_pair = 2 * tile_side,
  /// Elements of a step of the depth, two a row of a token tile, and its digits in a token's layout.
  step_elements = 32,
  token_digits = 3,
  /// bf16 numbers of a tile.
  tile_halves = tile_side * step_elements
};

/// What the machine wants to know of its tiles, in its own layout.
typedef struct tile_shapes {
  uint8_t palette, start_row, unused[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_shapes;

/// Tiles 0 to 3 hold sums, 4 and those behind it the two sides of a product over so many pairs of elements: weights, then tokens. Where steps are
/// whole, 5 holds weights or tokens alike.
MT_INLINE tile_shapes shapes_of(int pairs) {
  tile_shapes shapes = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    shapes.row_bytes[i] = (uint16_t)(i == 4 ? 4 * pairs : 64);
    shapes.rows[i] = (uint8_t)(i > 4 ? pairs : tile_side);
  }
  return shapes;
}

/// A whole number of at most 8 bits as bf16.
MT_INLINE uint16_t half_of_whole(int number) { return (uint16_t)(bits_of_float((float)number) >> 16); }

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
