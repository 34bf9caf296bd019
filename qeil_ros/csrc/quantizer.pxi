# The quantizers: levels, quantize and pack, unpack and dequantize.

cdef extern from "random.h" nogil:
    ctypedef struct qeil_key:
        uint32_t first
        uint32_t second
    qeil_key qeil_key_of(uint64_t seed)

cdef extern from "elements.h" nogil:
    ctypedef struct qeil_groups:
        size_t inner
        size_t count
    ctypedef struct qeil_extremes:
        int32_t *high
        uint32_t *low
        uint32_t *near
    int qeil_range(const uint8_t *data, int dtype, size_t n, qeil_groups g, qeil_extremes e, float *minima, float *maxima)

cdef extern from "quantizers.h" nogil:
    enum:
        QEIL_UNIFORM
        QEIL_SYMMETRIC
        QEIL_GAUSSIAN
    int qeil_even(int kind)
    size_t qeil_set_bytes(int kind)
    int qeil_spacing(int kind, int width)
    int qeil_first(int kind, int width)
    int qeil_lowest_code(int kind, int width)
    void qeil_integer_levels(int kind, int width, int32_t *levels)
    ptrdiff_t qeil_read_sets(const uint8_t *sets, int exponent, size_t count, int kind, int lowest, int largest, float *unit,
                             int32_t *zero)

cdef extern from "ladder.h" nogil:
    enum:
        QEIL_LADDER
        QEIL_FINE
    ctypedef struct qeil_ladder:
        int kind, width, centre, size
        float levels[256]
        uint8_t *codes
    void qeil_build_ladder(qeil_ladder *ladder, int kind, int width)
    void qeil_weigh_codes(int kind, int width, const uint16_t *costs, double rate, uint8_t *codes)

cdef extern from "levels.h" nogil:
    ctypedef struct qeil_levels:
        double first
        double step
        int covers
    qeil_levels qeil_cover_ends(int kind, int width, float low, float high)
    qeil_levels qeil_fixed_step(int kind, int width, float low, double step)
    qeil_levels qeil_least_squares(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, float low, float high,
                                   const qeil_ladder *ladder)
    void qeil_percentile_ends(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, int kind, double percent,
                              float *low, float *high)
    void qeil_exponential_ends(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, int kind, int width,
                               float *low, float *high)
    void qeil_write_sets(const qeil_levels *levels, const float *low, const float *high, size_t count, int kind, int width,
                         uint8_t *parameters)

cdef extern from "quantize.h" nogil:
    ctypedef struct qeil_encoding:
        const float *inverse
        const float *offset
        float low
        float top
        const uint8_t *codes
        const qeil_key *key
        int levels
    void qeil_use_table(qeil_encoding *e, const uint8_t *codes, int size, int width)
    ctypedef struct qeil_decoding:
        const float *unit
        const int32_t *zero
        int shift
        const float *levels
    void qeil_encode_packed(const uint8_t *data, int dtype, size_t n, qeil_groups g, int width, const qeil_encoding *e, uint8_t *out)
    void qeil_encode_bytes(const uint8_t *data, int dtype, size_t n, qeil_groups g, const qeil_encoding *e, uint8_t *out)
    void qeil_encode_signed(const uint8_t *data, int dtype, size_t n, qeil_groups g, const qeil_encoding *e, int16_t *out)
    int qeil_decode_packed(const uint8_t *payload, int dtype, size_t n, qeil_groups g, int width, const qeil_decoding *d, uint8_t *data)
    void qeil_decode_bytes(const uint8_t *codes, int dtype, size_t n, qeil_groups g, uint8_t mask, const qeil_decoding *d, uint8_t *data)
    void qeil_decode_signed(const int16_t *codes, int dtype, size_t n, qeil_groups g, const qeil_decoding *d, uint8_t *data)
    int qeil_contracts()

cdef enum:
    RANGE, MSE, PERCENTILE, EXPONENTIAL, PAIR, STEP

CLIP_RULES = ("range", "mse", "percentile", "exponential", "pair", "step")


