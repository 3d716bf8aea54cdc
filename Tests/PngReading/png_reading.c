#include "png_reading.h"

#include <png.h>
#include <string.h>

int moetop_png_read(const char *path, uint32_t *width, uint32_t *height, uint8_t *rgb, uint32_t capacity) {
    png_image image;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_file(&image, path)) return 0;
    *width = image.width;
    *height = image.height;
    image.format = PNG_FORMAT_RGB;
    if (PNG_IMAGE_SIZE(image) > capacity) {
        png_image_free(&image);
        return 0;
    }
    return png_image_finish_read(&image, NULL, rgb, 0, NULL);
}
