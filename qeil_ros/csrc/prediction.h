/* Inter-frame prediction, and rounding with the cost of a code in mind. All on binary32, every operation rounded by itself, sums in
 * a fixed order of lanes: the same bytes on every machine. */
#ifndef QEIL_PREDICTION_H
#define QEIL_PREDICTION_H

#include <float.h>
#include <math.h>

#include "multiversion.h"

#define QEIL_SUM_LANES 16
#define QEIL_RUN_LEAST 4 /* indices of the first run; each further run doubles what is covered, up to QEIL_RUN_MOST */
#define QEIL_RUN_MOST 64
#define QEIL_MAX_INDEX 32767.0f

QEIL_INLINE double qeil_lane_sum(const double *lanes) {
    double sum = 0;
    for (int l = 0; l < QEIL_SUM_LANES; l++) sum += lanes[l];
    return sum;
}

/* sum x*x, sum x*p, sum p*p */
QEIL_CLONES static void qeil_products(const float *x, const float *p, size_t n, double *restrict sums) {
    double xx[QEIL_SUM_LANES] = {0}, xp[QEIL_SUM_LANES] = {0}, pp[QEIL_SUM_LANES] = {0};
    size_t i = 0;
    for (; i + QEIL_SUM_LANES <= n; i += QEIL_SUM_LANES)
        for (int l = 0; l < QEIL_SUM_LANES; l++) {
            const double a = x[i + l], b = p[i + l];
            xx[l] += a * a, xp[l] += a * b, pp[l] += b * b;
        }
    for (int l = 0; i < n; i++, l++) {
        const double a = x[i], b = p[i];
        xx[l] += a * a, xp[l] += a * b, pp[l] += b * b;
    }
    sums[0] = qeil_lane_sum(xx), sums[1] = qeil_lane_sum(xp), sums[2] = qeil_lane_sum(pp);
}

/* out = x - factor*p */
QEIL_CLONES static void qeil_difference(const float *restrict x, const float *restrict p, float factor, size_t n, float *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] - factor * p[i];
}

/* values += factor*p, saturating at the largest finite number */
QEIL_CLONES static void qeil_add(float *restrict values, const float *restrict p, float factor, size_t n) {
    for (size_t i = 0; i < n; i++) values[i] = qeil_clamp(values[i] + factor * p[i], -FLT_MAX, FLT_MAX);
}

QEIL_CLONES static void qeil_sum_magnitudes(const float *restrict x, size_t n, double *restrict lanes) {
    size_t i = 0;
    for (; i + QEIL_SUM_LANES <= n; i += QEIL_SUM_LANES)
        for (int l = 0; l < QEIL_SUM_LANES; l++) lanes[l] += (double)fabsf(x[i + l]);
    for (int l = 0; i < n; i++, l++) lanes[l] += (double)fabsf(x[i]);
}

QEIL_INLINE float qeil_round_one(float x, float inverse, float offset, int16_t *code) { /* gives the error in steps */
    const float scaled = fabsf(x) * inverse, moved = scaled + offset;
    const int32_t size = (int32_t)(moved < QEIL_MAX_INDEX ? moved : QEIL_MAX_INDEX); /* NaN too */
    *code = (int16_t)(x < 0 ? -size : size);
    return scaled - (float)size;
}

QEIL_CLONES static void qeil_round_run(const float *restrict x, size_t n, float inverse, float offset, int16_t *restrict codes,
                                       double *restrict lanes) {
    size_t i = 0;
    for (; i + QEIL_SUM_LANES <= n; i += QEIL_SUM_LANES)
        for (int l = 0; l < QEIL_SUM_LANES; l++) {
            const double error = qeil_round_one(x[i + l], inverse, offset, codes + i + l);
            lanes[l] += error * error;
        }
    for (int l = 0; i < n; i++, l++) {
        const double error = qeil_round_one(x[i], inverse, offset, codes + i);
        lanes[l] += error * error;
    }
}

/* What is added to a magnitude in steps before it is cut: 1/2, less where bits are worth an error.
 *
 * Values are taken for Laplacian with their mean magnitude m, in steps. Then one step more costs log2(e)/m bits, and with the slope
 * -2 ln2 D, D = 1/12, of the rate-distortion function at high rate, a value is rounded up when its fraction is over
 * 1/2 + rate / (12 m). */