def contracts():
    """Whether this build fuses multiplications and additions; if so its bytes depend on the machine, which a test refuses."""
    return bool(qeil_contracts())


def quantizer_levels(int kind, int width):
    """T of docs/bitstream.md: the integer that each code of a quantizer stands for, before zero and unit."""
    cdef int32_t levels[256]
    check_kind(kind, width)
    qeil_integer_levels(kind, width, levels)
    return [levels[code] for code in range(1 << width)]


cdef size_t item_size(int dtype) except 0:
    if dtype == 1:
        return 4
    if dtype == 2:
        return 2
    if dtype == 3 or dtype == 4:
        return 1
    raise ValueError(f"element type {dtype} is not one of 1 to 4")


cdef int check_kind(int kind, int width) except -1:
    if kind < QEIL_UNIFORM or kind > QEIL_GAUSSIAN or width < 1 or width > 8:
        raise ValueError(f"quantizer {kind} at width {width}; quantizers 1 to {QEIL_GAUSSIAN} have widths 1 to 8")
    return 0


cdef class Quantizer:
    """The quantizers 1 to 6 of docs/bitstream.md, with scratch memory that grows to the largest number of sets seen.

    Element i of a tensor uses parameter set (i // inner) % count. choose() writes a stream's parameters, load() takes them. Then
    encode() and decode() quantize and pack at once; codes() and values() do with a byte a code, indices() and index_values() with
    signed steps of 16 bits. Not for several threads at once.
    """

    cdef size_t capacity, count
    cdef int kind, width
    cdef bint wide, weighed
    cdef void *memory
    cdef float *unit
    cdef float *inverse
    cdef float *offset
    cdef int32_t *zero
    cdef qeil_levels *levels
    cdef qeil_extremes extremes
    cdef qeil_ladder ladder
    cdef uint8_t *fine

    def __cinit__(self):
        self.ladder.codes = <uint8_t *>malloc(QEIL_LADDER)
        self.fine = <uint8_t *>malloc(QEIL_FINE * 255 + 1)
        if self.ladder.codes == NULL or self.fine == NULL:
            raise MemoryError("no memory for a quantizer's tables")

    def __dealloc__(self):
        free(self.memory)
        free(self.ladder.codes)
        free(self.fine)

    cdef int reserve(self, size_t count) except -1:
        cdef size_t item = sizeof(qeil_levels) + 3 * sizeof(float) + 4 * sizeof(int32_t)
        if count <= self.capacity:
            return 0
        free(self.memory)
        self.capacity = self.count = 0
        self.memory = calloc(count, item)
        if self.memory == NULL:
            raise MemoryError(f"no memory for {count} parameter sets")
        self.levels = <qeil_levels *>self.memory
        self.unit = <float *>(self.levels + count)
        self.inverse = self.unit + count
        self.offset = self.inverse + count
        self.zero = <int32_t *>(self.offset + count)
        self.extremes.high = self.zero + count
        self.extremes.low = <uint32_t *>(self.extremes.high + count)
        self.extremes.near = self.extremes.low + count
        self.capacity = count
        return 0

    cdef void build(self, int kind, int width):
        if self.ladder.kind != kind or self.ladder.width != width:
            qeil_build_ladder(&self.ladder, kind, width)

    cdef size_t elements(self, size_t size, int dtype, size_t inner, size_t count) except 0:
        cdef size_t item = item_size(dtype), n = size // item
        if n == 0 or size % item or inner == 0 or count == 0:
            raise ValueError(f"{size} bytes of element type {dtype}, inner {inner}, count {count} do not fit together")
        return n

    cdef size_t loaded(self, size_t size, int dtype, size_t inner, bint wide) except 0:
        if self.count == 0:
            raise ValueError("no parameters are loaded")
        if wide and not self.wide:
            raise ValueError("16-bit codes need parameters that were loaded with wide=True")
        return self.elements(size, dtype, inner, self.count)

    def choose(self, const uint8_t[::1] data, int dtype, size_t inner, size_t count, int kind, int width, str rule, double low,
               double high, uint8_t[::1] parameters):
        """Writes the parameters of every set (parameter_bytes() of them) for this tensor; what was loaded is forgotten.

        `rule` is one of CLIP_RULES; `low` and `high` are the ends of "pair"; `low` is the percentage of "percentile" and the step of
        "step" (evenly spaced quantizers only). ValueError if an element is NaN, infinite or over 2^126 in magnitude.
        """
        cdef size_t n = self.elements(<size_t>data.shape[0], dtype, inner, count)
        cdef qeil_groups groups
        cdef size_t j
        cdef int finite, how
        cdef float *lows
        cdef float *highs
        check_kind(kind, width)
        if rule not in CLIP_RULES:
            raise ValueError(f"rule {rule!r} is not one of {', '.join(CLIP_RULES)}")
        how = CLIP_RULES.index(rule)
        if <size_t>parameters.shape[0] != 1 + qeil_set_bytes(kind) * count or (count - 1) * inner >= n:
            raise ValueError(f"{parameters.shape[0]} bytes of parameters for {count} sets over {n} elements")
        if (how == PERCENTILE and not 0 < low <= 100) or (how == STEP and not (0 < low <= 2.0**126 and qeil_even(kind))):
            raise ValueError(f"{low} is not possible for rule {rule!r} of quantizer {kind}")
        if how == PAIR and not -2.0**126 <= low < high <= 2.0**126:
            raise ValueError(f"{low} to {high} is not a range within 2**126")
        self.reserve(count)
        self.count = 0
        groups.inner, groups.count = inner, count
        if how == MSE:
            self.build(kind, width)
        lows, highs = self.unit, self.inverse  # scratch here; load() gives them their meaning
        with nogil:
            finite = qeil_range(&data[0], dtype, n, groups, self.extremes, lows, highs)
            if finite:
                for j in range(count):
                    if how == MSE:
                        self.levels[j] = qeil_least_squares(&data[0], dtype, n, groups, j, lows[j], highs[j], &self.ladder)
                    elif how == STEP:
                        self.levels[j] = qeil_fixed_step(kind, width, lows[j], low)
                    else:
                        if how == PAIR:
                            lows[j], highs[j] = <float>low, <float>high
                        elif how == PERCENTILE:
                            qeil_percentile_ends(&data[0], dtype, n, groups, j, kind, low, &lows[j], &highs[j])
                        elif how == EXPONENTIAL:
                            qeil_exponential_ends(&data[0], dtype, n, groups, j, kind, width, &lows[j], &highs[j])
                        self.levels[j] = qeil_cover_ends(kind, width, lows[j], highs[j])
                qeil_write_sets(self.levels, lows, highs, count, kind, width, &parameters[0])
        if not finite:
            raise ValueError("the tensor has an element that is NaN, infinite or over 2**126 in magnitude")

    def load(self, const uint8_t[::1] parameters, size_t count, int kind, int width, bint wide=False):
        """Takes a stream's parameters; returns the index of the first set that is not valid, or -1.

        `wide`: every step from -32768 to 32767 must be finite, as indices() and index_values() need it.
        """
        cdef ptrdiff_t wrong
        cdef size_t j
        cdef int exponent, spacing, first, lowest, highest
        cdef int32_t levels[256]
        check_kind(kind, width)
        if <size_t>parameters.shape[0] != 1 + qeil_set_bytes(kind) * count or count == 0:
            raise ValueError(f"{parameters.shape[0]} bytes of parameters for {count} sets of quantizer {kind}")
        if wide and (kind != QEIL_SYMMETRIC or width == 1):
            raise ValueError(f"16-bit codes are steps of the symmetric quantizer, not of quantizer {kind} at width {width}")
        self.reserve(count)
        self.count = 0
        self.weighed = False
        exponent = <int8_t>parameters[0]
        qeil_integer_levels(kind, width, levels)
        lowest = -32768 if wide else levels[0]
        highest = 32767 if wide else levels[(1 << width) - 1]
        wrong = qeil_read_sets(&parameters[1], exponent, count, kind, lowest, highest, self.unit, self.zero)
        if wrong >= 0:
            return wrong
        if not qeil_even(kind):
            self.build(kind, width)
        spacing = qeil_spacing(kind, width) if qeil_even(kind) else 1
        first = qeil_first(kind, width) if qeil_even(kind) else 0
        for j in range(count):
            self.zero[j] += first
            self.inverse[j] = <float>(1.0 / (spacing * self.unit[j])) if self.unit[j] > 0 else 0.0
            self.offset[j] = <float>(self.zero[j] - (0 if qeil_even(kind) else self.ladder.centre)) / spacing
        self.count, self.kind, self.width, self.wide = count, kind, width, wide
        return wrong

    def weigh(self, const uint16_t[::1] costs, double rate):
        """From now until load(), codes are chosen by squared error plus `rate` times cost instead of to the nearest level.

        `costs`: of every code, in 1/256 bit. `rate`: squared steps a bit (0 rounds to the nearest). Evenly spaced quantizers only.
        """
        cdef size_t j
        if self.count == 0 or not qeil_even(self.kind):
            raise ValueError("costs need loaded parameters of an evenly spaced quantizer")
        if costs.shape[0] != 1 << self.width or not 0 <= rate < 1e6:
            raise ValueError(f"{costs.shape[0]} costs and rate {rate} at width {self.width}")
        qeil_weigh_codes(self.kind, self.width, &costs[0], rate, self.fine)
        if not self.weighed:
            for j in range(self.count):
                self.inverse[j] = min(QEIL_FINE * self.inverse[j], <float>3e38)
                self.offset[j] = QEIL_FINE * self.offset[j]
        self.weighed = True

    cdef int plan_encoding(self, qeil_encoding *e, qeil_key *key, seed) except -1:
        e.inverse, e.offset, e.codes, e.key, e.levels = self.inverse, self.offset, NULL, NULL, 0
        e.low, e.top = qeil_lowest_code(self.kind, self.width), (1 << self.width) - 1
        if self.weighed:
            qeil_use_table(e, self.fine, QEIL_FINE * ((1 << self.width) - 1) + 1, self.width)
        elif not qeil_even(self.kind):
            qeil_use_table(e, self.ladder.codes, self.ladder.size, self.width)
        if seed is not None:
            if e.codes != NULL:
                raise ValueError("stochastic rounding needs evenly spaced levels and no costs")
            key[0] = qeil_key_of(<uint64_t>(seed & 0xFFFFFFFFFFFFFFFF))
            e.key = key
        return 0

    cdef int plan_decoding(self, qeil_decoding *d) except -1:
        cdef int spacing = qeil_spacing(self.kind, self.width)
        d.unit, d.zero, d.shift = self.unit, self.zero, 0
        d.levels = NULL if qeil_even(self.kind) else self.ladder.levels
        while 1 << d.shift < spacing:
            d.shift += 1
        return 0

    def encode(self, const uint8_t[::1] data, int dtype, size_t inner, uint8_t[::1] out, seed=None):
        """Quantizes and packs `data` into exactly ceil(n * width / 8) bytes; with a `seed`, by stochastic rounding."""
        cdef size_t n = self.loaded(<size_t>data.shape[0], dtype, inner, False)
        cdef qeil_groups groups
        cdef qeil_encoding e
        cdef qeil_key key
        if <size_t>out.shape[0] != (n * self.width + 7) // 8:
            raise ValueError(f"{out.shape[0]} bytes for {n} codes of {self.width} bits")
        self.plan_encoding(&e, &key, seed)
        groups.inner, groups.count = inner, self.count
        with nogil:
            qeil_encode_packed(&data[0], dtype, n, groups, self.width, &e, &out[0])

    def codes(self, const uint8_t[::1] data, int dtype, size_t inner, uint8_t[::1] out, seed=None):
        """The codes of `data`, a byte each, for an entropy coder."""
        cdef size_t n = self.loaded(<size_t>data.shape[0], dtype, inner, False)
        cdef qeil_groups groups
        cdef qeil_encoding e
        cdef qeil_key key
        if <size_t>out.shape[0] != n:
            raise ValueError(f"{out.shape[0]} bytes for {n} codes")
        self.plan_encoding(&e, &key, seed)
        groups.inner, groups.count = inner, self.count
        with nogil:
            qeil_encode_bytes(&data[0], dtype, n, groups, &e, &out[0])

    def indices(self, const uint8_t[::1] data, int dtype, size_t inner, int16_t[::1] out):
        """The nearest multiple of its set's step for every element, which saturates at 16 bits only: code - 2^(width-1) within the
        width. Symmetric quantizer, loaded with wide=True."""
        cdef size_t n = self.loaded(<size_t>data.shape[0], dtype, inner, True)
        cdef qeil_groups groups
        cdef qeil_encoding e
        if <size_t>out.shape[0] != n or self.weighed:
            raise ValueError(f"room for {out.shape[0]} indices of {n} elements, costs: {self.weighed}")
        self.plan_encoding(&e, NULL, None)
        self.steps(self.extremes.high)
        e.offset, e.low, e.top = <float *>self.extremes.high, -32768, 32767
        groups.inner, groups.count = inner, self.count
        with nogil:
            qeil_encode_signed(&data[0], dtype, n, groups, &e, &out[0])

    cdef void steps(self, int32_t *zero):
        """Zeros of indices instead of codes: none (whose bits are those of 0.0)."""
        cdef size_t j
        for j in range(self.count):
            zero[j] = 0

    def decode(self, const uint8_t[::1] payload, int dtype, size_t inner, uint8_t[::1] out):
        """The inverse of encode() into `out`; returns False if unused bits of the payload are set."""
        cdef size_t n = self.loaded(<size_t>out.shape[0], dtype, inner, False)
        cdef qeil_groups groups
        cdef qeil_decoding d
        cdef int clean
        if <size_t>payload.shape[0] != (n * self.width + 7) // 8:
            raise ValueError(f"{payload.shape[0]} bytes for {n} codes of {self.width} bits")
        self.plan_decoding(&d)
        groups.inner, groups.count = inner, self.count
        with nogil:
            clean = qeil_decode_packed(&payload[0], dtype, n, groups, self.width, &d, &out[0])
        return bool(clean)

    def values(self, const uint8_t[::1] codes, int dtype, size_t inner, uint8_t[::1] out):
        """The inverse of codes() into `out`; bits of a code beyond the width are ignored."""
        cdef size_t n = self.loaded(<size_t>out.shape[0], dtype, inner, False)
        cdef qeil_groups groups
        cdef qeil_decoding d
        if <size_t>codes.shape[0] != n:
            raise ValueError(f"{codes.shape[0]} codes for {n} elements")
        self.plan_decoding(&d)
        groups.inner, groups.count = inner, self.count
        with nogil:
            qeil_decode_bytes(&codes[0], dtype, n, groups, <uint8_t>((1 << self.width) - 1), &d, &out[0])

    def index_values(self, const int16_t[::1] indices, int dtype, size_t inner, uint8_t[::1] out):
        """The inverse of indices() into `out`."""
        cdef size_t n = self.loaded(<size_t>out.shape[0], dtype, inner, True)
        cdef qeil_groups groups
        cdef qeil_decoding d
        if <size_t>indices.shape[0] != n:
            raise ValueError(f"{indices.shape[0]} indices for {n} elements")
        self.plan_decoding(&d)
        self.steps(self.extremes.high)
        d.zero = self.extremes.high
        groups.inner, groups.count = inner, self.count
        with nogil:
            qeil_decode_signed(&indices[0], dtype, n, groups, &d, &out[0])


def parameter_bytes(int kind, size_t count):
    """Of the stream's parameters of `count` sets: one byte of exponent, then two or four a set."""
    check_kind(kind, 8)
    return 1 + qeil_set_bytes(kind) * count
