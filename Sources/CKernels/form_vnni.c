// The products by digits and by blocks for AVX-512 with VNNI; everything else of that form is form_avx512.c's.
#include "forms.h"

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), apply_to = function)

#include "vector_avx512.h"
#include "vector_x86.h"

#include "body_out.h"

#include "digits.h"
#include "digits_vnni.h"
#include "digits_x86.h"
#include "body_digits.h"
#include "body_blocks.h"

#pragma clang attribute pop

void mt_vnni_digits(const mt_matmul_job *job, void *scratch) { digit_matmul(job, scratch); }
void mt_vnni_blocks(const mt_matmul_job *job, void *scratch) { block_matmul(job, scratch); }
void mt_vnni_lay(float *row, const mt_matrix *w) { lay_in_place(row, w); }

#endif
