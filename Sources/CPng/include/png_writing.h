// The door to libpng: writes one picture and says how it went. libpng reports errors by longjmp, which must not cross Swift; it ends here.
#ifndef MOETOP_PNG_WRITING_H
#define MOETOP_PNG_WRITING_H

#include <stddef.h>
#include <stdint.h>

/* A note inside the file: keyword (1 to 79 bytes of ASCII) and text (UTF-8). */
typedef struct {
    const char *keyword;
    const char *text;
} moetop_png_note;

/* Takes the next bytes of the file. */
typedef void (*moetop_png_sink)(void *context, const uint8_t *bytes, size_t count);

/* Encodes `rgb` [height, width, 3], top row first, 8 bits a channel, and hands the file's bytes to `sink` piece by piece.
   Returns 1, or 0 with libpng's words in `message` [message_size], cut to fit. */
int moetop_png_write(const uint8_t *rgb, uint32_t width, uint32_t height, const moetop_png_note *notes, size_t note_count,
                     moetop_png_sink sink, void *context, char *message, size_t message_size);

/* Version of the libpng that is loaded, as it says it. */
const char *moetop_png_version(void);

#endif
