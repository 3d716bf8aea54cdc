#include "png_writing.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

/* What one call of moetop_png_write needs inside libpng's callbacks. */
typedef struct {
    moetop_png_sink sink;
    void *context;
    char *message;
    size_t message_size;
} writing;

static void take(png_structp png, png_bytep bytes, png_size_t count) {
    writing *call = png_get_io_ptr(png);
    call->sink(call->context, bytes, count);
}

static void flush(png_structp png) { (void)png; }

static void fail(png_structp png, png_const_charp message) {
    writing *call = png_get_error_ptr(png);
    if (call->message_size) snprintf(call->message, call->message_size, "%s", message);
    longjmp(png_jmpbuf(png), 1);
}

static void ignore(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static int is_ascii(const char *text) {
    for (; *text; text++)
        if (*text & 0x80) return 0;
    return 1;
}

static void write_notes(png_structp png, png_infop info, const moetop_png_note *notes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        png_text text = {0};
        text.compression = is_ascii(notes[i].text) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        text.key = (png_charp)notes[i].keyword;
        text.text = (png_charp)notes[i].text;
        png_set_text(png, info, &text, 1);
    }
}

int moetop_png_write(const uint8_t *rgb, uint32_t width, uint32_t height, const moetop_png_note *notes, size_t note_count,
                     moetop_png_sink sink, void *context, char *message, size_t message_size) {
    writing call = {sink, context, message, message_size};
    if (message_size) snprintf(message, message_size, "out of memory");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &call, fail, ignore);
    if (!png) return 0;
    png_infop info = png_create_info_struct(png);
    /* No local changes between setjmp and longjmp, so none needs to be volatile. */
    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, info ? &info : NULL);
        return 0;
    }
    png_set_write_fn(png, &call, take, flush);
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    write_notes(png, info, notes, note_count);
    png_write_info(png, info);
    for (uint32_t row = 0; row < height; row++) png_write_row(png, rgb + (size_t)row * width * 3);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return 1;
}

const char *moetop_png_version(void) { return png_get_libpng_ver(NULL); }
