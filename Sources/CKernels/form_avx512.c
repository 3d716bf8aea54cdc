// The form for AVX-512: F, BW, VL and DQ, which came together with Skylake servers. The bodies are shared; only the words differ.
#include "forms.h"

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)

#define MT_WIDE_TILES 1

#include "vector_avx512.h"
#include "vector_x86.h"

#include "body_math.h"
#include "body_dequant.h"
#include "body_read.h"
#include "body_rows.h"

#include "body_out.h"

#include "digits.h"
#define MT_HAS_WHOLE_NUMBERS 1
#define MT_SIGNED_BYTES 1
typedef __m256i bytes32;
#include "digits_x86.h"

#include "body_matmul.h"
#include "body_panels.h"
static const mt_panel_limits panel_limits = {.halves = 16, .floats = 48, .others = 48, .unless_tiles_suffice = true};
#include "body_columns.h"

#include "body_attention.h"

#pragma clang attribute pop

#define MT_TABLE(at, ...)                                                                                                 \
  {                                                                                                                       \
    .level = at, .panels = &panel_limits, .matmul = matmul, .attention = attention, .convert = convert,                   \
    .read_row = read_row, .rms_norm = rms_norm, .layer_norm = layer_norm, .rope = rope, .activate = activate,             \
    .softmax = softmax, .logits_summary = logits_summary, .exp = exp_row, .sigmoid = sigmoid, .add = add,                 \
    .multiply = multiply, .scale = scale, .axpy = axpy, .modulate = modulate, __VA_ARGS__                                 \
  }
#define MT_WITH_VNNI .digits = mt_vnni_digits, .blocks = mt_vnni_blocks, .lay = mt_vnni_lay

/// Whole numbers in 256 bits: without VNNI there is nothing better.
const mt_kernels mt_avx512_kernels = MT_TABLE(MT_AVX512, .digits = mt_avx2_digits);
const mt_kernels mt_avx512vnni_kernels = MT_TABLE(MT_AVX512VNNI, MT_WITH_VNNI);
const mt_kernels mt_avx512amx_kernels = MT_TABLE(MT_AVX512AMX, MT_WITH_VNNI, .tiles = mt_amx_tiles);

#endif
