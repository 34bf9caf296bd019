/* Rows -> resized rows of floats: four a pixel (the fourth is not used), or one a pixel for grey. */
#ifndef QEIL_IMAGE_RESIZE_H
#define QEIL_IMAGE_RESIZE_H

#include "multiversion.h"

/* Two taps per output sample: index of each, and the second one's weight. */
typedef struct {
    int32_t *first, *second;
    float *weight;
} qeil_pair_taps;

/* Any number of taps: where they start, how many, and `width` weights of 22 fractional bits a sample. */
typedef struct {
    int32_t *start, *count, *weights;
    int32_t width;
} qeil_filter_taps;

#define QEIL_WEIGHT_BITS 22

typedef int32_t qeil_int4 __attribute__((vector_size(16)));
typedef float qeil_float4 __attribute__((vector_size(16)));

QEIL_INLINE qeil_float4 qeil_load4(const float *at) {
    qeil_float4 value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Bilinear: rows are blended first (contiguous, vectorises at any stride), then pixels are picked out of the blend.
 * `blend` has room for columns * stride + 4 floats. */
QEIL_CLONES static void qeil_resize_pairs(const uint8_t *restrict top, const uint8_t *restrict bottom, float weight, size_t columns,
                                          int stride, const int32_t *restrict first, const int32_t *restrict second,
                                          const float *restrict weights, size_t n, float *restrict blend, float *restrict out) {
    const size_t size = columns * (size_t)stride;
    if (weight == 0.0f)
        for (size_t k = 0; k < size; k++) blend[k] = (float)top[k];
    else
        for (size_t k = 0; k < size; k++) blend[k] = (float)top[k] + (float)((int32_t)bottom[k] - (int32_t)top[k]) * weight;
    if (stride == 1) {
        for (size_t j = 0; j < n; j++) {
            const float left = blend[first[j]], right = blend[second[j]];
            out[j] = left + (right - left) * weights[j];
        }
        return;
    }
    for (size_t j = 0; j < n; j++) {
        const qeil_float4 left = qeil_load4(blend + (size_t)first[j] * (size_t)stride);
        const qeil_float4 right = qeil_load4(blend + (size_t)second[j] * (size_t)stride);
        const qeil_float4 pixel = left + (right - left) * weights[j];
        memcpy(out + 4 * j, &pixel, sizeof pixel);
    }
}

QEIL_INLINE uint8_t qeil_filtered(int32_t sum) {
    sum >>= QEIL_WEIGHT_BITS;
    sum = sum > 0 ? sum : 0;
    return (uint8_t)(sum < 255 ? sum : 255);
}

/* Horizontal pass of a filter: `columns` pixels to n, as bytes, rounded as PIL does between its passes; 4 bytes a pixel, or 1 at stride 1.
 * The bytes are widened once, since each is used by several filters; `wide` has room for columns * stride + 4, `sums` for 4 * n. */
QEIL_CLONES static void qeil_filter_row(const uint8_t *restrict row, size_t columns, int stride, const int32_t *restrict start,
                                        const int32_t *restrict count, const int32_t *restrict weights, int32_t width, size_t n,
                                        int32_t *restrict wide, int32_t *restrict sums, uint8_t *restrict out) {
    for (size_t k = 0; k < columns * (size_t)stride; k++) wide[k] = row[k];
    const int32_t half = 1 << (QEIL_WEIGHT_BITS - 1);
    for (size_t j = 0; j < n; j++, weights += width) {
        const int32_t *pixel = wide + (size_t)start[j] * (size_t)stride;
        if (stride == 1) {
            int32_t sum = half;
            for (int32_t t = 0; t < count[j]; t++) sum += pixel[t] * weights[t];
            sums[j] = sum;
            continue;
        }
        qeil_int4 sum = {half, half, half, half}, value;
        for (int32_t t = 0; t < count[j]; t++, pixel += stride) {
            memcpy(&value, pixel, sizeof value);
            sum += value * weights[t];
        }
        memcpy(sums + 4 * j, &sum, sizeof sum);
    }
    for (size_t k = 0; k < (stride == 1 ? n : 4 * n); k++) out[k] = qeil_filtered(sums[k]);
}

/* Vertical pass: `count` filtered rows, in a ring of `ring` rows of `size` bytes, to floats that are whole numbers of 0 to 255. */
QEIL_CLONES static void qeil_filter_column(const uint8_t *restrict rows, size_t ring, size_t size, int32_t start, int32_t count,
                                           const int32_t *restrict weights, int32_t *restrict sums, float *restrict out) {
    for (size_t k = 0; k < size; k++) sums[k] = 1 << (QEIL_WEIGHT_BITS - 1);
    for (int32_t t = 0; t < count; t++) {
        const uint8_t *restrict row = rows + (size_t)(start + t) % ring * size;
        const int32_t weight = weights[t];
        for (size_t k = 0; k < size; k++) sums[k] += row[k] * weight;
    }
    for (size_t k = 0; k < size; k++) out[k] = (float)qeil_filtered(sums[k]);
}

#endif
