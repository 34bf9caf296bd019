# The planner's enumeration.

from libc.stdint cimport int64_t

cdef extern from "planner.h" nogil:
    enum:
        QEIL_MOST_RESOURCES
    ctypedef struct qeil_plan_space:
        size_t resources, splits, weights, features, profiles
        const double *compute
        const double *link
        const double *cost
        const double *limits
    Py_ssize_t qeil_plan_best(const qeil_plan_space *a, int64_t *best)
    void qeil_plan_moves(const qeil_plan_space *a, double bound, double *needed, int64_t *at, double *stretch, int64_t *nearest)


cdef qeil_plan_space plan_space_of(const double[:, :, :, ::1] compute, const double[:, :, ::1] link, const double[:, :, ::1] cost,
                         const double[::1] limits) except *:
    cdef qeil_plan_space a
    cdef Py_ssize_t r = compute.shape[0], s = compute.shape[1], w = compute.shape[2], p = compute.shape[3], q = link.shape[2]
    if not (1 <= r <= QEIL_MOST_RESOURCES and s and w and p and q):
        raise ValueError(f"want 1 to {QEIL_MOST_RESOURCES} resources and no empty axis")
    if (link.shape[0] != r or link.shape[1] != s or limits.shape[0] != r
            or cost.shape[0] != s or cost.shape[1] != w or cost.shape[2] != q):
        raise ValueError("the tables' shapes do not agree")
    a.resources, a.splits, a.weights, a.features, a.profiles = r, s, w, q, p
    a.compute, a.link, a.cost, a.limits = &compute[0, 0, 0, 0], &link[0, 0, 0], &cost[0, 0, 0], &limits[0]
    return a


def best_points(const double[:, :, :, ::1] compute, const double[:, :, ::1] link, const double[:, :, ::1] cost,
                const double[::1] limits, int64_t[::1] best):
    """The best feasible point of each split into `best` [splits], -1 where there is none; returns the best split or -1.

    compute [resources, splits, weights, profiles], link [resources, splits, features], cost [splits, weights, features],
    limits [resources]. A point is the flat index over (weights, features, profiles).
    """
    cdef qeil_plan_space a = plan_space_of(compute, link, cost, limits)
    if <size_t>best.shape[0] != a.splits:
        raise ValueError(f"best has {best.shape[0]} places for {a.splits} splits")
    return qeil_plan_best(&a, &best[0])


def limit_moves(const double[:, :, :, ::1] compute, const double[:, :, ::1] link, const double[:, :, ::1] cost,
                const double[::1] limits, double bound, double[::1] needed, int64_t[::1] at):
    """What each limit, alone, would have to be for a cost below `bound`, into `needed` and the points into `at` [resources].

    Returns (stretch, point): the least factor on all limits that admits such a point. Points are flat over all four axes;
    inf and -1 where there is none.
    """
    cdef qeil_plan_space a = plan_space_of(compute, link, cost, limits)
    cdef double stretch
    cdef int64_t nearest
    if <size_t>needed.shape[0] != a.resources or <size_t>at.shape[0] != a.resources:
        raise ValueError("needed and at must have a place for each resource")
    qeil_plan_moves(&a, bound, &needed[0], &at[0], &stretch, &nearest)
    return stretch, nearest
