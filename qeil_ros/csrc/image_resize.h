/* Rows -> sums: resized pixels in fixed point, in plain C. With four bytes a pixel, or three, a pixel has four sums (the last one is
 * rubbish); with one it has one. */
#ifndef QEIL_IMAGE_RESIZE_H
#define QEIL_IMAGE_RESIZE_H

#include "multiversion.h"

/* Two taps per output sample: index of each, and the second one's weight of 14 (across) or 15 (down) fractional bits. */
typedef struct {
    int32_t *first, *second;
    int16_t *weight;
} qeil_pair_taps;

/* Any number of taps: where they start, how many, and `width` weights of 22 fractional bits a sample, those past the count 0. */
typedef struct {
    int32_t *start, *count, *weights;
    int32_t width;
} qeil_filter_taps;

enum {
    QEIL_ACROSS_BITS = 14, QEIL_DOWN_BITS = 15, QEIL_BLEND_BITS = 7, /* a blend of two bytes is kept in 16 bits */
    QEIL_PAIR_BITS = QEIL_BLEND_BITS + QEIL_ACROSS_BITS,             /* of the sums of pairs */
    QEIL_WEIGHT_BITS = 22,
    QEIL_BATCH = 4 /* rows that are filtered together */
};

typedef int16_t qeil_short4 __attribute__((vector_size(8)));
typedef int32_t qeil_int4 __attribute__((vector_size(16)));
typedef int32_t qeil_int16 __attribute__((vector_size(64)));

/* Bilinear: rows are blended first (contiguous, vectorises at any stride), then pixels are picked out of the blend.
 * `blend` has room for columns * stride + 4. */
QEIL_CLONES static void qeil_resize_pairs(const uint8_t *restrict top, const uint8_t *restrict bottom, int16_t down, size_t columns,
                                          int stride, const qeil_pair_taps *across, size_t n, int16_t *restrict blend,
                                          int32_t *restrict sums) {
    for (size_t k = 0; k < columns * (size_t)stride; k++) {
        const int16_t difference = (int16_t)((bottom[k] - top[k]) * (1 << QEIL_BLEND_BITS));
        blend[k] = (int16_t)((top[k] << QEIL_BLEND_BITS) + ((((int32_t)difference * down >> (QEIL_DOWN_BITS - 1)) + 1) >> 1));
    }
    const int32_t *restrict first = across->first, *restrict second = across->second;
    const int16_t *restrict weight = across->weight;
    if (stride == 1) {
        for (size_t j = 0; j < n; j++)
            sums[j] = blend[first[j]] * ((1 << QEIL_ACROSS_BITS) - weight[j]) + blend[second[j]] * weight[j];
        return;
    }
    for (size_t j = 0; j < n; j++) {
        qeil_short4 left, right;
        memcpy(&left, blend + (size_t)first[j] * (size_t)stride, sizeof left);
        memcpy(&right, blend + (size_t)second[j] * (size_t)stride, sizeof right);
        const qeil_int4 sum = __builtin_convertvector(left, qeil_int4) * ((1 << QEIL_ACROSS_BITS) - weight[j]) +
                              __builtin_convertvector(right, qeil_int4) * (int32_t)weight[j];
        memcpy(sums + 4 * j, &sum, sizeof sum);
    }
}

/* Rounded as Pillow does between its passes. */
QEIL_INLINE int32_t qeil_filtered(int32_t sum) {
    sum >>= QEIL_WEIGHT_BITS;
    sum = sum > 0 ? sum : 0;
    return sum < 255 ? sum : 255;
}

/* Horizontal pass of a filter over four rows at once, `columns` pixels to n, as bytes into out[0..3]: 4 bytes a pixel, or 1 at stride 1.
 * Bytes are widened once, since each is used by several filters, to wide[column][row][byte]; so are the sums laid out. `wide` has room
 * for columns * 16 + 4 values and as many again, `sums` for n * 16 values and as many bytes. */
QEIL_CLONES static void qeil_filter_rows(const uint8_t *const rows[QEIL_BATCH], size_t columns, int stride, const qeil_filter_taps *taps,
                                         size_t n, int32_t *restrict wide, int32_t *restrict sums, uint8_t *const out[QEIL_BATCH]) {
    const int32_t half = 1 << (QEIL_WEIGHT_BITS - 1), *restrict weights = taps->weights;
    const size_t values = QEIL_BATCH * (stride == 1 ? 1 : 4);
    uint8_t *restrict bytes = (uint8_t *)(sums + n * values);
    int32_t *restrict flat = wide + columns * values;
    for (size_t r = 0; r < QEIL_BATCH; r++) {
        const uint8_t *restrict row = rows[r];
        if (stride == 1) {
            for (size_t x = 0; x < columns; x++) wide[QEIL_BATCH * x + r] = row[x];
            continue;
        }
        for (size_t k = 0; k < columns * (size_t)stride; k++) flat[k] = row[k];
        for (size_t x = 0; x < columns; x++) memcpy(wide + values * x + 4 * r, flat + (size_t)stride * x, 4 * sizeof *wide);
    }
    for (size_t j = 0; j < n; j++, weights += taps->width) {
        const size_t start = (size_t)taps->start[j], count = (size_t)taps->count[j];
        if (stride == 1) {
            qeil_int4 sum = {half, half, half, half}, value;
            for (size_t t = 0; t < count; t++) {
                memcpy(&value, wide + 4 * (start + t), sizeof value);
                sum += value * weights[t];
            }
            memcpy(sums + 4 * j, &sum, sizeof sum);
        } else {
            qeil_int16 sum = half - (qeil_int16){0}, value;
            for (size_t t = 0; t < count; t++) {
                memcpy(&value, wide + 16 * (start + t), sizeof value);
                sum += value * weights[t];
            }
            memcpy(sums + 16 * j, &sum, sizeof sum);
        }
    }
    for (size_t k = 0; k < n * values; k++) bytes[k] = (uint8_t)qeil_filtered(sums[k]);
    for (size_t r = 0; r < QEIL_BATCH; r++)
        if (stride == 1)
            for (size_t j = 0; j < n; j++) out[r][j] = bytes[QEIL_BATCH * j + r];
        else
            for (size_t j = 0; j < n; j++) memcpy(out[r] + 4 * j, bytes + 16 * j + 4 * r, 4);
}

/* Vertical pass: `count` filtered rows from row `start` on, in a ring of `ring` rows of `size` bytes, to sums that are whole numbers of
 * 0 to 255. */
QEIL_CLONES static void qeil_filter_column(const uint8_t *restrict rows, size_t ring, size_t size, size_t start, size_t count,
                                           const int32_t *restrict weights, int32_t *restrict sums) {
    for (size_t k = 0; k < size; k++) sums[k] = 1 << (QEIL_WEIGHT_BITS - 1);
    for (size_t t = 0; t < count; t++) {
        const uint8_t *restrict row = rows + (start + t) % ring * size;
        const int32_t weight = weights[t];
        for (size_t k = 0; k < size; k++) sums[k] += row[k] * weight;
    }
    for (size_t k = 0; k < size; k++) sums[k] = qeil_filtered(sums[k]);
}

#endif
