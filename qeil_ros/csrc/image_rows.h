/* One row of a camera image in any encoding -> bytes of interleaved pixels.
 *
 * rgb, bgr, rgba, bgra and mono rows are used where they lie; 16-bit ones are first reduced to bytes of the same layout. YUV and Bayer
 * are decoded to 4 bytes a pixel (red, green, blue, 0; one 32-bit store each, which vectorises). */
#ifndef QEIL_IMAGE_ROWS_H
#define QEIL_IMAGE_ROWS_H

#include "multiversion.h"

enum {
    QEIL_RGB8, QEIL_BGR8, QEIL_RGBA8, QEIL_BGRA8, QEIL_MONO8,
    QEIL_RGB16, QEIL_BGR16, QEIL_RGBA16, QEIL_BGRA16, QEIL_MONO16,
    QEIL_UYVY, QEIL_YUYV, QEIL_NV12, QEIL_NV21,
    QEIL_BAYER_RGGB, QEIL_BAYER_BGGR, QEIL_BAYER_GBRG, QEIL_BAYER_GRBG, QEIL_FORMATS
};

QEIL_INLINE int qeil_is_direct(int format) {
    return format <= QEIL_MONO8;
}

QEIL_INLINE int qeil_is_16_bit(int format) {
    return format >= QEIL_RGB16 && format <= QEIL_MONO16;
}

QEIL_INLINE int qeil_is_yuv(int format) {
    return format >= QEIL_UYVY && format <= QEIL_NV21;
}

QEIL_INLINE int qeil_is_planar(int format) {
    return format == QEIL_NV12 || format == QEIL_NV21;
}

/* Bytes a pixel of a row as used (decoded or where it lies). */
QEIL_INLINE int qeil_pixel_stride(int format) {
    switch (format) {
    case QEIL_RGB8: case QEIL_BGR8: case QEIL_RGB16: case QEIL_BGR16: return 3;
    case QEIL_MONO8: case QEIL_MONO16: return 1;
    default: return 4;
    }
}

/* Bytes that a row must have; 4:2:2 and 4:2:0 carry whole pairs. */
QEIL_INLINE size_t qeil_row_bytes(int format, size_t width) {
    const size_t pairs = (width + 1) / 2;
    if (format >= QEIL_BAYER_RGGB) return width;
    if (qeil_is_yuv(format)) return qeil_is_planar(format) ? 2 * pairs : 4 * pairs;
    return width * (size_t)qeil_pixel_stride(format) * (qeil_is_16_bit(format) ? 2 : 1);
}

/* Bytes that an image must have; the padding of its last row may be missing. */
QEIL_INLINE size_t qeil_image_bytes(int format, size_t width, size_t height, size_t step) {
    const size_t rows = qeil_is_planar(format) ? height + (height + 1) / 2 : height;
    return step * (rows - 1) + qeil_row_bytes(format, width);
}

/* Where the parts of pixel x lie: luma[luma_step * x + y], and u and v in chroma[chroma_step * (x / 2)]. */
typedef struct {
    size_t luma_step, chroma_step, y, u, v;
} qeil_yuv_layout;

QEIL_INLINE qeil_yuv_layout qeil_layout_of(int format) {
    switch (format) {
    case QEIL_UYVY: return (qeil_yuv_layout){2, 4, 1, 0, 2};
    case QEIL_YUYV: return (qeil_yuv_layout){2, 4, 0, 1, 3};
    case QEIL_NV12: return (qeil_yuv_layout){1, 2, 0, 0, 1};
    default: return (qeil_yuv_layout){1, 2, 0, 1, 0};
    }
}

QEIL_INLINE const uint8_t *qeil_chroma_row(int format, const uint8_t *data, size_t step, size_t height, size_t y) {
    return data + (qeil_is_planar(format) ? height + y / 2 : y) * step;
}

