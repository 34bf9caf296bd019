# Prediction from the neighbourhood of a reference and from the values to the left and above.

cdef extern from "filter.h" nogil:
    ctypedef struct qeil_grid:
        size_t outer, rows, cols, inner
    int QEIL_TAPS
    int QEIL_FIT_UNKNOWNS
    void qeil_filter(const float *p, const float *q, const qeil_grid *g, int taps, const float *weights, float *padded, float *out)
    int qeil_fit(const float *x, const float *p, const float *q, const qeil_grid *g, int taps, float *padded, double *weights)
    void qeil_left_up(const float *x, const qeil_grid *g, float *out)
    void qeil_restore(float *values, const qeil_grid *g, float spatial)
    double qeil_follow(const float *x, const float *offsets, const qeil_grid *g, float spatial, float inverse, float unit, float *restored, int16_t *codes)


cdef class Grid:
    """A tensor seen as [outer, rows, cols, inner]: planes of positions, and the values at each.

    `taps`: 9, a neighbourhood, or 1, where there is none. Holds the room that filtering needs; not for several threads at once.
    """

    cdef qeil_grid grid
    cdef float *padded
    cdef readonly int taps

    def __init__(self, size_t outer, size_t rows, size_t cols, size_t inner, int taps=9):
        if outer < 1 or rows < 1 or cols < 1 or inner < 1 or taps not in (1, QEIL_TAPS):
            raise ValueError(f"a grid [{outer}, {rows}, {cols}, {inner}] with {taps} taps; want sizes of 1 or more, 1 or 9 taps")
        self.grid = qeil_grid(outer, rows, cols, inner)
        self.taps = taps
        free(self.padded)
        self.padded = NULL
        self.padded = <float *>take((rows + 2) * (cols + 2) * inner * sizeof(float) if taps > 1 else 1)

    def __dealloc__(self):
        free(self.padded)

    cdef size_t check(self, size_t n) except? 0:
        return same_size(n, self.grid.outer * self.grid.rows * self.grid.cols * self.grid.inner)

    def filter(self, const float[::1] p, const float[::1] q, weights, float[::1] out):
        """The prediction from `p` and, if it is not None, `q`: `weights` are those of the taps, then that of q."""
        cdef float factors[10]
        cdef size_t n = self.check(<size_t>p.shape[0])
        cdef const float *second = NULL
        same_size(n, <size_t>out.shape[0])
        if q is not None:
            same_size(n, <size_t>q.shape[0])
            second = &q[0]
        if len(weights) != self.taps + (q is not None):
            raise ValueError(f"{len(weights)} weights; want {self.taps + (q is not None)}")
        for k, weight in enumerate(weights):
            factors[k] = weight
        with nogil:
            qeil_filter(&p[0], second, &self.grid, self.taps, factors, self.padded, &out[0])

    def fit(self, const float[::1] x, const float[::1] p, const float[::1] q):
        """The weights of least squared error to `x`, or None where there are none, as where `p` is all zeros."""
        cdef double weights[10]
        cdef size_t n = self.check(<size_t>x.shape[0])
        cdef const float *second = NULL
        cdef int solved
        same_size(n, <size_t>p.shape[0])
        if q is not None:
            same_size(n, <size_t>q.shape[0])
            second = &q[0]
        with nogil:
            solved = qeil_fit(&x[0], &p[0], second, &self.grid, self.taps, self.padded, weights)
        return [weights[k] for k in range(self.taps + (q is not None))] if solved else None

    def left_up(self, const float[::1] x, float[::1] out):
        """The sum of the values to the left and above, 0 where there is none."""
        same_size(self.check(<size_t>x.shape[0]), <size_t>out.shape[0])
        with nogil:
            qeil_left_up(&x[0], &self.grid, &out[0])

    def restore(self, float[::1] values, float spatial):
        """In place: every value plus `spatial` times the sum of what has become of those to the left and above."""
        self.check(<size_t>values.shape[0])
        with nogil:
            qeil_restore(&values[0], &self.grid, spatial)

    def follow(self, const float[::1] x, const float[::1] offsets, float spatial, float inverse, float unit, float[::1] restored,
               int16_t[::1] codes):
        """Codes whose values restore() brings near `x`, what it makes of them, and the squared error in squared steps; see filter.h."""
        cdef size_t n = self.check(<size_t>x.shape[0])
        cdef double error
        same_size(n, <size_t>offsets.shape[0])
        same_size(n, <size_t>restored.shape[0])
        same_size(n, <size_t>codes.shape[0])
        with nogil:
            error = qeil_follow(&x[0], &offsets[0], &self.grid, spatial, inverse, unit, &restored[0], &codes[0])
        return error
