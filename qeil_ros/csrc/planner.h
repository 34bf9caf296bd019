/* The best operating point by enumeration: split x weight width x feature width x clock profile.
 *
 * Every resource (delay, energy, ...) that a point takes is the sum of a part that the computing takes, which feature width does not
 * change, and a part that the link takes, which weight width and profile do not change. What is minimised depends on split and widths
 * alone. So whole rows of profiles can be passed over: where the cost is no better than what was found, or where even the least
 * computing part of the row breaks a limit. Nothing is passed over that could win. */
#ifndef QEIL_PLANNER_H
#define QEIL_PLANNER_H

#include "multiversion.h"

#include <math.h>

#define QEIL_MOST_RESOURCES 8

typedef struct {
    size_t resources, splits, weights, features, profiles;
    const double *compute; /* [resources, splits, weights, profiles] */
    const double *link;    /* [resources, splits, features] */
    const double *cost;    /* [splits, weights, features] */
    const double *limits;  /* [resources] */
} qeil_plan_space;

/* The parts of one row: the points that differ only in their profile. */
typedef struct {
    const double *compute[QEIL_MOST_RESOURCES];
    double link[QEIL_MOST_RESOURCES];
} qeil_plan_row;

QEIL_INLINE void qeil_plan_row_at(const qeil_plan_space *a, size_t s, size_t w, size_t q, qeil_plan_row *row) {
    for (size_t r = 0; r < a->resources; r++) {
        row->compute[r] = a->compute + ((r * a->splits + s) * a->weights + w) * a->profiles;
        row->link[r] = a->link[(r * a->splits + s) * a->features + q];
    }
}

/* The least computing part of each resource over the profiles of (s, w). */
QEIL_INLINE void qeil_plan_floor(const qeil_plan_space *a, size_t s, size_t w, double *least) {
    for (size_t r = 0; r < a->resources; r++) {
        const double *compute = a->compute + ((r * a->splits + s) * a->weights + w) * a->profiles;
        least[r] = INFINITY;
        for (size_t p = 0; p < a->profiles; p++)
            least[r] = compute[p] < least[r] ? compute[p] : least[r];
    }
}

QEIL_INLINE size_t qeil_plan_broken(const qeil_plan_space *a, const qeil_plan_row *row, const double *least) {
    size_t broken = 0;
    for (size_t r = 0; r < a->resources; r++)
        broken += !(least[r] + row->link[r] <= a->limits[r]);
    return broken;
}

/* Whether profile p of a row takes less than `values`, the resources compared in their order. */
QEIL_INLINE int qeil_plan_takes_less(const qeil_plan_space *a, const qeil_plan_row *row, size_t p, const double *values) {
    for (size_t r = 0; r < a->resources; r++) {
        double value = row->compute[r][p] + row->link[r];
        if (value != values[r])
            return value < values[r];
    }
    return 0;
}

QEIL_INLINE int qeil_plan_feasible(const qeil_plan_space *a, const qeil_plan_row *row, size_t p) {
    for (size_t r = 0; r < a->resources; r++)
        if (!(row->compute[r][p] + row->link[r] <= a->limits[r]))
            return 0;
    return 1;
}

/* The best feasible point of each split as (w * features + q) * profiles + p, or -1: least cost, then least of the first resource, of
 * the second, ..., then the first in order. Returns the split of the best of all, or -1. */
