/* Prediction from the neighbourhood of a reference and from the frame's own values to the left and above. All on binary32 as
 * docs/bitstream.md says, every operation rounded by itself; the fit in binary64 with sums in a fixed order of lanes.
 *
 * A tensor is seen as [outer, rows, cols, inner]: `outer` planes of positions, `inner` values at each. */
#ifndef QEIL_FILTER_H
#define QEIL_FILTER_H

#include "prediction.h"

#define QEIL_TAPS 9
#define QEIL_FILTER_MOST 0x1p120f /* larger magnitudes count as this, so that no sum overflows */
#define QEIL_FIT_CHUNK 512
#define QEIL_FIT_UNKNOWNS (QEIL_TAPS + 1)
#define QEIL_FIT_COLUMNS (QEIL_FIT_UNKNOWNS + 1)
#define QEIL_FIT_PRODUCTS (QEIL_FIT_COLUMNS * (QEIL_FIT_COLUMNS + 1) / 2)
#define QEIL_PLANES 8 /* worked on at once where values wait for their neighbours */

typedef struct {
    size_t outer, rows, cols, inner;
} qeil_grid;

QEIL_INLINE float qeil_bounded(float value) {
    return qeil_clamp(value, -QEIL_FILTER_MOST, QEIL_FILTER_MOST);
}

/* One plane, its edge repeated once around it: [rows + 2, cols + 2, inner]. */
QEIL_CLONES static void qeil_pad_plane(const float *restrict plane, const qeil_grid *g, float *restrict out) {
    const size_t n = g->cols * g->inner, wide = n + 2 * g->inner;
    for (size_t r = 0; r < g->rows; r++) {
        float *to = out + (r + 1) * wide;
        for (size_t j = 0; j < n; j++) to[g->inner + j] = qeil_bounded(plane[r * n + j]);
        memcpy(to, to + g->inner, g->inner * sizeof *to);
        memcpy(to + g->inner + n, to + n, g->inner * sizeof *to);
    }
    memcpy(out, out + wide, wide * sizeof *out);
    memcpy(out + (g->rows + 1) * wide, out + g->rows * wide, wide * sizeof *out);
}

QEIL_CLONES static void qeil_filter_row(const float *restrict a, size_t wide, size_t inner, const float *restrict w, size_t n,
                                        float *restrict out) {
    const float *b = a + wide, *c = b + wide;
    for (size_t j = 0; j < n; j++) {
        float sum = w[0] * a[j];
        sum = sum + w[1] * a[j + inner];
        sum = sum + w[2] * a[j + 2 * inner];
        sum = sum + w[3] * b[j];
        sum = sum + w[4] * b[j + inner];
        sum = sum + w[5] * b[j + 2 * inner];
        sum = sum + w[6] * c[j];
        sum = sum + w[7] * c[j + inner];
        out[j] = sum + w[8] * c[j + 2 * inner];
    }
}

QEIL_CLONES static void qeil_scale_bounded(const float *restrict p, float weight, size_t n, float *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = weight * qeil_bounded(p[i]);
}

QEIL_CLONES static void qeil_add_scaled(const float *restrict p, float weight, size_t n, float *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = out[i] + weight * qeil_bounded(p[i]);
}

/* out = the weighted 3x3 neighbourhood of p (taps = QEIL_TAPS), or weights[0] p (taps = 1); plus, with a q, weights[taps] q.
 * `padded`: room for (rows + 2)(cols + 2) inner values. */
static void qeil_filter(const float *p, const float *q, const qeil_grid *g, int taps, const float *weights, float *padded, float *out) {
    const size_t n = g->cols * g->inner, wide = n + 2 * g->inner, plane = g->rows * n;
    if (taps == 1) qeil_scale_bounded(p, weights[0], g->outer * plane, out);
    for (size_t o = 0; taps > 1 && o < g->outer; o++) {
        qeil_pad_plane(p + o * plane, g, padded);
        for (size_t r = 0; r < g->rows; r++) qeil_filter_row(padded + r * wide, wide, g->inner, weights, n, out + o * plane + r * n);
    }
    if (q) qeil_add_scaled(q, weights[taps], g->outer * plane, out);
}

