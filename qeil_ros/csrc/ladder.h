/* Tables from positions to codes: for levels that are not evenly spaced, and for codes chosen with their cost in mind. */
#ifndef QEIL_LADDER_H
#define QEIL_LADDER_H

#include "quantizers.h"

#define QEIL_LADDER 24581 /* positions of the longest table: twice the largest threshold, 3/4 of 2^15, with 0 and what lies beyond */
#define QEIL_FINE 32      /* positions to a step when costs count */

/* T as floats, and the code of position p = round(x / unit - zero) at index p + centre. Evenly spaced levels need no such table. */
typedef struct {
    int kind, width, centre, size;
    float levels[256];
    uint8_t *codes;
} qeil_ladder;

/* A magnitude between two levels goes to the lower one up to their middle, included; the outermost positions stand for all beyond. */
static void qeil_build_ladder(qeil_ladder *ladder, int kind, int width) {
    int32_t levels[256];
    const int count = 1 << width, half = count / 2, zero = kind == QEIL_POWER_OF_TWO && width > 1;
    const int32_t *upper = levels + half; /* the levels that are not negative */
    ladder->kind = kind, ladder->width = width;
    qeil_integer_levels(kind, width, levels);
    for (int c = 0; c < count; c++) ladder->levels[c] = (float)levels[c];
    if (qeil_even(kind)) return;
    ladder->centre = width == 1 || half == 1 ? 1 : (upper[half - 1] + upper[half - 2]) / 2 + 1;
    ladder->size = 2 * ladder->centre + 1;
    for (int p = 0, rank = 0; p <= ladder->centre; p++) {
        while (rank + 1 < half && 2 * p > upper[rank] + upper[rank + 1]) rank++;
        ladder->codes[ladder->centre + p] = (uint8_t)(half + rank);
        if (p > 0) ladder->codes[ladder->centre - p] = (uint8_t)(zero ? half - rank : half - 1 - rank);
    }
}

/* The code of least (p - code)^2 + rate * costs[code] / 256 for each position p = 0, 1/32 .. of an evenly spaced quantizer; costs are
 * in 1/256 bit, `rate` in squared steps a bit. Those parabolas are equally wide: each is the least in one interval at most, so one
 * pass finds the surviving codes and where they meet (the thresholds of entropy-constrained quantization: Chou et al., 1989). */
static void qeil_weigh_codes(int kind, int width, const uint16_t *costs, double rate, uint8_t *codes) {
    int survivors[256], kept = 0;
    double from[256], weight[256]; /* where a survivor's interval begins */
    const int top = (1 << width) - 1;
    for (int c = qeil_lowest_code(kind, width); c <= top; c++) {
        double meets = -INFINITY;
        weight[c] = rate * costs[c] / 256.0;
        while (kept > 0) {
            const int before = survivors[kept - 1];
            meets = (before + c) / 2.0 + (weight[c] - weight[before]) / (2.0 * (c - before));
            if (meets > from[kept - 1]) break;
            kept--;
            meets = -INFINITY;
        }
        survivors[kept] = c;
        from[kept++] = meets;
    }
    for (int p = 0, k = 0; p <= QEIL_FINE * top; p++) {
        while (k + 1 < kept && (double)p / QEIL_FINE > from[k + 1]) k++;
        codes[p] = (uint8_t)survivors[k];
    }
}

#endif
