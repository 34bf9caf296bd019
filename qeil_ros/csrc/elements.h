/* Tensor elements as floats, and which parameter set serves which element. */
#ifndef QEIL_ELEMENTS_H
#define QEIL_ELEMENTS_H

#include "half.h"
#include "pack.h"

enum { QEIL_FLOAT32 = 1, QEIL_FLOAT16 = 2, QEIL_UINT8 = 3, QEIL_INT8 = 4 }; /* ids of docs/bitstream.md */

/* Element i uses set (i / inner) mod count. */
typedef struct {
    size_t inner, count;
} qeil_groups;

/* The run of equal parameter set that starts at element i: its length within `limit`, and its set. */
QEIL_INLINE size_t qeil_run(qeil_groups g, size_t i, size_t limit, size_t *set) {
    const size_t index = i / g.inner, left = g.inner - i % g.inner;
    *set = index % g.count;
    return left < limit ? left : limit;
}

/* n <= QEIL_BLOCK elements from element i on, as floats: in place for float32, else in `scratch`. */
QEIL_INLINE const float *qeil_load(const uint8_t *data, int dtype, size_t i, size_t n, float *scratch) {
    if (dtype == QEIL_FLOAT32) return (const float *)data + i;
    if (dtype == QEIL_FLOAT16) {
        const uint16_t *half = (const uint16_t *)data + i;
        for (size_t k = 0; k < n; k++) scratch[k] = qeil_from_half(half[k]);
    } else if (dtype == QEIL_UINT8) {
        for (size_t k = 0; k < n; k++) scratch[k] = (float)data[i + k];
    } else {
        const int8_t *bytes = (const int8_t *)data + i;
        for (size_t k = 0; k < n; k++) scratch[k] = (float)bytes[k];
    }
    return scratch;
}

QEIL_INLINE float qeil_element(const uint8_t *data, int dtype, size_t i) {
    float one;
    return *qeil_load(data, dtype, i, 1, &one);
}

/* The inverse of qeil_load, with the rounding and saturation of docs/bitstream.md. */
QEIL_INLINE void qeil_store(uint8_t *data, int dtype, size_t i, size_t n, const float *values) {
    if (dtype == QEIL_FLOAT32) {
        memcpy((float *)data + i, values, n * sizeof *values);
    } else if (dtype == QEIL_FLOAT16) {
        uint16_t *half = (uint16_t *)data + i;
        for (size_t k = 0; k < n; k++) half[k] = qeil_to_half_saturated(values[k]);
    } else {
        const float low = dtype == QEIL_UINT8 ? 0.0f : -128.0f;
        for (size_t k = 0; k < n; k++) {
            const float shifted = qeil_clamp(values[k], low, low + 255.0f) + 128.0f; /* not negative: 128 keeps ties even */
            data[i + k] = (uint8_t)(qeil_round_small(shifted) - 128u);
        }
    }
}

/* Floats ordered as integers: monotonic, so that minimum and maximum vectorise and do not depend on the order. */
QEIL_INLINE int32_t qeil_order(float value) {
    const int32_t bits = (int32_t)qeil_bits_of(value);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

QEIL_INLINE float qeil_from_order(int32_t key) {
    return qeil_float_of((uint32_t)(key ^ ((key >> 31) & 0x7fffffff)));
}

#define QEIL_MAGNITUDE_LIMIT 0x7e800000u /* 2^126; NaN and infinity lie above */

/* Minimum and maximum of every set (arrays of `count` keys); returns 0 if an element is NaN, infinite or over 2^126. */
QEIL_CLONES static int qeil_range(const uint8_t *data, int dtype, size_t n, qeil_groups g, int32_t *low, int32_t *high) {
    float scratch[QEIL_BLOCK];
    uint32_t largest = 0;
    for (size_t j = 0; j < g.count; j++) low[j] = INT32_MAX, high[j] = INT32_MIN;
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        const float *x = qeil_load(data, dtype, at, size, scratch);
        for (size_t k = 0; k < size; k++) {
            const uint32_t magnitude = qeil_bits_of(x[k]) & 0x7fffffffu;
            largest = magnitude > largest ? magnitude : largest;
        }
        for (size_t done = 0; done < size;) {
            size_t set, run;
            if (g.inner == 1) { /* neighbours belong to neighbouring sets */
                set = (at + done) % g.count;
                run = g.count - set < size - done ? g.count - set : size - done;
                for (size_t k = 0; k < run; k++) {
                    const int32_t key = qeil_order(x[done + k]);
                    low[set + k] = key < low[set + k] ? key : low[set + k];
                    high[set + k] = key > high[set + k] ? key : high[set + k];
                }
            } else {
                run = qeil_run(g, at + done, size - done, &set);
                int32_t lowest = low[set], highest = high[set];
                for (size_t k = 0; k < run; k++) {
                    const int32_t key = qeil_order(x[done + k]);
                    lowest = key < lowest ? key : lowest;
                    highest = key > highest ? key : highest;
                }
                low[set] = lowest, high[set] = highest;
            }
            done += run;
        }
    }
    return largest <= QEIL_MAGNITUDE_LIMIT;
}

#endif