QEIL_INLINE float qeil_rounding_offset(double sum, size_t n, float inverse, double rate) {
    const double mean = sum / (double)n * inverse, offset = 0.5 - (mean > 0 ? rate / (12 * mean) : 0.0);
    return (float)(offset > 0 ? offset : 0.0);
}

/* Indices of the run that begins at `first`: their values are rounded alike. */
QEIL_INLINE size_t qeil_run_length(size_t first, size_t outer, size_t size, size_t inner) {
    size_t run = first < QEIL_RUN_LEAST ? QEIL_RUN_LEAST : first < QEIL_RUN_MOST ? first : QEIL_RUN_MOST;
    if (outer == 1 && inner == 1) run = size; /* a vector: its order means nothing */
    return run < size - first ? run : size - first;
}

QEIL_INLINE float qeil_run_offset(const float *x, size_t first, size_t run, size_t outer, size_t size, size_t inner, float inverse,
                                  double rate) {
    double lanes[QEIL_SUM_LANES] = {0};
    for (size_t o = 0; o < outer; o++) qeil_sum_magnitudes(x + (o * size + first) * inner, run * inner, lanes);
    return qeil_rounding_offset(qeil_lane_sum(lanes), outer * run * inner, inverse, rate);
}

/* Multiples of the step 1/inverse, each rounded towards zero where the bits so saved are worth the error, by runs of indices of the
 * middle dimension. `rate` 0 rounds to the nearest. Returns the squared error, in squared steps. */
static double qeil_round_by_cost(const float *x, size_t outer, size_t size, size_t inner, float inverse, double rate, int16_t *codes) {
    double errors[QEIL_SUM_LANES] = {0};
    for (size_t first = 0, run; first < size; first += run) {
        run = qeil_run_length(first, outer, size, inner);
        const float offset = qeil_run_offset(x, first, run, outer, size, inner, inverse, rate);
        for (size_t o = 0; o < outer; o++) {
            const size_t at = (o * size + first) * inner;
            qeil_round_run(x + at, run * inner, inverse, offset, codes + at, errors);
        }
    }
    return qeil_lane_sum(errors);
}

/* The offsets that qeil_round_by_cost() would take, for every value. */
static void qeil_run_offsets(const float *x, size_t outer, size_t size, size_t inner, float inverse, double rate, float *offsets) {
    for (size_t first = 0, run; first < size; first += run) {
        run = qeil_run_length(first, outer, size, inner);
        const float offset = qeil_run_offset(x, first, run, outer, size, inner, inverse, rate);
        for (size_t o = 0; o < outer; o++)
            for (size_t i = 0; i < run * inner; i++) offsets[(o * size + first) * inner + i] = offset;
    }
}

QEIL_CLONES static size_t qeil_count_quiet(const float *p, size_t n, float threshold) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += fabsf(p[i]) <= threshold;
    return count;
}

/* The values whose reference is small first, then the others, each in order; `quiet` from qeil_count_quiet(). */
static void qeil_part(const float *x, const float *p, size_t n, float threshold, size_t quiet, float *out) {
    size_t at[2] = {quiet, 0};
    for (size_t i = 0; i < n; i++) out[at[fabsf(p[i]) <= threshold]++] = x[i];
}

static void qeil_split(const int16_t *codes, const float *p, size_t n, float threshold, size_t quiet, int16_t *parted) {
    size_t at[2] = {quiet, 0};
    for (size_t i = 0; i < n; i++) parted[at[fabsf(p[i]) <= threshold]++] = codes[i];
}

QEIL_CLONES static void qeil_part_offsets(const float *restrict p, size_t n, float threshold, float quiet, float loud,
                                          float *restrict offsets) {
    for (size_t i = 0; i < n; i++) offsets[i] = fabsf(p[i]) <= threshold ? quiet : loud;
}

static void qeil_join(const int16_t *parted, const float *p, size_t n, float threshold, size_t quiet, int16_t *codes) {
    size_t at[2] = {quiet, 0};
    for (size_t i = 0; i < n; i++) codes[i] = parted[at[fabsf(p[i]) <= threshold]++];
}

#endif
