/* Where to put the levels of the uniform quantizer: over the range, or where the squared error is least.
 *
 * Sums run in QEIL_SUMS independent lanes, added at the end in order: they vectorise and give the same value everywhere. */
#ifndef QEIL_LEVELS_H
#define QEIL_LEVELS_H

#include <math.h>

#include "elements.h"

#define QEIL_SUMS 16
#define QEIL_SAMPLES 4096
#define QEIL_PASSES 12
#define QEIL_ZERO_LIMIT 32767
#define QEIL_EXPONENT_LOW (-100)
#define QEIL_EXPONENT_HIGH 111

typedef struct {
    double first, step; /* level 0 and the distance between levels */
    int covers;         /* QEIL_FREE, or what rounding the parameters must keep */
} qeil_levels;

/* FREE: the error was searched; COVER: the ends of the range; COVER_ZERO: those, and 0 stays a level exactly */
enum { QEIL_FREE = 0, QEIL_COVER = 1, QEIL_COVER_ZERO = 2 };

QEIL_INLINE int qeil_grid(int width) { /* grid points per step */
    return 1 << (8 - width);
}

/* Every value of the range within half a step. From 5 bits on, a range that holds 0 makes 0 a level, since features are often
 * sparse, at the price of one level in 2^width; at fewer bits that price is too high. */
static qeil_levels qeil_cover(float low, float high, int width) {
    const double range = (double)high - low;
    qeil_levels levels = {0, 0, width >= 5 && low <= 0 && high >= 0 ? QEIL_COVER_ZERO : QEIL_COVER};
    if (levels.covers == QEIL_COVER_ZERO) {
        levels.step = range / ((1 << width) - 1);
        levels.first = levels.step > 0 ? levels.step * floor(low / levels.step + 0.5) : 0;
    } else { /* as much wider as rounding `first` down to the grid may cost */
        levels.step = range / ((1 << width) - 1.0 / qeil_grid(width));
        levels.first = low + levels.step / 2;
    }
    return levels;
}

static size_t qeil_set_size(size_t n, qeil_groups g, size_t set) {
    const size_t turn = g.inner * g.count, rest = n % turn, before = set * g.inner;
    const size_t last = rest > before ? rest - before : 0;
    return n / turn * g.inner + (last < g.inner ? last : g.inner);
}

QEIL_INLINE size_t qeil_set_index(qeil_groups g, size_t set, size_t i) {
    return i / g.inner * (g.inner * g.count) + set * g.inner + i % g.inner;
}

typedef struct {
    double error, codes, squares, products; /* sums of e^2, q, q^2, y*q */
} qeil_sums;

/* Adds `size` values, one a lane; missing values count nothing. */
QEIL_INLINE void qeil_assign_lanes(const float *y, size_t size, float base, float step, float inverse, float offset, float top,
                                   float *error, float *products, int32_t *codes, int32_t *squares) {
    for (size_t lane = 0; lane < size; lane++) {
        const int32_t q = (int32_t)qeil_round_small(qeil_clamp(y[lane] * inverse - offset, 0.0f, top));
        const float e = y[lane] - (base + step * (float)q);
        error[lane] += e * e;
        products[lane] += y[lane] * (float)q;
        codes[lane] += q;
        squares[lane] += q * q;
    }
}

/* One pass over k values: error of the levels, and what the next least-squares fit needs. */
QEIL_CLONES static qeil_sums qeil_assign(const float *y, size_t k, double first, double step, int width) {
    const float base = (float)first, wide = (float)step, inverse = 1.0f / wide, offset = base * inverse;
    const float top = (float)((1 << width) - 1);
    float error[QEIL_SUMS] = {0}, products[QEIL_SUMS] = {0};
    int32_t codes[QEIL_SUMS] = {0}, squares[QEIL_SUMS] = {0};
    size_t at = 0;
    for (; at + QEIL_SUMS <= k; at += QEIL_SUMS)
        qeil_assign_lanes(y + at, QEIL_SUMS, base, wide, inverse, offset, top, error, products, codes, squares);
    qeil_assign_lanes(y + at, k - at, base, wide, inverse, offset, top, error, products, codes, squares);
    qeil_sums sums = {0, 0, 0, 0};
    for (int lane = 0; lane < QEIL_SUMS; lane++) {
        sums.error += error[lane];
        sums.products += products[lane];
        sums.codes += codes[lane];
        sums.squares += squares[lane];
    }
    return sums;
}

