/* Where values are clipped: rules that give the ends of a range. Sums are as described in levels.h. */
#ifndef QEIL_CLIP_H
#define QEIL_CLIP_H

#include "elements.h"
#include "quantizers.h"

#define QEIL_SUMS 16

/* Sum of (x - centre), or of |x - centre|, over a set: QEIL_SUMS lanes of floats a block, the blocks in doubles. */
QEIL_CLONES static double qeil_set_sum(const uint8_t *data, int dtype, qeil_groups g, size_t set, size_t size, float centre, int magnitudes) {
    float scratch[QEIL_BLOCK];
    const uint32_t mask = magnitudes ? 0x7fffffffu : 0xffffffffu;
    double sum = 0;
    for (size_t at = 0; at < size; at += QEIL_BLOCK) {
        const size_t k = size - at < QEIL_BLOCK ? size - at : QEIL_BLOCK;
        const float *x = qeil_set_block(data, dtype, g, set, at, k, scratch);
        float lanes[QEIL_SUMS] = {0};
        size_t i = 0;
        for (; i + QEIL_SUMS <= k; i += QEIL_SUMS)
            for (size_t lane = 0; lane < QEIL_SUMS; lane++) lanes[lane] += qeil_float_of(qeil_bits_of(x[i + lane] - centre) & mask);
        for (size_t lane = 0; i + lane < k; lane++) lanes[lane] += qeil_float_of(qeil_bits_of(x[i + lane] - centre) & mask);
        for (int lane = 0; lane < QEIL_SUMS; lane++) sum += lanes[lane];
    }
    return sum;
}

/* Unsigned integers in the order of the values, or of their magnitudes. */
QEIL_INLINE uint32_t qeil_order(float value, int magnitudes) {
    const uint32_t bits = qeil_bits_of(value);
    const uint32_t flip = (uint32_t)((int32_t)bits >> 31) | 0x80000000u; /* no branch: signs are hard to predict */
    return magnitudes ? bits & 0x7fffffffu : bits ^ flip;
}

QEIL_INLINE float qeil_from_order(uint32_t key, int magnitudes) {
    return qeil_float_of(magnitudes ? key : key ^ ((key >> 31) ? 0x80000000u : 0xffffffffu));
}

/* The value of rank `rank` (0 the least) of a set: a radix selection, a byte of the key at a time, without memory of its own. */
static float qeil_select(const uint8_t *data, int dtype, qeil_groups g, size_t set, size_t size, size_t rank, int magnitudes) {
    float scratch[QEIL_BLOCK];
    uint32_t key = 0, known = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t lanes[8][256] = {{0}}, *counts = lanes[0]; /* several, as neighbours often count alike */
        for (size_t at = 0; at < size; at += QEIL_BLOCK) {
            const size_t k = size - at < QEIL_BLOCK ? size - at : QEIL_BLOCK;
            const float *x = qeil_set_block(data, dtype, g, set, at, k, scratch);
            for (size_t i = 0; i < k; i++) {
                const uint32_t candidate = qeil_order(x[i], magnitudes);
                lanes[i & 7][(candidate >> shift) & 255] += (candidate & known) == key;
            }
        }
        for (int lane = 1; lane < 8; lane++)
            for (int bin = 0; bin < 256; bin++) counts[bin] += lanes[lane][bin];
        uint32_t digit = 0;
        for (; rank >= counts[digit]; digit++) rank -= counts[digit];
        key |= digit << shift;
        known |= 255u << shift;
    }
    return qeil_from_order(key, magnitudes);
}

/* Ends that `percent` of a set's values keep within: as many are cut at either end, or of the magnitudes at the upper. */
static void qeil_percentile_ends(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, int kind, double percent,
                                 float *low, float *high) {
    const size_t size = qeil_set_size(n, g, set);
    if (qeil_has_zero(kind)) {
        const size_t cut = (size_t)((double)size * (100.0 - percent) / 200.0);
        const size_t kept = 2 * cut < size ? cut : (size - 1) / 2;
        *low = qeil_select(data, dtype, g, set, size, kept, 0);
        *high = qeil_select(data, dtype, g, set, size, size - 1 - kept, 0);
    } else {
        const size_t cut = (size_t)((double)size * (100.0 - percent) / 100.0);
        *high = qeil_select(data, dtype, g, set, size, size - 1 - (cut < size ? cut : size - 1), 1);
        *low = -*high;
    }
}

/* Ends from the mean magnitude, for values whose magnitudes are exponential (paper B, Eq 3: the rate is 1 / mean|x|). With a zero
 * parameter of a table the magnitudes are those about the mean; the uniform quantizer's ends stay within the range. */
static void qeil_exponential_ends(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, int kind, int width,
                                  float *low, float *high) {
    const size_t size = qeil_set_size(n, g, set);
    const int centred = kind >= QEIL_LAPLACIAN, one_sided = *low >= 0 || *high <= 0;
    const float centre = centred ? (float)(qeil_set_sum(data, dtype, g, set, size, 0, 0) / (double)size) : 0;
    const double mean = qeil_set_sum(data, dtype, g, set, size, centre, 1) / (double)size;
    const double clip = qeil_exponential_clip(kind, width, one_sided) * mean;
    if (!(clip <= QEIL_MAGNITUDE)) return; /* sums of huge values overflow: the range stays */
    if (centred) {
        *low = (float)(centre - clip);
        *high = (float)(centre + clip);
    } else {
        *low = *low < -clip ? (float)-clip : *low;
        *high = *high > clip ? (float)clip : *high;
    }
}

#endif
