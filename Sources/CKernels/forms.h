// Internal: the tables of the forms, and the sizes all forms share.
#ifndef MOETOP_FORMS_H
#define MOETOP_FORMS_H

#include "include/kernels.h"

#include <math.h>
#include <string.h>

extern const mt_kernels mt_scalar_kernels;
#if defined(__x86_64__)
extern const mt_kernels mt_avx2_kernels;
extern const mt_kernels mt_avxvnni_kernels;
extern const mt_kernels mt_avx512_kernels;
extern const mt_kernels mt_avx512vnni_kernels;
extern const mt_kernels mt_avx512amx_kernels;
/// Products by digits that more than one form uses.
void mt_avx2_digits(const mt_matmul_job *job, void *scratch);
void mt_avxvnni_digits(const mt_matmul_job *job, void *scratch);
void mt_vnni_digits(const mt_matmul_job *job, void *scratch);
/// Products by blocks.
void mt_vnni_blocks(const mt_matmul_job *job, void *scratch);
void mt_vnni_lay(float *row, const mt_matrix *w);
/// Products by tiles, and whether the machine's tiles multiply as they should.
void mt_amx_tiles(const mt_matmul_job *job, void *scratch);
bool mt_amx_agrees(void);
#elif defined(__aarch64__)
extern const mt_kernels mt_neon_kernels;
extern const mt_kernels mt_neondot_kernels;
void mt_neondot_digits(const mt_matmul_job *job, void *scratch);
#endif

/// Whether a form with such limits takes panels.
bool mt_panels_pay(const mt_panel_limits *limits, mt_element_type type, size_t tokens);

/// The tables of types that look their numbers up, as tools/make_iq_tables.py writes them: magnitudes, and -1, 0 or 1 of `iq1`.
struct mt_lookup_tables {
  uint8_t signs[128];  // of eight numbers, a bit each
  uint8_t iq2_xxs[256][8], iq2_xs[512][8], iq2_s[1024][8];
  uint8_t iq3_xxs[256][4], iq3_s[512][4];
  int8_t iq1[2048][8];
};

/// Floats from one widened weight row to the next: whole cache lines, and never a multiple of 4 KiB, so that the
/// rows of a tile do not compete for the same cache sets.
static inline size_t mt_panel_stride(size_t depth) {
  size_t stride = (depth + 15) / 16 * 16;
  return stride % 1024 == 0 ? stride + 16 : stride;
}

/// Weight rows that are widened at a time for some tokens: 32 KiB of f32, the first-level cache, but 32 rows where these stay within
/// 192 KiB, so that tokens need not be read again too often.
static inline size_t mt_panel_rows(size_t depth) {
  size_t row_bytes = mt_panel_stride(depth ? depth : 1) * sizeof(float);
  size_t first_level = (size_t)32 * 1024 / row_bytes, second_level = (size_t)192 * 1024 / row_bytes;
  size_t rows = (first_level > 32 ? first_level : second_level < 32 ? second_level : 32) / 8 * 8;
  return rows < 8 ? 8 : rows > 256 ? 256 : rows;
}

/// Weight rows that are turned over at a time where the file has inputs as rows: two cache lines of halves where so many rows stay
/// within 1 MiB, and whole panels of every form.
static inline size_t mt_turned_rows(size_t depth) { return depth > 4096 ? 32 : 64; }

/// Weight rows of a panel for few tokens: about 32 KiB as stored.
static inline size_t mt_small_panel_rows(size_t row_bytes) {
  size_t rows = (size_t)32 * 1024 / (row_bytes ? row_bytes : 1) / 8 * 8;
  return rows < 8 ? 8 : rows > 256 ? 256 : rows;
}

/// Tokens against which panels are used before they are made again: about 2 MiB of them.
static inline size_t mt_token_block(size_t depth) {
  size_t tokens = (size_t)2048 * 1024 / sizeof(float) / (depth ? depth : 1);
  return tokens < 48 ? 48 : tokens > 1008 ? 1008 : tokens;
}

/// Where the parts of a product by tiles lie in its scratch, in bytes from its beginning. A step is 32 elements of the depth.
typedef struct mt_tile_layout {
  size_t steps;       // of the depth
  size_t tokens;      // that are laid out at once, a multiple of 32; their digits lie at 0: [tokens / 16, steps, 3 digits, 1 KiB]
  size_t totals;      // f32 [tokens / 16, steps, 16]: sums of a token's steps
  size_t units;       // f32 [tokens]: what 1 stands for in a token's digits
  size_t panel;       // bf16 [3 digits, 32 rows], `row_bytes` from one row to the next
  size_t row_bytes;
  size_t factors;     // f32 [2 * steps, 32 rows]
  size_t leasts;      // f32 [steps, 32 rows]
  size_t row;         // a weight row as f32, or the scratch of one output in f32
  size_t bytes;
} mt_tile_layout;