static ptrdiff_t qeil_plan_best(const qeil_plan_space *a, int64_t *best) {
    ptrdiff_t winner = -1;
    double winning_cost = INFINITY, winning[QEIL_MOST_RESOURCES], values[QEIL_MOST_RESOURCES], least[QEIL_MOST_RESOURCES];
    for (size_t s = 0; s < a->splits; s++) {
        double least_cost = INFINITY;
        best[s] = -1;
        for (size_t w = 0; w < a->weights; w++) {
            qeil_plan_floor(a, s, w, least);
            for (size_t q = 0; q < a->features; q++) {
                double cost = a->cost[(s * a->weights + w) * a->features + q];
                if (!(cost <= least_cost) || !(cost < INFINITY))
                    continue;
                qeil_plan_row row;
                qeil_plan_row_at(a, s, w, q, &row);
                if (qeil_plan_broken(a, &row, least))
                    continue;
                for (size_t p = 0; p < a->profiles; p++) {
                    if (!qeil_plan_feasible(a, &row, p) || (cost == least_cost && !qeil_plan_takes_less(a, &row, p, values)))
                        continue;
                    least_cost = cost;
                    best[s] = (int64_t)((w * a->features + q) * a->profiles + p);
                    for (size_t r = 0; r < a->resources; r++)
                        values[r] = row.compute[r][p] + row.link[r];
                }
            }
        }
        if (best[s] < 0)
            continue;
        int better = winner < 0 || least_cost < winning_cost;
        if (!better && least_cost == winning_cost) {
            size_t r = 0;
            while (r < a->resources && values[r] == winning[r])
                r++;
            better = r < a->resources && values[r] < winning[r];
        }
        if (better) {
            winner = (ptrdiff_t)s;
            winning_cost = least_cost;
            memcpy(winning, values, sizeof winning);
        }
    }
    return winner;
}

/* What stands in the way of a cost below `bound`. needed[r]: the least that resource r's limit would have to be, the others unchanged,
 * and at[r] a point that it would admit (flat index over all four axes): inf and -1 where that limit alone does not help. Of points
 * that need the same the least cost wins, then the first. *stretch, *nearest: the least factor on all limits together that would
 * admit such a point, and the point. */
static void qeil_plan_moves(const qeil_plan_space *a, double bound, double *needed, int64_t *at, double *stretch, int64_t *nearest) {
    double least[QEIL_MOST_RESOURCES], costs[QEIL_MOST_RESOURCES];
    for (size_t r = 0; r < a->resources; r++) {
        needed[r] = costs[r] = INFINITY;
        at[r] = -1;
    }
    *stretch = INFINITY;
    *nearest = -1;
    for (size_t s = 0; s < a->splits; s++)
        for (size_t w = 0; w < a->weights; w++) {
            qeil_plan_floor(a, s, w, least);
            for (size_t q = 0; q < a->features; q++) {
                size_t index = (s * a->weights + w) * a->features + q;
                double cost = a->cost[index];
                if (!(cost < bound))
                    continue;
                qeil_plan_row row;
                qeil_plan_row_at(a, s, w, q, &row);
                int alone = qeil_plan_broken(a, &row, least) < 2; /* else every point of the row breaks two limits */
                double floor_ratio = 0;
                for (size_t r = 0; r < a->resources; r++) {
                    double ratio = (least[r] + row.link[r]) / a->limits[r];
                    floor_ratio = ratio > floor_ratio ? ratio : floor_ratio;
                }
                if (!alone && !(floor_ratio < *stretch))
                    continue;
                for (size_t p = 0; p < a->profiles; p++) {
                    size_t broken = 0, which = 0;
                    double ratio = 0, value = 0;
                    int possible = 1;
                    for (size_t r = 0; r < a->resources; r++) {
                        double v = row.compute[r][p] + row.link[r], part = v / a->limits[r];
                        ratio = part > ratio ? part : ratio;
                        possible &= v < INFINITY;
                        if (!(v <= a->limits[r])) {
                            broken++;
                            which = r;
                            value = v;
                        }
                    }
                    int64_t point = (int64_t)(index * a->profiles + p);
                    if (!possible)
                        continue;
                    if (ratio < *stretch) {
                        *stretch = ratio;
                        *nearest = point;
                    }
                    if (broken == 1 && (value < needed[which] || (value == needed[which] && cost < costs[which]))) {
                        needed[which] = value;
                        costs[which] = cost;
                        at[which] = point;
                    }
                }
            }
        }
}

#endif
