// CRC-32 at the speed of memory, where the processor multiplies without carries: most of a long text, never its end. What is left, and all
// of it on other machines, is zlib's.
#ifndef MOETOP_CHECKSUM_H
#define MOETOP_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Takes whole blocks of 16 bytes from the start of `bytes` into `*crc`, as zlib's crc32 does; how many bytes that were, 0 for short texts. */
size_t moetop_crc32_blocks(uint32_t *crc, const uint8_t *bytes, size_t count);

#endif