static inline mt_tile_layout mt_tile_layout_of(size_t depth) {
  mt_tile_layout at = {.steps = (depth + 31) / 32};
  // About 1 MiB of digits, half a second-level cache.
  const size_t fit = (size_t)1024 * 1024 / 192 / (at.steps ? at.steps : 1) / 32 * 32, stored = (at.steps + 7) / 8 * 8;
  at.tokens = fit < 64 ? 64 : fit > 512 ? 512 : fit;
  // Never a multiple of 4 KiB, so that the rows of a tile do not compete for the same cache sets.
  at.row_bytes = stored * 64 % 4096 == 0 ? stored * 64 + 64 : stored * 64;
  at.totals = at.tokens * at.steps * 192;
  at.units = at.totals + at.tokens * at.steps * sizeof(float);
  at.panel = at.units + at.tokens * sizeof(float);
  at.factors = at.panel + 3 * 32 * at.row_bytes;
  at.leasts = at.factors + 2 * 32 * stored * sizeof(float);
  at.row = at.leasts + 32 * stored * sizeof(float);
  at.bytes = at.row + (mt_panel_stride(depth) + 32) * sizeof(float);
  return at;
}

/// Where the parts of a product by blocks lie in its scratch, in bytes. A chunk is that many blocks of the depth.
typedef struct mt_block_layout {
  size_t blocks;  // of the depth
  size_t tokens;  // that are laid out at once, from 0 on: [chunk, token, block of the chunk]
  size_t sums;    // [token, 32 rows] floats
  size_t panels;  // 32 rows of a chunk
  size_t bytes;
} mt_block_layout;
enum { mt_laid_block_bytes = 128, mt_chunk_blocks = 16, mt_chunk_panel_bytes = 2 * 2 * (8 * 32 * 16 + 16 * 16 * 4) };

static inline mt_block_layout mt_block_layout_of(size_t depth) {
  const size_t blocks = depth / 32, laid = (blocks + mt_chunk_blocks - 1) / mt_chunk_blocks * mt_chunk_blocks * mt_laid_block_bytes;
  // About 800 KiB of tokens, most of a second-level cache.
  const size_t fit = laid ? (size_t)800 * 1024 / laid : 512, tokens = fit < 12 ? 12 : fit > 512 ? 512 : fit;
  const size_t sums = tokens * laid, panels = sums + tokens * 32 * sizeof(float);
  return (mt_block_layout){blocks, tokens, sums, panels, panels + mt_chunk_panel_bytes};
}

/// Whether the hardware reads ahead in rows over the ends of pages by itself.
bool mt_rows_are_followed(void);

/// Floats of a row or a token in a panel: whole vectors of every form.
static inline size_t mt_whole_steps(size_t depth) { return (depth + 15) / 16 * 16; }

/// Floats between the lanes of a panel or tile: a cache line. And all of these in scratch: of the panels of 64 rows that are turned over at
/// a time, and of the tiles of tokens; 16 lanes at most.
enum { mt_lane_gap = 16 };
static inline size_t mt_lane_gaps(size_t depth) { return (64 / 8 + mt_token_block(depth) / 3 + 1) * 16 * mt_lane_gap; }

/// Score columns of one query row: whole vectors, so that lane = key index modulo 16 for every query.
static inline size_t mt_score_stride(size_t keys) { return (keys + 15) / 16 * 16 + 16; }

/// Query rows whose scores are held at once: whole tiles of every form; half of them where only so few fit into the second-level cache, and
/// all again where even these do not, as keys and values are then read from memory once for each such block.
enum { mt_most_query_rows = 48 };
static inline size_t mt_query_rows(size_t keys) { return keys > 2560 && keys <= 10240 ? 24 : mt_most_query_rows; }

/// The keys [begin, end) that token t of an attention job sees.
static inline void mt_visible_keys(const mt_attention_job *job, size_t t, size_t *begin, size_t *end) {
  size_t position = job->first_position + t;
  *end = job->causal && position + 1 < job->keys ? position + 1 : job->keys;
  *begin = job->window > 0 && position + 1 > job->window ? position + 1 - job->window : 0;
  if (*begin > *end) { *begin = *end; }
}

/// What is added to the scores of token t and query head h, by key; NULL where nothing is.
static inline const float *mt_bias_row(const mt_attention_job *job, size_t t, size_t h) {
  return job->distance_bias ? job->distance_bias + h * job->bias_head_stride - (job->first_position + t) : NULL;
}

#endif
