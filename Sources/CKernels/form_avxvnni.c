// The product by digits for AVX-VNNI; everything else of that form is form_avx2.c's.
#include "forms.h"

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avxvnni,avx2,fma,f16c"))), apply_to = function)

#include "vector_avx2.h"
#include "vector_x86.h"

#include "body_out.h"

#include "digits.h"
#include "digits_avxvnni.h"
#include "digits_x86.h"
#include "body_digits.h"

#pragma clang attribute pop

void mt_avxvnni_digits(const mt_matmul_job *job, void *scratch) { digit_matmul(job, scratch); }

#endif
