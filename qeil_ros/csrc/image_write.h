/* Sums -> the tensor: normalise, convert, lay out. */
#ifndef QEIL_IMAGE_WRITE_H
#define QEIL_IMAGE_WRITE_H

#include "half.h"
#include "multiversion.h"

enum { QEIL_OUT_FLOAT32, QEIL_OUT_FLOAT16, QEIL_OUT_UINT8, QEIL_OUT_INT8 };

typedef struct {
    size_t width, height;                           /* of the tensor */
    size_t rect_x, rect_y, rect_width, rect_height; /* where the image goes in it; padding around */
    int channels, interleaved, dtype;               /* 1 or 3; NHWC; QEIL_OUT_* */
    int lanes;                                      /* from a pixel's sums to the next one's: 1 (planes), 3 or 4 */
    size_t apart;                                   /* from one sum of a pixel to the next: 1; in planes a plane's size; 0 for grey */
    int source[3];                                  /* which of the pixel's values is output channel c */
    int red;                                        /* which one is red; blue is 2 - red */
    float gain[3], scale[3], shift[3], pad;         /* out = sum * gain + shift, per output channel; padding is pad * scale + shift */
    float *line;                                    /* scratch: width * channels */
} qeil_output;

/* `n` values after each other at element `at`. */
QEIL_INLINE void qeil_store_line(int dtype, const float *restrict line, size_t n, uint8_t *restrict out, size_t at) {
    if (dtype == QEIL_OUT_FLOAT32) {
        memcpy(out + at * sizeof *line, line, n * sizeof *line);
    } else if (dtype == QEIL_OUT_FLOAT16) {
        uint16_t *restrict to = (uint16_t *)out + at;
        for (size_t j = 0; j < n; j++) to[j] = qeil_to_half_saturated(line[j]);
    } else { /* adding 128 keeps ties even and makes the value not negative */
        const float low = dtype == QEIL_OUT_UINT8 ? 0.0f : -128.0f;
        for (size_t j = 0; j < n; j++)
            out[at + j] = (uint8_t)(qeil_round_small(qeil_clamp(line[j], low, low + 255.0f) + 128.0f) - 128u);
    }
}

QEIL_INLINE void qeil_normalise(const qeil_output *to, const int32_t *restrict sums, size_t lanes, size_t c, float *restrict line) {
    const float gain = to->gain[c], shift = to->shift[c];
    const size_t n = to->rect_width;
    if (to->channels == 3 || to->apart == 0) {
        const int32_t *restrict from = sums + to->apart * (size_t)to->source[c];
        for (size_t j = 0; j < n; j++) line[j] = (float)from[lanes * j] * gain + shift;
    } else { /* ITU-R BT.601 luma */
        const int32_t *restrict red = sums + to->apart * (size_t)to->red, *restrict green = sums + to->apart;
        const int32_t *restrict blue = sums + to->apart * (size_t)(2 - to->red);
        for (size_t j = 0; j < n; j++)
            line[j] = ((float)red[lanes * j] * 0.299f + (float)green[lanes * j] * 0.587f + (float)blue[lanes * j] * 0.114f) * gain + shift;
    }
}

QEIL_INLINE void qeil_write_lanes(const qeil_output *to, const int32_t *restrict sums, size_t lanes, size_t y, uint8_t *restrict out) {
    const size_t n = to->rect_width, channels = (size_t)to->channels, plane = to->width * to->height;
    const size_t at = (to->rect_y + y) * to->width + to->rect_x;
    float *restrict line = to->line;
    if (to->interleaved && channels == 3) {
        const int32_t *restrict a = sums + to->apart * (size_t)to->source[0], *restrict b = sums + to->apart * (size_t)to->source[1];
        const int32_t *restrict c = sums + to->apart * (size_t)to->source[2];
        const float *gain = to->gain, *shift = to->shift;
        for (size_t j = 0; j < n; j++) {
            line[3 * j] = (float)a[lanes * j] * gain[0] + shift[0];
            line[3 * j + 1] = (float)b[lanes * j] * gain[1] + shift[1];
            line[3 * j + 2] = (float)c[lanes * j] * gain[2] + shift[2];
        }
        qeil_store_line(to->dtype, line, 3 * n, out, 3 * at);
        return;
    }
    for (size_t c = 0; c < channels; c++) {
        if (to->dtype == QEIL_OUT_FLOAT32) {
            qeil_normalise(to, sums, lanes, c, (float *)out + c * plane + at);
        } else {
            qeil_normalise(to, sums, lanes, c, line);
            qeil_store_line(to->dtype, line, n, out, c * plane + at);
        }
    }
}

/* One row of the image's rectangle. */
QEIL_CLONES static void qeil_write_row(const qeil_output *to, const int32_t *sums, size_t y, uint8_t *out) {
    if (to->lanes == 1)
        qeil_write_lanes(to, sums, 1, y, out);
    else if (to->lanes == 3)
        qeil_write_lanes(to, sums, 3, y, out);
    else
        qeil_write_lanes(to, sums, 4, y, out);
}

/* The whole tensor as padding, if the image does not cover it. */
static void qeil_pad(const qeil_output *to, uint8_t *out) {
    const size_t channels = (size_t)to->channels;
    if (to->rect_width == to->width && to->rect_height == to->height) return;
    if (to->interleaved) {
        for (size_t j = 0; j < to->width * channels; j++) to->line[j] = to->pad * to->scale[j % channels] + to->shift[j % channels];
        for (size_t y = 0; y < to->height; y++) qeil_store_line(to->dtype, to->line, to->width * channels, out, y * to->width * channels);
        return;
    }
    for (size_t c = 0; c < channels; c++) {
        for (size_t j = 0; j < to->width; j++) to->line[j] = to->pad * to->scale[c] + to->shift[c];
        for (size_t y = 0; y < to->height; y++) qeil_store_line(to->dtype, to->line, to->width, out, (c * to->height + y) * to->width);
    }
}

#endif