/* ---------------------------------------------------------------- least squares */

QEIL_CLONES static void qeil_dot(const double *restrict a, const double *restrict b, size_t n, double *restrict sums) {
    double lanes[QEIL_SUM_LANES] = {0};
    size_t i = 0;
    for (; i + QEIL_SUM_LANES <= n; i += QEIL_SUM_LANES)
        for (int l = 0; l < QEIL_SUM_LANES; l++) lanes[l] += a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++) lanes[l] += a[i] * b[i];
    for (int l = 0; l < QEIL_SUM_LANES; l++) sums[l] += lanes[l];
}

static void qeil_fit_products(double (*columns)[QEIL_FIT_CHUNK], int count, size_t n, double (*sums)[QEIL_SUM_LANES]) {
    for (int a = 0; a < count; a++)
        for (int b = a; b < count; b++) qeil_dot(columns[a], columns[b], n, *sums++);
}

QEIL_CLONES static void qeil_widen(const float *restrict from, size_t n, double *restrict to) {
    for (size_t i = 0; i < n; i++) to[i] = (double)from[i];
}

/* `matrix` [count, count + 1], symmetric but for the last column, which becomes the solution; false if it has none. */
static int qeil_solve_symmetric(double (*matrix)[QEIL_FIT_COLUMNS], int count) {
    for (int k = 0; k < count; k++) {
        if (!(matrix[k][k] > 0)) return 0;
        for (int row = k + 1; row < count; row++) {
            const double ratio = matrix[row][k] / matrix[k][k];
            for (int c = k; c <= count; c++) matrix[row][c] -= ratio * matrix[k][c];
        }
    }
    for (int k = count - 1; k >= 0; k--) {
        for (int c = k + 1; c < count; c++) matrix[k][count] -= matrix[k][c] * matrix[c][count];
        matrix[k][count] /= matrix[k][k];
    }
    return 1;
}

/* The weights of qeil_filter() that leave the least squared error to x; false if there are none. */
static int qeil_fit(const float *x, const float *p, const float *q, const qeil_grid *g, int taps, float *padded, double *weights) {
    static const double ridge = 1e-6; /* of the mean diagonal: where columns are alike, their weights are */
    double columns[QEIL_FIT_COLUMNS][QEIL_FIT_CHUNK], sums[QEIL_FIT_PRODUCTS][QEIL_SUM_LANES] = {{0}};
    double matrix[QEIL_FIT_UNKNOWNS][QEIL_FIT_COLUMNS], trace = 0;
    const int unknowns = taps + (q != NULL);
    const size_t n = g->cols * g->inner, wide = n + 2 * g->inner;
    size_t used = 0;
    for (size_t o = 0; o < g->outer; o++) {
        if (taps > 1) qeil_pad_plane(p + o * g->rows * n, g, padded);
        for (size_t r = 0; r < g->rows; r++)
            for (size_t j = 0, part; j < n; j += part) {
                const size_t at = (o * g->rows + r) * n + j;
                part = n - j < QEIL_FIT_CHUNK - used ? n - j : QEIL_FIT_CHUNK - used;
                if (taps == 1) qeil_widen(p + at, part, columns[0] + used);
                for (size_t k = 0; taps > 1 && k < QEIL_TAPS; k++)
                    qeil_widen(padded + (r + k / 3) * wide + k % 3 * g->inner + j, part, columns[k] + used);
                if (q) qeil_widen(q + at, part, columns[taps] + used);
                qeil_widen(x + at, part, columns[unknowns] + used);
                used += part;
                if (used == QEIL_FIT_CHUNK) {
                    qeil_fit_products(columns, unknowns + 1, used, sums);
                    used = 0;
                }
            }
    }
    qeil_fit_products(columns, unknowns + 1, used, sums);
    const double(*sum)[QEIL_SUM_LANES] = (const double(*)[QEIL_SUM_LANES])sums;
    for (int a = 0; a < unknowns; a++) {
        for (int b = a; b <= unknowns; b++) {
            matrix[a][b] = qeil_lane_sum(*sum++);
            if (b < unknowns) matrix[b][a] = matrix[a][b];
        }
        trace += matrix[a][a];
    }
    for (int a = 0; a < unknowns; a++) matrix[a][a] += ridge * trace / unknowns;
    if (!qeil_solve_symmetric(matrix, unknowns)) return 0;
    for (int a = 0; a < unknowns; a++) weights[a] = matrix[a][unknowns];
    return 1;
}

