// Words of the product by tiles: AMX. A tile is 16 rows of 64 bytes at most; which of the eight is known when compiled. tiles_plain.h says in
// plain C what each word does.

MT_INLINE void tiles_begin(const tile_shapes *shapes) { _tile_loadconfig(shapes); }
MT_INLINE void tiles_end(void) { _tile_release(); }

#define tile_clear(tile) _tile_zero(tile)
#define tile_load(tile, from, stride) _tile_loadd(tile, from, stride)
#define tile_store(to, stride, tile) _tile_stored(tile, to, stride)
#define tile_multiply(sums, a, b) _tile_dpbf16ps(sums, a, b)

/// 32 numbers as bf16, rounded to even; what is below 2^-126 counts as zero.
MT_INLINE __m512i tile_round(vf low, vf high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }
