// Words of the product by tiles in plain C, bit for bit what tiles_amx.h's do: so that everything around them is tested where no AMX is.
// Numbers below 2^-126 count as zero, sums are rounded to even, and the elements of a step with even and with odd places are summed apart.

typedef struct plain_tile {
  size_t rows, bytes;
  uint8_t data[16][64];
} plain_tile;
/// The registers of a thread.
static _Thread_local plain_tile plain_tiles[8];

static void tiles_begin(const tile_shapes *shapes) {
  for (int i = 0; i < 8; i++) { plain_tiles[i] = (plain_tile){.rows = shapes->rows[i], .bytes = shapes->row_bytes[i]}; }
}
static void tiles_end(void) { memset(plain_tiles, 0, sizeof plain_tiles); }

static void tile_clear(int tile) { memset(plain_tiles[tile].data, 0, sizeof plain_tiles[tile].data); }
static void tile_load(int tile, const void *from, size_t stride) {
  plain_tile *t = &plain_tiles[tile];
  for (size_t r = 0; r < t->rows; r++) { memcpy(t->data[r], (const uint8_t *)from + r * stride, t->bytes); }
}
static void tile_store(void *to, size_t stride, int tile) {
  const plain_tile *t = &plain_tiles[tile];
  for (size_t r = 0; r < t->rows; r++) { memcpy((uint8_t *)to + r * stride, t->data[r], t->bytes); }
}

MT_INLINE float without_small(float a) { return __builtin_fabsf(a) < 0x1p-126f ? __builtin_copysignf(0, a) : a; }
MT_INLINE float plain_half(const uint8_t *row, size_t i) {
  uint16_t half;
  memcpy(&half, row + 2 * i, sizeof half);
  return without_small(float_from_bits((uint32_t)half << 16));
}

static void tile_multiply(int sums, int a, int b) {
  plain_tile *to = &plain_tiles[sums];
  const plain_tile *rows = &plain_tiles[a], *columns = &plain_tiles[b];
  for (size_t r = 0; r < to->rows; r++) {
    float even[16] = {0}, odd[16] = {0}, all[16];
    for (size_t pair = 0; pair < columns->rows; pair++) {
      const float first = plain_half(rows->data[r], 2 * pair), second = plain_half(rows->data[r], 2 * pair + 1);
      float first_of[16], second_of[16];
      for (size_t c = 0; c < 16; c++) {
        first_of[c] = plain_half(columns->data[pair], 2 * c);
        second_of[c] = plain_half(columns->data[pair], 2 * c + 1);
      }
      for (size_t c = 0; c < 16; c++) {
        even[c] = without_small(__builtin_fmaf(first, first_of[c], even[c]));
        odd[c] = without_small(__builtin_fmaf(second, second_of[c], odd[c]));
      }
    }
    memcpy(all, to->data[r], sizeof all);
    for (size_t c = 0; c < 16; c++) { all[c] = without_small(without_small(all[c]) + without_small(even[c] + odd[c])); }
    memcpy(to->data[r], all, to->bytes);
  }
}

MT_INLINE uint16_t rounded_half(float value) {
  const uint32_t bits = bits_of_float(without_small(value));
  if (value != value) { return (uint16_t)(bits >> 16 | 0x40); }
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static __m512i tile_round(vf low, vf high) {
  float numbers[32];
  uint16_t halves[32];
  v_store(numbers, low);
  v_store(numbers + 16, high);
  for (int i = 0; i < 32; i++) { halves[i] = rounded_half(numbers[i]); }
  return _mm512_loadu_si512(halves);
}
