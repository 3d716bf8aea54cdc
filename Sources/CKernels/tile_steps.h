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
