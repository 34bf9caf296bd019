# Inter-frame prediction, and rounding with the cost of a code in mind.

cdef extern from "prediction.h" nogil:
    void qeil_products(const float *x, const float *p, size_t n, double *sums)
    void qeil_difference(const float *x, const float *p, float factor, size_t n, float *out)
    void qeil_add(float *values, const float *p, float factor, size_t n)
    double qeil_round_by_cost(const float *x, size_t outer, size_t size, size_t inner, float inverse, double rate, int16_t *codes)
    size_t qeil_count_quiet(const float *p, size_t n, float threshold)
    void qeil_part(const float *x, const float *p, size_t n, float threshold, size_t quiet, float *out)
    void qeil_split(const int16_t *codes, const float *p, size_t n, float threshold, size_t quiet, int16_t *parted)
    void qeil_run_offsets(const float *x, size_t outer, size_t size, size_t inner, float inverse, double rate, float *offsets)
    float qeil_run_offset(const float *x, size_t first, size_t run, size_t outer, size_t size, size_t inner, float inverse, double rate)
    void qeil_part_offsets(const float *p, size_t n, float threshold, float quiet, float loud, float *offsets)
    void qeil_join(const int16_t *parted, const float *p, size_t n, float threshold, size_t quiet, int16_t *codes)


cdef size_t same_size(size_t first, size_t second) except? 0:
    if first != second or first == 0:
        raise ValueError(f"{first} and {second} elements; want the same number, at least one")
    return first


def products(const float[::1] x, const float[::1] p):
    """(sum x*x, sum x*p, sum p*p) in binary64; `p` may be `x`."""
    cdef double sums[3]
    cdef size_t n = same_size(<size_t>x.shape[0], <size_t>p.shape[0])
    with nogil:
        qeil_products(&x[0], &p[0], n, sums)
    return sums[0], sums[1], sums[2]


def difference(const float[::1] x, const float[::1] p, float factor, float[::1] out):
    """out = x - factor*p, two roundings."""
    cdef size_t n = same_size(<size_t>x.shape[0], <size_t>p.shape[0])
    same_size(n, <size_t>out.shape[0])
    with nogil:
        qeil_difference(&x[0], &p[0], factor, n, &out[0])


def add_prediction(float[::1] values, const float[::1] p, float factor):
    """values += factor*p, two roundings, saturating at the largest finite number."""
    cdef size_t n = same_size(<size_t>values.shape[0], <size_t>p.shape[0])
    with nogil:
        qeil_add(&values[0], &p[0], factor, n)


def round_by_cost(const float[::1] x, size_t outer, size_t size, size_t inner, float inverse, double rate, int16_t[::1] codes):
    """Codes of x, [outer, size, inner], in steps of 1/inverse, and their squared error in squared steps; see prediction.h. `rate` 0: to
    the nearest, halves away from zero."""
    cdef double error
    same_size(<size_t>x.shape[0], outer * size * inner)
    same_size(<size_t>x.shape[0], <size_t>codes.shape[0])
    with nogil:
        error = qeil_round_by_cost(&x[0], outer, size, inner, inverse, rate, &codes[0])
    return error


def part(const float[::1] x, const float[::1] p, float threshold, float[::1] out):
    """The values whose |p| is at most `threshold`, then the others, into `out`; returns how many the first are."""
    cdef size_t n = same_size(<size_t>x.shape[0], <size_t>p.shape[0]), quiet
    same_size(n, <size_t>out.shape[0])
    with nogil:
        quiet = qeil_count_quiet(&p[0], n, threshold)
        qeil_part(&x[0], &p[0], n, threshold, quiet, &out[0])
    return quiet


def count_quiet(const float[::1] p, float threshold):
    """How many |p| are at most `threshold`."""
    return 0 if p.shape[0] == 0 else qeil_count_quiet(&p[0], <size_t>p.shape[0], threshold)


def join(const int16_t[::1] parted, const float[::1] p, float threshold, int16_t[::1] codes):
    """Codes of values in the order of part() to the order of `p`."""
    cdef size_t n = same_size(<size_t>parted.shape[0], <size_t>p.shape[0])
    same_size(n, <size_t>codes.shape[0])
    with nogil:
        qeil_join(&parted[0], &p[0], n, threshold, qeil_count_quiet(&p[0], n, threshold), &codes[0])


def split(const int16_t[::1] codes, const float[::1] p, float threshold, int16_t[::1] parted):
    """Codes in the order of `p` to that of part(): the inverse of join()."""
    cdef size_t n = same_size(<size_t>codes.shape[0], <size_t>p.shape[0])
    same_size(n, <size_t>parted.shape[0])
    with nogil:
        qeil_split(&codes[0], &p[0], n, threshold, qeil_count_quiet(&p[0], n, threshold), &parted[0])


def run_offsets(const float[::1] x, size_t outer, size_t size, size_t inner, float inverse, double rate, float[::1] offsets):
    """What round_by_cost() adds to each magnitude before it cuts it."""
    same_size(<size_t>x.shape[0], outer * size * inner)
    same_size(<size_t>x.shape[0], <size_t>offsets.shape[0])
    with nogil:
        qeil_run_offsets(&x[0], outer, size, inner, inverse, rate, &offsets[0])


def part_offsets(const float[::1] parted, size_t quiet, const float[::1] p, float threshold, float inverse, double rate,
                 float[::1] offsets):
    """The same where the `quiet` first values of `parted`, those with a small |p|, are a run, and the others; in the order of `p`."""
    cdef size_t n = same_size(<size_t>parted.shape[0], <size_t>p.shape[0])
    same_size(n, <size_t>offsets.shape[0])
    if not 0 < quiet < n:
        raise ValueError(f"{quiet} of {n} values; want some in either part")
    with nogil:
        qeil_part_offsets(&p[0], n, threshold, qeil_run_offset(&parted[0], 0, quiet, 1, quiet, 1, inverse, rate),
                          qeil_run_offset(&parted[quiet], 0, n - quiet, 1, n - quiet, 1, inverse, rate), &offsets[0])
