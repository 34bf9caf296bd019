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

/* With inner = 1, where neighbours belong to neighbouring sets: the run up to the last set, and its first set. */
QEIL_INLINE size_t qeil_neighbours(qeil_groups g, size_t i, size_t limit, size_t *set) {
    *set = i % g.count;
    return g.count - *set < limit ? g.count - *set : limit;
}

/* n elements from element i on, as floats: in place for float32, else in `scratch`, which holds QEIL_BLOCK. */
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

/* What a scan keeps of the values of each set, as their bits. With sign and magnitude, a larger signed integer is a larger positive
 * value or, where there is none, a larger magnitude; a larger unsigned integer likewise for negative values. So three integer
 * reductions give minimum, maximum and whether anything is NaN or infinite. */
typedef struct {
    int32_t *high;  /* largest as signed: the maximum, if any value is positive */
    uint32_t *low;  /* largest as unsigned: the minimum, if any value is negative */
    uint32_t *near; /* least as unsigned: the minimum of positive values, else the maximum of negative ones */
} qeil_extremes;

#define QEIL_MAGNITUDE 0x1p126
#define QEIL_MAGNITUDE_LIMIT 0x7e800000u /* its bits; NaN and infinity lie above */

#define QEIL_EXTEND(high, low, near, value) \
    do { \
        const uint32_t bits = qeil_bits_of(value); \
        high = (int32_t)bits > high ? (int32_t)bits : high; \
        low = bits > low ? bits : low; \
        near = bits < near ? bits : near; \
    } while (0)

/* Minimum and maximum of every set; returns 0 if an element is NaN, infinite or over 2^126. */
QEIL_CLONES static int qeil_range(const uint8_t *data, int dtype, size_t n, qeil_groups g, qeil_extremes e, float *minima,
                                  float *maxima) {
    float scratch[QEIL_BLOCK];
    uint32_t largest = 0;
    for (size_t j = 0; j < g.count; j++) e.high[j] = INT32_MIN, e.low[j] = 0, e.near[j] = UINT32_MAX;
    for (size_t at = 0, size; at < n; at += size) {
        size = n - at < QEIL_BLOCK || dtype == QEIL_FLOAT32 ? n - at : QEIL_BLOCK;
        const float *x = qeil_load(data, dtype, at, size, scratch);
        for (size_t done = 0, run, set; done < size; done += run) {
            if (g.inner == 1) {
                run = qeil_neighbours(g, at + done, size - done, &set);
                int32_t *restrict high = e.high + set;
                uint32_t *restrict low = e.low + set, *restrict near = e.near + set;
                for (size_t k = 0; k < run; k++) QEIL_EXTEND(high[k], low[k], near[k], x[done + k]);
            } else {
                run = qeil_run(g, at + done, size - done, &set);
                int32_t high = e.high[set];
                uint32_t low = e.low[set], near = e.near[set];
                for (size_t k = 0; k < run; k++) QEIL_EXTEND(high, low, near, x[done + k]);
                e.high[set] = high, e.low[set] = low, e.near[set] = near;
            }
        }
    }
    for (size_t j = 0; j < g.count; j++) {
        const uint32_t minimum = e.low[j] >> 31 ? e.low[j] : e.near[j], maximum = e.high[j] < 0 ? e.near[j] : (uint32_t)e.high[j];
        const uint32_t below = minimum & 0x7fffffffu, above = maximum & 0x7fffffffu, magnitude = below > above ? below : above;
        largest = magnitude > largest ? magnitude : largest;
        minima[j] = qeil_float_of(minimum);
        maxima[j] = qeil_float_of(maximum);
    }
    return largest <= QEIL_MAGNITUDE_LIMIT;
}

/* The number of elements of a set, and the index of its i-th element. */
static size_t qeil_set_size(size_t n, qeil_groups g, size_t set) {
    const size_t turn = g.inner * g.count, rest = n % turn, before = set * g.inner;
    const size_t last = rest > before ? rest - before : 0;
    return n / turn * g.inner + (last < g.inner ? last : g.inner);
}

QEIL_INLINE size_t qeil_set_index(qeil_groups g, size_t set, size_t i) {
    return i / g.inner * (g.inner * g.count) + set * g.inner + i % g.inner;
}

/* k <= QEIL_BLOCK elements of a set from its element `at` on, as floats: in place if they can be, else in `scratch`. */
static const float *qeil_set_block(const uint8_t *data, int dtype, qeil_groups g, size_t set, size_t at, size_t k, float *scratch) {
    const size_t left = g.inner - at % g.inner;
    if (k <= left) return qeil_load(data, dtype, qeil_set_index(g, set, at), k, scratch);
    for (size_t i = 0; i < k; i++) scratch[i] = qeil_element(data, dtype, qeil_set_index(g, set, at + i));
    return scratch;
}

#endif