/* ITU-R BT.601, limited range: 1.164, 1.596, 0.813, 0.391 and 2.018 in 20 bits, as OpenCV rounds them. */
enum {
    QEIL_YUV_BITS = 20, QEIL_LUMA = 1220542, QEIL_V_TO_RED = 1673527, QEIL_V_TO_GREEN = -852492, QEIL_U_TO_GREEN = -409993,
    QEIL_U_TO_BLUE = 2116026
};

QEIL_INLINE uint32_t qeil_byte(int32_t value) {
    value >>= QEIL_YUV_BITS;
    value = value > 0 ? value : 0;
    return (uint32_t)(value < 255 ? value : 255);
}

QEIL_INLINE uint32_t qeil_yuv(int32_t y, int32_t u, int32_t v) {
    const int32_t luma = (y > 16 ? y - 16 : 0) * QEIL_LUMA + (1 << (QEIL_YUV_BITS - 1));
    u -= 128, v -= 128;
    return qeil_byte(luma + QEIL_V_TO_RED * v) | qeil_byte(luma + QEIL_V_TO_GREEN * v + QEIL_U_TO_GREEN * u) << 8 |
           qeil_byte(luma + QEIL_U_TO_BLUE * u) << 16;
}

/* `pairs` pairs of pixels of packed 4:2:2; shifts are the bit positions of y0, y1, u, v within the four bytes. */
QEIL_INLINE void qeil_decode_422(const uint8_t *restrict in, size_t pairs, int y0, int y1, int u, int v, uint32_t *restrict out) {
    for (size_t k = 0; k < pairs; k++) {
        uint32_t word;
        memcpy(&word, in + 4 * k, 4);
        const int32_t cb = (int32_t)(word >> u & 255), cr = (int32_t)(word >> v & 255);
        out[2 * k] = qeil_yuv((int32_t)(word >> y0 & 255), cb, cr);
        out[2 * k + 1] = qeil_yuv((int32_t)(word >> y1 & 255), cb, cr);
    }
}

QEIL_INLINE void qeil_decode_420(const uint8_t *restrict luma, const uint8_t *restrict chroma, size_t pairs, int u, int v,
                                 uint32_t *restrict out) {
    for (size_t k = 0; k < pairs; k++) {
        const int32_t cb = chroma[2 * k + (size_t)u], cr = chroma[2 * k + (size_t)v];
        out[2 * k] = qeil_yuv(luma[2 * k], cb, cr);
        out[2 * k + 1] = qeil_yuv(luma[2 * k + 1], cb, cr);
    }
}

/* Pixels columns[0..n-1] of a row of any YUV format; `parts` has room for 3 * n bytes. */
QEIL_CLONES static void qeil_decode_columns(int format, const uint8_t *restrict luma, const uint8_t *restrict chroma,
                                            const int32_t *restrict columns, size_t n, uint8_t *restrict parts,
                                            uint32_t *restrict out) {
    const qeil_yuv_layout at = qeil_layout_of(format);
    uint8_t *restrict y = parts, *restrict u = parts + n, *restrict v = parts + 2 * n;
    for (size_t k = 0; k < n; k++) {
        const size_t x = (size_t)columns[k];
        const uint8_t *pair = chroma + at.chroma_step * (x / 2);
        y[k] = luma[at.luma_step * x + at.y], u[k] = pair[at.u], v[k] = pair[at.v];
    }
    for (size_t k = 0; k < n; k++) out[k] = qeil_yuv(y[k], u[k], v[k]);
}

/* Bilinear demosaicing of the pixels 1 .. width-2 of an inner row. `red_row`: the row has red pixels; `first_green`: pixel 0 is green.
 * The result is ordered by row colour: near (this row's), green, far (the other rows'). */
