// Panels of quantised rows whose weights are whole numbers times a factor, less a least where the type has it: the types that can be summed
// by digits. Bytes are turned over, a quarter of what numbers would be, and become f32 beside the rows' factors. Nothing is fused: every
// number has the bits that body_dequant.h gives it. `pair_weights` and `run_factors` are digits_x86.h's, the words on bytes the form's.

#pragma STDC FP_CONTRACT OFF

enum {
  /// Rows that are turned over together: a byte of each fills 128 bits.
  whole_rows = 16,
  /// Elements of eight blocks, and groups of 16 of them; each group has one factor.
  whole_run = 32 * digit_run,
  whole_groups = whole_run / 16
};

/// Eight blocks of 16 rows.
typedef struct whole_part {
  int8_t numbers[whole_rows][whole_run];
  float factors[whole_rows][whole_groups], leasts[whole_rows][digit_run];
} whole_part __attribute__((aligned(64)));

/// Eight blocks of one row, at p.
MT_INLINE void read_whole(const mt_element_type type, const uint8_t *p, int8_t *numbers, float *factors, float *leasts) {
  __m256 of_blocks[2], least;
  run_factors(type, p, of_blocks, &least);
  _mm256_storeu_ps(factors, of_blocks[0]);
  if (digit_type_of(type).factors == 2) { _mm256_storeu_ps(factors + 8, of_blocks[1]); }
  if (digit_type_of(type).has_least) { _mm256_storeu_ps(leasts, least); }
#pragma clang loop unroll(full)
  for (int s = 0; s < digit_run; s += 2, numbers += 64) {
    bytes32 a, b;
    pair_weights(type, p, s, &a, &b);
    _mm256_storeu_si256((__m256i *)numbers, a);
    _mm256_storeu_si256((__m256i *)(numbers + 32), b);
  }
}

typedef void (*whole_function)(const uint8_t *p, int8_t *numbers, float *factors, float *leasts);

#define MT_WHOLE(name, type)                                                                                             \
  static __attribute__((noinline)) void whole_##name(const uint8_t *p, int8_t *numbers, float *factors, float *leasts) { \
    read_whole(type, p, numbers, factors, leasts);                                                                       \
  }
MT_EACH_DIGIT_TYPE(MT_WHOLE)

MT_INLINE whole_function whole_function_of(mt_element_type type) {
#define MT_WHOLE_CASE(name, type) \
  case type: return whole_##name;
  switch (type) {
    MT_EACH_DIGIT_TYPE(MT_WHOLE_CASE)
  default: return NULL;
  }
#undef MT_WHOLE_CASE
}

/// In each 128 bits byte r of vector c becomes byte c of vector r. Four times every byte moves to twice its place among the 256.
MT_INLINE void turn_bytes(vb *m) {
  for (int pass = 0; pass < 4; pass++) {
    vb next[16];
#pragma clang loop unroll(full)
    for (int r = 0; r < 8; r++) {
      next[2 * r] = vb_low(m[r], m[r + 8]);
      next[2 * r + 1] = vb_high(m[r], m[r + 8]);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; r++) { m[r] = next[r]; }
  }
}

/// Writes the first `count` elements of each row of a part, from element `start` of the panel on.
MT_INLINE void place_part(float *out, size_t steps, size_t start, size_t count, const whole_part *part, digit_type t) {
  float factors[whole_groups][whole_rows] __attribute__((aligned(64))), leasts[digit_run][whole_rows] __attribute__((aligned(64)));
  for (size_t r = 0; r < whole_rows; r += 4) {
    for (size_t g = 0; g < (size_t)digit_run * t.factors; g += 4) {
      turn_four(&factors[g][r], whole_rows, &part->factors[r][g], &part->factors[r + 1][g], &part->factors[r + 2][g], &part->factors[r + 3][g]);
    }
    for (size_t g = 0; t.has_least && g < digit_run; g += 4) {
      turn_four(&leasts[g][r], whole_rows, &part->leasts[r][g], &part->leasts[r + 1][g], &part->leasts[r + 2][g], &part->leasts[r + 3][g]);
    }
  }
  for (size_t at = 0; at < count; at += sizeof(vb)) {
    vb m[16];
    int8_t turned[16][sizeof(vb)] __attribute__((aligned(64)));
    for (size_t r = 0; r < 16; r++) { m[r] = vb_load(part->numbers[r] + at); }
    turn_bytes(m);
    for (size_t c = 0; c < 16; c++) { vb_store(turned[c], m[c]); }
    for (size_t g = 0; g < sizeof(vb) / 16 && at + 16 * g < count; g++) {
      const size_t group = at / 16 + g;
      for (size_t half = 0; half < whole_rows; half += lanes) {
        const vf factor = v_load(factors[t.factors == 1 ? group / 2 : group] + half);
        const vf least = t.has_least ? v_load(leasts[group / 2] + half) : v_set(0);
        for (size_t c = 0; c < 16; c++) {
          vf value = v_mul(factor, v_from_bytes(turned[c] + 16 * g + half));
          if (t.has_least) { value = v_sub(value, least); }
          v_store(place_of(out, panel_width, steps, start + 16 * group + c) + half, value);
        }
      }
    }
  }
}

/// A panel of the rows [row, row + rows) of a matrix.
static void whole_panel(float *restrict out, const mt_matrix *w, size_t row, size_t rows) {
  const digit_type t = digit_type_of(w->type);
  const whole_function read = whole_function_of(w->type);
  const size_t steps = steps_of(w->depth);
  for (size_t first = 0; first < panel_width; first += whole_rows, out += whole_rows) {
    whole_part part;
    const size_t stored = rows < first ? 0 : rows - first < whole_rows ? rows - first : whole_rows;
    if (stored < whole_rows) { memset(&part, 0, sizeof part); }
    const uint8_t *base = (const uint8_t *)w->base + (row + first) * w->row_bytes;
    for (size_t start = 0, offset = 0; start < w->depth; start += whole_run, offset += t.bytes) {
      const size_t count = w->depth - start < whole_run ? w->depth - start : whole_run;
      for (size_t r = 0; r < stored; r++) {
        const uint8_t *p = base + r * w->row_bytes + offset;
        uint8_t last[digit_run * 34];
        if (count < whole_run) {
          memset(last, 0, sizeof last);
          memcpy(last, p, count / 32 * t.bytes / digit_run);
          p = last;
        }
        read(p, part.numbers[r], part.factors[r], part.leasts[r]);
      }
      place_part(out, steps, start, count, &part, t);
    }
  }
}

#pragma STDC FP_CONTRACT DEFAULT