QEIL_CLONES static void qeil_moments(const float *x, size_t k, float centre, double *sum, double *square) {
    float sums[QEIL_SUMS] = {0}, squares[QEIL_SUMS] = {0};
    for (size_t at = 0; at < k; at += QEIL_SUMS)
        for (size_t lane = 0; lane < QEIL_SUMS && at + lane < k; lane++) {
            const float y = x[at + lane] - centre;
            sums[lane] += y;
            squares[lane] += y * y;
        }
    *sum = *square = 0;
    for (int lane = 0; lane < QEIL_SUMS; lane++) *sum += sums[lane], *square += squares[lane];
}

/* Steps that are optimal for a Gaussian and a Laplacian source of unit variance, by width: starts only. */
static const double qeil_gaussian_step[9] = {0, 1.5958, 0.9957, 0.5860, 0.3352, 0.1881, 0.1041, 0.0569, 0.0308};
static const double qeil_laplacian_step[9] = {0, 1.4142, 1.0874, 0.7309, 0.4610, 0.2800, 0.1657, 0.0961, 0.0549};

/* Levels of least squared error for x[0..k), low < high its extremes; x is centred in place. */
static qeil_levels qeil_least_squares(float *x, size_t k, float low, float high, int width) {
    const double m = (1 << width) - 1;
    double sum, square, spread;
    qeil_moments(x, k, 0.0f, &sum, &square);
    const float centre = (float)(sum / (double)k);
    qeil_moments(x, k, centre, &sum, &square);
    spread = sqrt(square / (double)k);
    for (size_t i = 0; i < k; i++) x[i] -= centre;

    qeil_levels best = qeil_cover(low, high, width), start[4];
    double best_error = INFINITY;
    start[0] = best;
    start[0].first -= centre;
    start[1].step = qeil_gaussian_step[width] * spread;
    start[1].first = -m * start[1].step / 2;
    start[2].step = qeil_laplacian_step[width] * spread;
    start[2].first = -m * start[2].step / 2;
    start[3].first = (double)low - centre; /* one-sided values: the first level on the minimum */
    start[3].step = (3 * spread - start[3].first) / (m + 0.5);
    for (int s = 0; s < 4; s++) {
        double first = start[s].first, step = start[s].step, previous = INFINITY;
        for (int pass = 0; pass < QEIL_PASSES && step > 0 && (float)step > 1e-37f; pass++) {
            const qeil_sums sums = qeil_assign(x, k, first, step, width);
            if (sums.error < best_error) {
                best_error = sums.error;
                best.first = first + centre;
                best.step = step;
                best.covers = s == 0 && pass == 0 ? start[0].covers : QEIL_FREE;
            }
            if (!(sums.error < 0.999 * previous)) break;
            previous = sums.error;
            const double determinant = (double)k * sums.squares - sums.codes * sums.codes;
            if (!(determinant > 0)) break;
            step = ((double)k * sums.products - sums.codes * sum) / determinant;
            first = (sum - step * sums.codes) / (double)k;
        }
    }
    return best;
}

/* Squared error of levels over a whole set, in blocks. */
static double qeil_set_error(const uint8_t *data, int dtype, qeil_groups g, size_t set, size_t size, qeil_levels levels,
                             int width) {
    float block[QEIL_BLOCK];
    double error = 0;
    for (size_t at = 0; at < size; at += QEIL_BLOCK) {
        const size_t k = size - at < QEIL_BLOCK ? size - at : QEIL_BLOCK;
        const float *x = block;
        if (size <= g.inner)
            x = qeil_load(data, dtype, qeil_set_index(g, set, at), k, block);
        else
            for (size_t i = 0; i < k; i++) block[i] = qeil_element(data, dtype, qeil_set_index(g, set, at + i));
        error += qeil_assign(x, k, levels.first, levels.step, width).error;
    }
    return error;
}

