// Reads pictures back with libpng's own reader: for tests.
#ifndef MOETOP_PNG_READING_H
#define MOETOP_PNG_READING_H

#include <stdint.h>

/* Width and height of the file at `path`, and its pixels as [height, width, 3] when they fit into `rgb` [capacity]. 1 when it is a PNG. */
int moetop_png_read(const char *path, uint32_t *width, uint32_t *height, uint8_t *rgb, uint32_t capacity);

#endif
