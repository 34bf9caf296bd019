/* Where to put the levels: over given ends, or where the squared error is least.
 *
 * Sums run in QEIL_SUMS independent lanes, added at the end in order: they vectorise and give the same value everywhere. */
#ifndef QEIL_LEVELS_H
#define QEIL_LEVELS_H

#include "clip.h"
#include "ladder.h"

#define QEIL_SAMPLES 4096
#define QEIL_PASSES 6

typedef struct {
    double first, step; /* uniform: level 0 and the distance between levels; others: what T = 0 stands for, and the unit */
    int covers;         /* QEIL_FREE, or what rounding the parameters must keep */
} qeil_levels;

/* FREE: searched; COVER: the ends of the range; COVER_ZERO: those, and 0 stays a level exactly; FIXED: the step, and 0 is a level */
enum { QEIL_FREE = 0, QEIL_COVER = 1, QEIL_COVER_ZERO = 2, QEIL_FIXED = 3 };

/* Values of one set, centred, and how to weigh its extremes beside a sample that may lack them. */
typedef struct {
    float *values;
    size_t size;
    float low, high;
    double weight;
} qeil_sample;

/* Every value of the range within half a step. From 5 bits on, a range that holds 0 makes 0 a level, since features are often
 * sparse, at the price of one level in 2^width; at fewer bits that price is too high. */
static qeil_levels qeil_cover(float low, float high, int width) {
    const double range = (double)high - low;
    qeil_levels levels = {0, 0, width >= 5 && low <= 0 && high >= 0 ? QEIL_COVER_ZERO : QEIL_COVER};
    if (levels.covers == QEIL_COVER_ZERO) {
        levels.step = range / ((1 << width) - 1);
        levels.first = levels.step > 0 ? levels.step * floor(low / levels.step + 0.5) : 0;
    } else { /* as much wider as rounding `first` down to the grid may cost */
        levels.step = range / ((1 << width) - 1.0 / (1 << (8 - width)));
        levels.first = low + levels.step / 2;
    }
    return levels;
}

typedef struct {
    double codes, squares, products; /* sums of q, q^2, y*q */
} qeil_sums;

/* The nearest of the codes 0 .. top, as a float. */
QEIL_INLINE float qeil_nearest(float y, float inverse, float offset, float top) {
    return (qeil_clamp(y * inverse - offset, 0.0f, top) + 8388608.0f) - 8388608.0f;
}

/* Squared error of a sample with the levels first + step * (0 .. top). */
QEIL_CLONES static double qeil_even_error(const qeil_sample *s, double first, double step, int count) {
    const float base = (float)first, wide = (float)step, inverse = 1.0f / wide, offset = base * inverse, top = (float)count;
    const float *restrict y = s->values;
    float lanes[QEIL_SUMS] = {0}, ends[2];
    size_t at = 0;
    for (; at + QEIL_SUMS <= s->size; at += QEIL_SUMS)
        for (size_t lane = 0; lane < QEIL_SUMS; lane++) {
            const float e = y[at + lane] - (base + wide * qeil_nearest(y[at + lane], inverse, offset, top));
            lanes[lane] += e * e;
        }
    for (size_t lane = 0; at + lane < s->size; lane++) {
        const float e = y[at + lane] - (base + wide * qeil_nearest(y[at + lane], inverse, offset, top));
        lanes[lane] += e * e;
    }
    double error = 0;
    for (int lane = 0; lane < QEIL_SUMS; lane++) error += lanes[lane];
    ends[0] = s->low - (base + wide * qeil_nearest(s->low, inverse, offset, top));
    ends[1] = s->high - (base + wide * qeil_nearest(s->high, inverse, offset, top));
    return s->weight > 0 ? error + s->weight * ((double)(ends[0] * ends[0]) + ends[1] * ends[1]) : error;
}