static qeil_levels qeil_clip(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, float low, float high,
                             int width) {
    float sample[QEIL_SAMPLES];
    const size_t size = qeil_set_size(n, g, set), k = size < QEIL_SAMPLES ? size : QEIL_SAMPLES;
    for (size_t i = 0; i < k; i++) { /* all of them, or spread by the golden ratio: no stride to fall in step with */
        const size_t pick = k == size ? i : (size_t)(((uint64_t)(uint32_t)(i * 2654435769u) * size) >> 32);
        sample[i] = qeil_element(data, dtype, qeil_set_index(g, set, pick));
    }
    const qeil_levels best = qeil_least_squares(sample, k, low, high, width);
    if (k == size || best.covers) return best;
    /* the sample may have missed the few large values that matter */
    const qeil_levels cover = qeil_cover(low, high, width);
    return qeil_set_error(data, dtype, g, set, size, best, width) < qeil_set_error(data, dtype, g, set, size, cover, width)
               ? best
               : cover;
}

/* Not fmax: as a reduction it crashes gcc 12's vectoriser for Arm. */
QEIL_INLINE double qeil_larger(double a, double b) {
    return a > b ? a : b;
}

/* The unit must also be large enough for the range's ends to be reached by a zero of 16 bits. */
static double qeil_wanted_unit(qeil_levels levels, float low, float high, int grid) {
    return qeil_larger(levels.step / grid, qeil_larger(fabs(low), fabs(high)) / 32750.0);
}

/* Levels of every set -> the stream's parameters: the exponent, then a unit and a zero for each set. */
static void qeil_parameters(const qeil_levels *levels, const float *low, const float *high, size_t count, int width,
                            uint8_t *parameters) {
    const int grid = qeil_grid(width);
    const double m = (1 << width) - 1;
    double largest = 0;
    for (size_t j = 0; j < count; j++) {
        largest = qeil_larger(largest, qeil_wanted_unit(levels[j], low[j], high[j], grid));
    }
    int exponent = largest > 0 ? ilogb(largest) - 14 : 0;
    exponent = exponent < QEIL_EXPONENT_LOW ? QEIL_EXPONENT_LOW : exponent;
    exponent = exponent > QEIL_EXPONENT_HIGH ? QEIL_EXPONENT_HIGH : exponent;
    parameters[0] = (uint8_t)exponent;
    for (size_t j = 0; j < count; j++) {
        const double wanted = qeil_wanted_unit(levels[j], low[j], high[j], grid);
        const double scaled = ldexp(wanted, -exponent);
        uint16_t half = qeil_to_half_saturated((float)scaled);
        if ((levels[j].covers && qeil_from_half(half) < scaled) || (half == 0 && scaled > 0)) half++;
        const double u = ldexp(qeil_from_half(half), exponent), step = grid * u;
        double first;
        if (half == 0)
            first = 0;
        else if (!(low[j] < high[j]))
            first = nearbyint(low[j] / u);
        else if (levels[j].covers == QEIL_COVER_ZERO)
            first = grid * floor((low[j] + step / 2) / step);
        else if (levels[j].covers == QEIL_COVER)
            first = floor((low[j] + step / 2) / u);
        else /* the same centre with the step as rounded */
            first = nearbyint((levels[j].first + m * (levels[j].step - step) / 2) / u);
        const int16_t zero = (int16_t)fmin(fmax(first, -QEIL_ZERO_LIMIT), QEIL_ZERO_LIMIT);
        memcpy(parameters + 1 + 4 * j, &half, 2);
        memcpy(parameters + 3 + 4 * j, &zero, 2);
    }
}

/* The stream's parameters -> units as floats; returns the index of the first set that is not valid, or -1. */
static ptrdiff_t qeil_units(const uint8_t *parameters, int exponent, size_t count, int width, float *unit, int32_t *zero) {
    const int32_t top = qeil_grid(width) * ((1 << width) - 1);
    for (size_t j = 0; j < count; j++) {
        uint16_t half;
        int16_t first;
        memcpy(&half, parameters + 4 * j, 2);
        memcpy(&first, parameters + 4 * j + 2, 2);
        if (half >= 0x7c00u) return (ptrdiff_t)j; /* infinite, NaN or negative */
        unit[j] = (float)ldexp(qeil_from_half(half), exponent);
        zero[j] = first;
        const int32_t last = top + first, extreme = -first > last ? -first : last;
        if (!(fabs((double)unit[j] * extreme) < 3.4028235677973366e38)) return (ptrdiff_t)j;
    }
    return -1;
}

#endif
