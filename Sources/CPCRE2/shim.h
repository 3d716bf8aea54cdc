// PCRE2, 8-bit code units: Swift sees the functions under their suffixed names (pcre2_compile_8, ...).
#ifndef MOETOP_CPCRE2_SHIM_H
#define MOETOP_CPCRE2_SHIM_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#endif
