// zlib's CRC-32; everything else of the library is not looked at.
#ifndef MOETOP_CZLIB_SHIM_H
#define MOETOP_CZLIB_SHIM_H

#include <zlib.h>

#endif
