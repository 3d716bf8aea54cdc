// The product by tiles for AMX; everything else of that form is form_avx512.c's. Built with MT_PLAIN_TILES it has its words in plain C.
#include "forms.h"

#if defined(__x86_64__)

#if MT_PLAIN_TILES
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)
#else
#pragma clang attribute push(__attribute__((target("amx-tile,amx-bf16,avx512bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), \
                             apply_to = function)
#endif

#include "vector_avx512.h"
#include "vector_x86.h"

#include "body_out.h"

#include "digits.h"

/// Weights are signed in bf16.
#define MT_SIGNED_BYTES 1
typedef __m256i bytes32;
#include "digits_x86.h"

#include "tile_steps.h"
#include "turn_sixteen.h"
#if MT_PLAIN_TILES
#include "tiles_plain.h"
#else
#include "tiles_amx.h"
#endif
#include "tile_panels.h"
#include "body_tiles.h"

void mt_amx_tiles(const mt_matmul_job *job, void *scratch) { tile_matmul(job, scratch); }

/// Two products of whole numbers, whose sums are exact in whatever order, and one of a tile with 8 pairs.
bool mt_amx_agrees(void) {
  uint16_t a[16][32], b[16][16][2];
  float sums[16][16];
  bool agree = true;
  for (int pairs = 16; pairs >= 8; pairs -= 8) {
    for (int i = 0; i < 512; i++) {
      a[i / 32][i % 32] = half_of_whole(i * 37 % 255 - 127);
      b[i / 32][i % 32 / 2][i % 2] = half_of_whole(i * 91 % 251 - 125);
    }
    const tile_shapes shapes = shapes_of(pairs);
    tiles_begin(&shapes);
    tile_clear(0);
    tile_load(4, a, sizeof *a);
    tile_load(5, b, sizeof *b);
    tile_multiply(0, 4, 5);
    tile_multiply(0, 4, 5);
    tile_store(sums, sizeof *sums, 0);
    tiles_end();
    for (int row = 0; row < 16; row++) {
      for (int column = 0; column < 16; column++) {
        float wanted = 0;
        for (int i = 0; i < 2 * pairs; i++) {
          wanted += 2 * float_from_bits((uint32_t)a[row][i] << 16) * float_from_bits((uint32_t)b[i / 2][column][i % 2] << 16);
        }
        agree = agree && sums[row][column] == wanted;
      }
    }
  }
  return agree;
}

#pragma clang attribute pop

#endif