/* ---------------------------------------------------------------- values to the left and above */

/* out = left + up, where there is none 0 */
QEIL_CLONES static void qeil_left_up(const float *restrict x, const qeil_grid *g, float *restrict out) {
    const size_t n = g->cols * g->inner;
    for (size_t row = 0; row < g->outer * g->rows; row++, x += n, out += n) {
        for (size_t j = 0; j < n; j++) out[j] = row % g->rows ? x[(ptrdiff_t)j - (ptrdiff_t)n] : 0.0f;
        for (size_t j = g->inner; j < n; j++) out[j] = x[j - g->inner] + out[j];
    }
}

QEIL_INLINE float qeil_left_and_up(const float *e, size_t row, size_t j, size_t n, size_t inner) {
    const float left = j >= inner ? e[row * n + j - inner] : 0.0f;
    return left + (row ? e[(row - 1) * n + j] : 0.0f);
}

QEIL_INLINE void qeil_restore_planes(float *values, const qeil_grid *g, float spatial, size_t planes) {
    const size_t n = g->cols * g->inner, plane = g->rows * n;
    for (size_t row = 0; row < g->rows; row++)
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < planes; l++) {
                float *e = values + l * plane;
                e[row * n + j] = qeil_bounded(e[row * n + j] + spatial * qeil_left_and_up(e, row, j, n, g->inner));
            }
}

/* In place: every value plus `spatial` times the sum of what has become of those to the left and above. */
QEIL_CLONES static void qeil_restore(float *values, const qeil_grid *g, float spatial) {
    const size_t plane = g->rows * g->cols * g->inner;
    size_t o = 0;
    for (; o + QEIL_PLANES <= g->outer; o += QEIL_PLANES) qeil_restore_planes(values + o * plane, g, spatial, QEIL_PLANES);
    for (; o < g->outer; o++) qeil_restore_planes(values + o * plane, g, spatial, 1);
}

QEIL_INLINE void qeil_follow_planes(const float *restrict x, const float *restrict offsets, const qeil_grid *g, float spatial,
                                    float inverse, float unit, float *restrict restored, int16_t *restrict codes, size_t planes,
                                    double *restrict errors) {
    const size_t n = g->cols * g->inner, plane = g->rows * n;
    for (size_t row = 0; row < g->rows; row++)
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < planes; l++) {
                const size_t at = l * plane + row * n + j;
                float *e = restored + l * plane;
                const float expected = spatial * qeil_left_and_up(e, row, j, n, g->inner);
                qeil_round_one(x[at] - expected, inverse, offsets[at], codes + at);
                e[row * n + j] = qeil_bounded((float)codes[at] * unit + expected);
                const double error = (x[at] - e[row * n + j]) * inverse;
                errors[l] += error * error;
            }
}

/* Codes of x such that qeil_restore() of their values comes near x: each value is rounded, towards zero unless its fraction and its
 * offset make one, when what its neighbours have become is known. `restored`: what a decoder will have. Returns the squared error, in
 * squared steps. */
QEIL_CLONES static double qeil_follow(const float *x, const float *offsets, const qeil_grid *g, float spatial, float inverse, float unit,
                                      float *restored, int16_t *codes) {
    const size_t plane = g->rows * g->cols * g->inner;
    double errors[QEIL_PLANES] = {0}, sum = 0;
    size_t o = 0;
    for (; o + QEIL_PLANES <= g->outer; o += QEIL_PLANES)
        qeil_follow_planes(x + o * plane, offsets + o * plane, g, spatial, inverse, unit, restored + o * plane, codes + o * plane,
                           QEIL_PLANES, errors);
    for (; o < g->outer; o++)
        qeil_follow_planes(x + o * plane, offsets + o * plane, g, spatial, inverse, unit, restored + o * plane, codes + o * plane, 1,
                           errors);
    for (int l = 0; l < QEIL_PLANES; l++) sum += errors[l];
    return sum;
}

#endif