QEIL_INLINE void qeil_decode_bayer(const uint8_t *restrict up, const uint8_t *restrict row, const uint8_t *restrict down, size_t width,
                                   int red_row, int first_green, uint32_t *restrict out) {
    const int near = red_row ? 0 : 16, far = 16 - near;
    for (size_t x = 1; x + 1 < width; x++) {
        const uint32_t across = (uint32_t)row[x - 1] + row[x + 1], along = (uint32_t)up[x] + down[x], centre = row[x];
        const uint32_t diagonal = (uint32_t)up[x - 1] + up[x + 1] + down[x - 1] + down[x + 1];
        const uint32_t at_green = (across + 1) >> 1 << near | centre << 8 | (along + 1) >> 1 << far;
        const uint32_t at_colour = centre << near | (across + along + 2) >> 2 << 8 | (diagonal + 2) >> 2 << far;
        out[x] = (x + (size_t)first_green) % 2 ? at_green : at_colour;
    }
    out[0] = out[1];
    out[width - 1] = out[width - 2];
}

/* `count` values of 16 bits, the more significant byte at `high`, to bytes: round(v * 255 / 65535). */
QEIL_INLINE void qeil_reduce_16(const uint8_t *restrict in, size_t count, int high, uint8_t *restrict out) {
    for (size_t k = 0; k < count; k++) {
        const uint32_t v = (uint32_t)in[2 * k + (size_t)high] << 8 | in[2 * k + (size_t)(1 - high)];
        const uint32_t t = v * 255 + 32767;
        out[k] = (uint8_t)((t + (t >> 16) + 1) >> 16);
    }
}

/* Where in a decoded row its pixel `from` lies: 4:2:2 and 4:2:0 are decoded in whole pairs, Bayer rows from their start. */
QEIL_INLINE size_t qeil_decoded_offset(int format, size_t from) {
    return format >= QEIL_BAYER_RGGB ? from : qeil_is_yuv(format) ? from & 1 : 0;
}

/* Row y, pixels from..from+count-1, decoded into `out` (room for a whole row of 4-byte pixels and one pair more) at
 * qeil_decoded_offset. Not for direct formats. */
QEIL_CLONES static void qeil_decode_row(int format, int big_endian, const uint8_t *data, size_t step, size_t width, size_t height,
                                        size_t y, size_t from, size_t count, uint32_t *out) {
    const uint8_t *row = data + y * step;
    const size_t even = from & ~(size_t)1, pairs = (from - even + count + 1) / 2;
    switch (format) {
    case QEIL_UYVY:
        qeil_decode_422(row + 2 * even, pairs, 8, 24, 0, 16, out);
        break;
    case QEIL_YUYV:
        qeil_decode_422(row + 2 * even, pairs, 0, 16, 8, 24, out);
        break;
    case QEIL_NV12: /* an odd width's last pair reads one byte of luma past the row: padding or the next row, never past the chroma */
        qeil_decode_420(row + even, qeil_chroma_row(format, data, step, height, y) + even, pairs, 0, 1, out);
        break;
    case QEIL_NV21:
        qeil_decode_420(row + even, qeil_chroma_row(format, data, step, height, y) + even, pairs, 1, 0, out);
        break;
    case QEIL_BAYER_RGGB: case QEIL_BAYER_BGGR: case QEIL_BAYER_GBRG: case QEIL_BAYER_GRBG: {
        /* like OpenCV, the outermost rows and columns repeat their inner neighbours */
        const size_t inner = y == 0 ? 1 : y == height - 1 ? height - 2 : y;
        const int odd = (int)(inner & 1);
        const int red_first = format == QEIL_BAYER_RGGB || format == QEIL_BAYER_GRBG; /* row 0 has red */
        const int green_first = format == QEIL_BAYER_GBRG || format == QEIL_BAYER_GRBG; /* pixel 0 of row 0 is green */
        row = data + inner * step;
        qeil_decode_bayer(row - step, row, row + step, width, red_first ^ odd, green_first ^ odd, out);
        break;
    }
    default: {
        const size_t stride = (size_t)qeil_pixel_stride(format);
        if (big_endian)
            qeil_reduce_16(row + 2 * stride * from, stride * count, 0, (uint8_t *)out);
        else
            qeil_reduce_16(row + 2 * stride * from, stride * count, 1, (uint8_t *)out);
    }
    }
}

#endif