/* What a least-squares fit of levels needs: every value at its nearest one. */
QEIL_CLONES static qeil_sums qeil_assign(const qeil_sample *s, double first, double step, int count) {
    const float base = (float)first, inverse = 1.0f / (float)step, offset = base * inverse, top = (float)count;
    const float *restrict y = s->values;
    float codes[QEIL_SUMS] = {0}, squares[QEIL_SUMS] = {0}, products[QEIL_SUMS] = {0}; /* of whole numbers: exact */
    for (size_t at = 0; at < s->size; at += QEIL_SUMS) {
        const size_t k = s->size - at < QEIL_SUMS ? s->size - at : QEIL_SUMS;
        for (size_t lane = 0; lane < k; lane++) {
            const float q = qeil_nearest(y[at + lane], inverse, offset, top);
            codes[lane] += q;
            squares[lane] += q * q;
            products[lane] += y[at + lane] * q;
        }
    }
    qeil_sums sums = {0, 0, 0};
    for (int lane = 0; lane < QEIL_SUMS; lane++) {
        sums.codes += codes[lane];
        sums.squares += squares[lane];
        sums.products += products[lane];
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

/* At most QEIL_SAMPLES values of a set, less `centre`: all of them, or spread by the golden ratio, no stride to fall in step with;
 * then the extremes stand for the rare values that the sample may lack. */
static qeil_sample qeil_take_sample(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, float low, float high,
                                    float centre, float *values) {
    const size_t size = qeil_set_size(n, g, set), k = size < QEIL_SAMPLES ? size : QEIL_SAMPLES;
    for (size_t at = 0; at < k && k == size; at += QEIL_BLOCK) {
        const size_t block = k - at < QEIL_BLOCK ? k - at : QEIL_BLOCK;
        const float *x = qeil_set_block(data, dtype, g, set, at, block, values + at);
        for (size_t i = 0; i < block; i++) values[at + i] = x[i] - centre;
    }
    for (size_t i = 0; i < k && k < size; i++) {
        const size_t pick = (size_t)(((uint64_t)(uint32_t)(i * 2654435769u) * size) >> 32);
        const size_t index = size <= g.inner ? set * g.inner + pick : qeil_set_index(g, set, pick); /* spares a division */
        values[i] = qeil_element(data, dtype, index) - centre;
    }
    return (qeil_sample){values, k, low - centre, high - centre, k == size ? 0 : (double)k / (double)size};
}

/* Steps that are optimal for a Laplacian source of unit variance, by width: starts only. */
static const double qeil_laplacian_step[9] = {0, 1.4142, 1.0874, 0.7309, 0.4610, 0.2800, 0.1657, 0.0961, 0.0549};

/* Ratios 2^(1/2), 2^(1/4), ... by which ends are moved. */
static const double qeil_factor[5] = {1.4142135623730951, 1.1892071150027210, 1.0905077326652577, 1.0442737824274138,
                                      1.0218971486541166};

/* The search for evenly spaced levels anywhere: the ends below and above the sample's mean, and the best levels so far. */
typedef struct {
    const qeil_sample *sample;
    int top;
    double below, above, error; /* of the last pair of ends that was accepted */
    double first, step, best;   /* of all levels tried */
} qeil_search;

static double qeil_try_levels(qeil_search *s, double first, double step) {
    if (!((float)step > 1e-37f)) return INFINITY;
    const double error = qeil_even_error(s->sample, first, step, s->top);
    if (error < s->best) s->best = error, s->first = first, s->step = step;
    return error;
}

/* Levels in the middles of 2^width cells between the ends; whether they are better than those of the ends accepted last. */
static int qeil_try_ends(qeil_search *s, double below, double above) {
    const double step = (above + below) / (s->top + 1), error = qeil_try_levels(s, step / 2 - below, step);
    if (!(error < s->error)) return 0;
    s->below = below, s->above = above, s->error = error;
    return 1;
}

/* Evenly spaced levels of least squared error: a pattern search over the two ends, from the range and from the ends that suit a
 * Gaussian and a Laplacian; then least squares and nearest-level assignment in turn. */
static qeil_levels qeil_search_uniform(qeil_sample *sample, float low, float high, int width) {
    const double k = (double)sample->size;
    double sum, square, spread;
    qeil_moments(sample->values, sample->size, 0.0f, &sum, &square);
    const float centre = (float)(sum / k);
    qeil_moments(sample->values, sample->size, centre, &sum, &square);
    spread = sqrt(square / k);
    for (size_t i = 0; i < sample->size; i++) sample->values[i] -= centre;
    sample->low -= centre, sample->high -= centre;

    const qeil_levels cover = qeil_cover(low, high, width);
    const double lowest = -(double)sample->low, highest = sample->high;
    qeil_search s = {sample, (1 << width) - 1, lowest, highest, INFINITY, cover.first - centre, cover.step, INFINITY};
    const double cover_error = qeil_try_levels(&s, s.first, s.step);
    s.error = cover_error;
    for (int octave = -2; octave <= 2; octave++) { /* about what suits a Laplacian; the first is the range itself */
        const double clip = octave < -1 ? INFINITY : qeil_laplacian_step[width] * spread * (1 << width) * ldexp(1, -octave - 1);
        const double above = clip < highest ? clip : highest, below = clip < lowest ? clip : lowest;
        const double half = (above + below) / (2 * (s.top + 1));
        qeil_try_ends(&s, below, above);
        qeil_try_ends(&s, lowest + (lowest + above) / (2 * s.top + 1), above); /* the first level on the minimum */
        if (width <= 3) qeil_try_ends(&s, below - half, above + half);         /* a level on the mean, if the ends are alike */
    }
    for (int f = 0; f < 4; f++)
        for (int move = 0; move < 4; move++) {
            const double ratio = move & 1 ? qeil_factor[f] : 1 / qeil_factor[f];
            const double below = move & 2 ? 1 : ratio, above = move & 2 ? ratio : 1;
            while (qeil_try_ends(&s, s.below * below, s.above * above)) {}
        }
    for (int pass = 0; pass < QEIL_PASSES; pass++) {
        const double before = s.best;
        const qeil_sums sums = qeil_assign(sample, s.first, s.step, s.top);
        const double determinant = k * sums.squares - sums.codes * sums.codes;
        if (!(determinant > 0)) break;
        const double step = (k * sums.products - sums.codes * sum) / determinant;
        if (!(qeil_try_levels(&s, (sum - step * sums.codes) / k, step) < 0.999 * before)) break;
    }
    if (!(s.best < cover_error)) return cover;
    return (qeil_levels){s.first + centre, s.step, QEIL_FREE};
}

/* Squared error of a sample with the unit. */
QEIL_CLONES static double qeil_table_error(const qeil_sample *s, const qeil_ladder *ladder, float unit) {
    const float inverse = 1.0f / unit, centre = (float)ladder->centre, top = (float)(ladder->size - 1);
    float lanes[QEIL_SUMS] = {0}, ends = 0;
    for (size_t at = 0; at < s->size; at += QEIL_SUMS) {
        const size_t k = s->size - at < QEIL_SUMS ? s->size - at : QEIL_SUMS;
        float level[QEIL_SUMS];
        uint16_t positions[QEIL_SUMS];
        for (size_t lane = 0; lane < k; lane++)
            positions[lane] = (uint16_t)qeil_round_small(qeil_clamp(s->values[at + lane] * inverse + centre, 0.0f, top));
        for (size_t lane = 0; lane < k; lane++) level[lane] = ladder->levels[ladder->codes[positions[lane]]];
        for (size_t lane = 0; lane < k; lane++) {
            const float e = s->values[at + lane] - level[lane] * unit;
            lanes[lane] += e * e;
        }
    }
    double error = 0;
    for (int lane = 0; lane < QEIL_SUMS; lane++) error += lanes[lane];
    for (int end = 0; end < 2; end++) {
        const float y = end ? s->high : s->low;
        const uint32_t position = qeil_round_small(qeil_clamp(y * inverse + centre, 0.0f, top));
        const float e = y - ladder->levels[ladder->codes[position]] * unit;
        ends += e * e;
    }
    return error + s->weight * ends;
}

static double qeil_unit_error(const qeil_sample *s, const qeil_ladder *ladder, double unit) {
    if (!((float)unit > 1e-37f)) return INFINITY;
    if (!qeil_even(ladder->kind)) return qeil_table_error(s, ladder, (float)unit);
    const int lowest = qeil_lowest_code(ladder->kind, ladder->width), spacing = qeil_spacing(ladder->kind, ladder->width);
    const int first = spacing * lowest + qeil_first(ladder->kind, ladder->width);
    return qeil_even_error(s, first * unit, spacing * unit, (1 << ladder->width) - 1 - lowest);
}

/* The unit of least squared error near the one that suits exponential magnitudes: in steps of half an octave, then ever finer;
 * the one that covers the ends is tried too. */
static qeil_levels qeil_search_unit(const qeil_sample *s, const qeil_ladder *ladder, double cover) {
    double sum = 0, unit, error, tried;
    float lanes[QEIL_SUMS] = {0};
    for (size_t i = 0; i < s->size; i++) lanes[i % QEIL_SUMS] += fabsf(s->values[i]);
    for (int lane = 0; lane < QEIL_SUMS; lane++) sum += lanes[lane];
    qeil_levels best = {0, cover, QEIL_COVER};
    double best_error = qeil_unit_error(s, ladder, cover);
    unit = qeil_exponential_clip(ladder->kind, ladder->width, 0) * (sum / (double)s->size);
    unit = unit / qeil_reach(ladder->kind, ladder->width) / (2 * qeil_factor[0]);
    for (int k = -3; k <= 2; k++, unit *= qeil_factor[0])
        if ((error = qeil_unit_error(s, ladder, unit)) < best_error) best_error = error, best = (qeil_levels){0, unit, QEIL_FREE};
    for (int f = 1; f < 5; f++) {
        const double middle = best.step;
        for (int up = 0; up < 2; up++) {
            tried = up ? middle * qeil_factor[f] : middle / qeil_factor[f];
            if ((error = qeil_unit_error(s, ladder, tried)) < best_error)
                best_error = error, best = (qeil_levels){0, tried, QEIL_FREE};
        }
    }
    return best;
}

/* Not fmax: as a reduction it crashes gcc 12's vectoriser for Arm. */
QEIL_INLINE double qeil_larger(double a, double b) {
    return a > b ? a : b;
}

/* Levels over the ends low and high. */
static qeil_levels qeil_cover_ends(int kind, int width, float low, float high) {
    if (kind == QEIL_UNIFORM) return qeil_cover(low, high, width);
    const double centre = qeil_has_zero(kind) ? ((double)low + high) / 2 : 0;
    const double clip = qeil_has_zero(kind) ? ((double)high - low) / 2 : qeil_larger(fabs(low), fabs(high));
    return (qeil_levels){centre, clip / qeil_reach(kind, width), QEIL_COVER};
}

/* Levels of least squared error for a set whose values lie in low .. high. */
static qeil_levels qeil_least_squares(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, float low, float high,
                                      const qeil_ladder *ladder) {
    float values[QEIL_SAMPLES];
    if (!(low < high) && (qeil_has_zero(ladder->kind) || low == 0)) return qeil_cover_ends(ladder->kind, ladder->width, low, high);
    if (ladder->kind == QEIL_UNIFORM) {
        qeil_sample s = qeil_take_sample(data, dtype, n, g, set, low, high, 0, values);
        return qeil_search_uniform(&s, low, high, ladder->width);
    }
    float centre = 0;
    if (qeil_has_zero(ladder->kind)) {
        const double mean = qeil_set_sum(data, dtype, g, set, qeil_set_size(n, g, set), 0, 0) / (double)qeil_set_size(n, g, set);
        if (!(fabs(mean) <= QEIL_MAGNITUDE)) return qeil_cover_ends(ladder->kind, ladder->width, low, high);
        centre = (float)mean;
    }
    const qeil_sample s = qeil_take_sample(data, dtype, n, g, set, low, high, centre, values);
    const double cover = qeil_larger(fabs(s.low), fabs(s.high)) / qeil_reach(ladder->kind, ladder->width);
    qeil_levels levels = qeil_search_unit(&s, ladder, cover);
    levels.first = centre;
    return levels;
}

/* Levels with a given step: 0 is one of them. */
static qeil_levels qeil_fixed_step(int kind, int width, float low, double step) {
    if (kind != QEIL_UNIFORM) return (qeil_levels){0, step / qeil_spacing(kind, width), QEIL_FIXED};
    return (qeil_levels){step * floor(low / step + 0.5), step, QEIL_FIXED};
}

/* The unit must also be large enough for the range's ends to be reached by a zero of 16 bits. */
static double qeil_wanted_unit(qeil_levels levels, float low, float high, int kind, int width) {
    if (kind != QEIL_UNIFORM) return qeil_larger(levels.step, qeil_has_zero(kind) ? fabs(levels.first) / 32750.0 : 0);
    const double unit = levels.step / qeil_spacing(kind, width);
    return levels.covers == QEIL_FIXED ? unit : qeil_larger(unit, qeil_larger(fabs(low), fabs(high)) / 32750.0);
}

/* The uniform quantizer's zero, for the unit as rounded. */
static double qeil_uniform_zero(qeil_levels levels, float low, float high, int width, double unit) {
    const int grid = 1 << (8 - width), top = (1 << width) - 1;
    const double step = grid * unit;
    if (levels.covers == QEIL_FIXED) return grid * nearbyint(levels.first / step);
    if (!(low < high)) return nearbyint(low / unit);
    if (levels.covers == QEIL_COVER_ZERO) return grid * floor((low + step / 2) / step);
    if (levels.covers == QEIL_COVER) return floor((low + step / 2) / unit);
    return nearbyint((levels.first + top * (levels.step - step) / 2) / unit); /* the same centre */
}

/* Levels of every set -> the stream's parameters: the exponent, then a unit and perhaps a zero for each set. */
static void qeil_write_sets(const qeil_levels *levels, const float *low, const float *high, size_t count, int kind, int width,
                            uint8_t *parameters) {
    const size_t bytes = qeil_set_bytes(kind);
    double largest = 0;
    for (size_t j = 0; j < count; j++)
        largest = qeil_larger(largest, qeil_wanted_unit(levels[j], low[j], high[j], kind, width));
    int exponent = largest > 0 ? ilogb(largest) - 14 : 0;
    exponent = exponent < QEIL_EXPONENT_LOW ? QEIL_EXPONENT_LOW : exponent;
    exponent = exponent > QEIL_EXPONENT_HIGH ? QEIL_EXPONENT_HIGH : exponent;
    parameters[0] = (uint8_t)exponent;
    for (size_t j = 0; j < count; j++) {
        const double scaled = ldexp(qeil_wanted_unit(levels[j], low[j], high[j], kind, width), -exponent);
        const int up = levels[j].covers == QEIL_COVER || levels[j].covers == QEIL_COVER_ZERO;
        uint16_t half = qeil_to_half_saturated((float)scaled);
        if ((up && qeil_from_half(half) < scaled) || (half == 0 && scaled > 0)) half++;
        memcpy(parameters + 1 + bytes * j, &half, 2);
        if (bytes == 4) {
            const double unit = ldexp(qeil_from_half(half), exponent);
            const double first = half == 0             ? 0
                                 : kind == QEIL_UNIFORM ? qeil_uniform_zero(levels[j], low[j], high[j], width, unit)
                                                        : nearbyint(levels[j].first / unit);
            const int16_t zero = (int16_t)fmin(fmax(first, -QEIL_ZERO_LIMIT), QEIL_ZERO_LIMIT);
            memcpy(parameters + 3 + bytes * j, &zero, 2);
        }
    }
}

#endif
