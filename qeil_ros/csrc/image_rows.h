/* One row of a camera image in any encoding -> bytes of interleaved pixels.
 *
 * rgb, bgr, rgba, bgra and mono rows are used where they lie. The others are decoded to 4 bytes a pixel (red, green, blue, 0; one 32-bit
 * store each, which vectorises) or, for mono16, to 1. */
#ifndef QEIL_IMAGE_ROWS_H
#define QEIL_IMAGE_ROWS_H

#include "multiversion.h"

enum {
    QEIL_RGB8, QEIL_BGR8, QEIL_RGBA8, QEIL_BGRA8, QEIL_MONO8, QEIL_MONO16, QEIL_MONO16_BIG, QEIL_UYVY, QEIL_YUYV, QEIL_NV12, QEIL_NV21,
    QEIL_BAYER_RGGB, QEIL_BAYER_BGGR, QEIL_BAYER_GBRG, QEIL_BAYER_GRBG, QEIL_FORMATS
};

/* Bytes a pixel of a row as used (decoded or where it lies). */
QEIL_INLINE int qeil_pixel_stride(int format) {
    if (format == QEIL_RGB8 || format == QEIL_BGR8) return 3;
    return format >= QEIL_MONO8 && format <= QEIL_MONO16_BIG ? 1 : 4;
}

QEIL_INLINE int qeil_is_direct(int format) {
    return format <= QEIL_MONO8;
}

/* Bytes that a row must have; 4:2:2 and 4:2:0 carry whole pairs. */
QEIL_INLINE size_t qeil_row_bytes(int format, size_t width) {
    const size_t pairs = (width + 1) / 2;
    switch (format) {
    case QEIL_RGB8: case QEIL_BGR8: return 3 * width;
    case QEIL_RGBA8: case QEIL_BGRA8: return 4 * width;
    case QEIL_MONO16: case QEIL_MONO16_BIG: return 2 * width;
    case QEIL_UYVY: case QEIL_YUYV: return 4 * pairs;
    case QEIL_NV12: case QEIL_NV21: return 2 * pairs;
    default: return width;
    }
}

/* Bytes that an image must have; the padding of its last row may be missing. */
QEIL_INLINE size_t qeil_image_bytes(int format, size_t width, size_t height, size_t step) {
    const int planar = format == QEIL_NV12 || format == QEIL_NV21;
    const size_t rows = planar ? height + (height + 1) / 2 : height;
    return step * (rows - 1) + qeil_row_bytes(format, width);
}

/* ITU-R BT.601, limited range: 1.164, 1.596, 0.813, 0.391 and 2.018 in 20 bits, as OpenCV rounds them. */
QEIL_INLINE uint32_t qeil_byte(int32_t value) {
    value >>= 20;
    value = value > 0 ? value : 0;
    return (uint32_t)(value < 255 ? value : 255);
}

QEIL_INLINE uint32_t qeil_yuv(int32_t y, int32_t u, int32_t v) {
    const int32_t luma = (y > 16 ? y - 16 : 0) * 1220542 + (1 << 19);
    u -= 128, v -= 128;
    return qeil_byte(luma + 1673527 * v) | qeil_byte(luma - 852492 * v - 409993 * u) << 8 | qeil_byte(luma + 2116026 * u) << 16;
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

/* Row y, pixels from..from+count-1, decoded into `out` (4-byte pixels; room for a whole row and one pair more).
 * Returns where pixel `from` lies. Not for direct formats. */
QEIL_CLONES static const uint8_t *qeil_decode_row(int format, const uint8_t *data, size_t step, size_t width, size_t height, size_t y,
                                                  size_t from, size_t count, uint32_t *out) {
    const uint8_t *row = data + y * step;
    const size_t even = from & ~(size_t)1, pairs = (from - even + count + 1) / 2;
    switch (format) {
    case QEIL_MONO16:
    case QEIL_MONO16_BIG: {
        uint8_t *bytes = (uint8_t *)out;
        const int high = format == QEIL_MONO16 ? 1 : 0;
        for (size_t k = 0; k < count; k++) { /* round(v * 255 / 65535) */
            const uint32_t v = (uint32_t)row[2 * (from + k) + (size_t)high] << 8 | row[2 * (from + k) + (size_t)(1 - high)];
            const uint32_t t = v * 255 + 32767;
            bytes[k] = (uint8_t)((t + (t >> 16) + 1) >> 16);
        }
        return bytes;
    }
    case QEIL_UYVY:
        qeil_decode_422(row + 2 * even, pairs, 8, 24, 0, 16, out);
        break;
    case QEIL_YUYV:
        qeil_decode_422(row + 2 * even, pairs, 0, 16, 8, 24, out);
        break;
    case QEIL_NV12:
    case QEIL_NV21: {
        const uint8_t *chroma = data + (height + y / 2) * step;
        const int swapped = format == QEIL_NV21;
        /* an odd width's last pair reads one byte of luma past the row: the padding byte, or the next row, never past the chroma */
        if (swapped)
            qeil_decode_420(row + even, chroma + even, pairs, 1, 0, out);
        else
            qeil_decode_420(row + even, chroma + even, pairs, 0, 1, out);
        break;
    }
    default: { /* Bayer: like OpenCV, the outermost rows and columns repeat their inner neighbours */
        const size_t inner = y == 0 ? 1 : y == height - 1 ? height - 2 : y;
        const int odd = (int)(inner & 1);
        const int red_first = format == QEIL_BAYER_RGGB || format == QEIL_BAYER_GRBG; /* row 0 has red */
        const int green_first = format == QEIL_BAYER_GBRG || format == QEIL_BAYER_GRBG; /* pixel 0 of row 0 is green */
        row = data + inner * step;
        qeil_decode_bayer(row - step, row, row + step, width, red_first ^ odd, green_first ^ odd, out);
        return (const uint8_t *)(out + from);
    }
    }
    return (const uint8_t *)(out + (from - even));
}

#endif
