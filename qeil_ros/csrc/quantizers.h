/* The quantizers of docs/bitstream.md: which integer T[code] and which parameters each has.
 *
 * Every one of them reconstructs alike, x = float(T[code] + zero) * unit: T is a line for the evenly spaced ones and a table for
 * the others, zero is a parameter of some and a constant of the rest. */
#ifndef QEIL_QUANTIZERS_H
#define QEIL_QUANTIZERS_H

#include <math.h>

#include "half.h"
#include "quantizer_tables.h"

enum { /* ids of docs/bitstream.md */
    QEIL_UNIFORM = 1,
    QEIL_SYMMETRIC = 2,
    QEIL_SIGN_MAGNITUDE = 3,
    QEIL_POWER_OF_TWO = 4,
    QEIL_LAPLACIAN = 5,
    QEIL_GAUSSIAN = 6
};

#define QEIL_EXPONENT_LOW (-100)
#define QEIL_EXPONENT_HIGH 111
#define QEIL_ZERO_LIMIT 32767
#define QEIL_FLOAT_LIMIT 3.4028235677973366e38 /* rounds to infinity */
#define QEIL_POWER_TOP 14                      /* the largest power of two in the table */

QEIL_INLINE int qeil_even(int kind) { /* levels at equal distances */
    return kind <= QEIL_SIGN_MAGNITUDE;
}

QEIL_INLINE int qeil_has_zero(int kind) { /* as a parameter */
    return kind == QEIL_UNIFORM || kind >= QEIL_LAPLACIAN;
}

QEIL_INLINE size_t qeil_set_bytes(int kind) {
    return qeil_has_zero(kind) ? 4 : 2;
}

/* T[code] = spacing * code + first of the evenly spaced ones; `spacing` is a power of two. At one bit there is no room for a
 * zero level: symmetric is sign_magnitude there. */
QEIL_INLINE int qeil_spacing(int kind, int width) {
    return kind == QEIL_UNIFORM ? 1 << (8 - width) : kind == QEIL_SYMMETRIC && width > 1 ? 1 : 2;
}

QEIL_INLINE int qeil_first(int kind, int width) {
    return kind == QEIL_UNIFORM ? 0 : kind == QEIL_SYMMETRIC && width > 1 ? -(1 << (width - 1)) : 1 - (1 << width);
}

/* The lowest code that the encoder uses: symmetric leaves the one without a counterpart alone. */
QEIL_INLINE int qeil_lowest_code(int kind, int width) {
    return kind == QEIL_SYMMETRIC && width > 1 ? 1 : 0;
}

/* T of all 2^width codes, in ascending order. */
static void qeil_integer_levels(int kind, int width, int32_t *levels) {
    const int half = 1 << (width - 1);
    if (qeil_even(kind)) {
        for (int c = 0; c < 2 * half; c++) levels[c] = qeil_spacing(kind, width) * c + qeil_first(kind, width);
    } else if (kind == QEIL_POWER_OF_TWO) {
        for (int c = 0; c < 2 * half; c++) {
            const int rank = c < half ? half - c : c - half; /* 0 is the zero level */
            const int power = QEIL_POWER_TOP - (half - 1 - rank), magnitude = rank > 0 && power >= 0 ? 1 << power : 0;
            levels[c] = c < half ? -magnitude : magnitude;
        }
        levels[0] = -(1 << QEIL_POWER_TOP); /* as code 1; at one bit there are only the two signs */
        if (width == 1) levels[1] = -levels[0];
    } else {
        const int16_t *table = (kind == QEIL_LAPLACIAN ? qeil_laplacian_levels : qeil_gaussian_levels) + half - 1;
        for (int k = 0; k < half; k++) levels[half + k] = table[k], levels[half - 1 - k] = -table[k];
    }
}

/* The largest |T|. */
static int qeil_largest_level(int kind, int width) {
    int32_t levels[256];
    qeil_integer_levels(kind, width, levels);
    const int32_t low = -levels[0], high = levels[(1 << width) - 1];
    return low > high ? low : high;
}

/* The clip of least squared error for values with exponential magnitudes of mean 1 (paper B, Eq 3), by our own minimisation;
 * `one_sided`: all values have one sign, which saves a bit. */
static double qeil_exponential_clip(int kind, int width, int one_sided) {
    if (kind == QEIL_UNIFORM) return qeil_mid_rise_clip[width + (one_sided ? 1 : 0)];
    if (kind == QEIL_SYMMETRIC) return qeil_symmetric_clip[width];
    if (kind == QEIL_SIGN_MAGNITUDE) return qeil_mid_rise_clip[width];
    if (kind == QEIL_POWER_OF_TWO) return qeil_power_of_two_clip[width];
    return 1.4142135623730951 / QEIL_SIGMA * qeil_largest_level(kind, width); /* the standard deviation is sqrt(2) */
}

/* Where a clip lies in units: on the outermost level, or on the outer edge of the outermost cell. */
static int qeil_reach(int kind, int width) {
    if (kind == QEIL_SIGN_MAGNITUDE || (kind == QEIL_SYMMETRIC && width == 1)) return 1 << width;
    if (kind == QEIL_SYMMETRIC) return (1 << (width - 1)) - 1;
    return qeil_largest_level(kind, width);
}

/* The stream's sets of parameters -> units and what is added to T, by set; returns the index of the first set that is not valid,
 * or -1. `largest` bounds |T|; where zeros are stored T is taken to be in [lowest, largest]. */
static ptrdiff_t qeil_read_sets(const uint8_t *sets, int exponent, size_t count, int kind, int lowest, int largest, float *unit,
                                int32_t *zero) {
    const size_t bytes = qeil_set_bytes(kind);
    for (size_t j = 0; j < count; j++) {
        uint16_t half;
        int16_t stored = 0;
        memcpy(&half, sets + bytes * j, 2);
        if (bytes == 4) memcpy(&stored, sets + bytes * j + 2, 2);
        if (half >= 0x7c00u) return (ptrdiff_t)j; /* infinite, NaN or negative */
        unit[j] = (float)ldexp(qeil_from_half(half), exponent);
        zero[j] = stored;
        const int32_t low = -(lowest + stored), high = largest + stored, extreme = low > high ? low : high;
        if (!(fabs((double)unit[j] * extreme) < QEIL_FLOAT_LIMIT)) return (ptrdiff_t)j;
    }
    return -1;
}

#endif
