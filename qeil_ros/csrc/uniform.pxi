# The uniform quantizer: levels, quantize and pack, unpack and dequantize.

cdef extern from "elements.h" nogil:
    ctypedef struct qeil_groups:
        size_t inner
        size_t count
    int qeil_range(const uint8_t *data, int dtype, size_t n, qeil_groups g, int32_t *low, int32_t *high)
    float qeil_from_order(int32_t key)

cdef extern from "levels.h" nogil:
    ctypedef struct qeil_levels:
        double first
        double step
        int covers
    qeil_levels qeil_cover(float low, float high, int width)
    qeil_levels qeil_clip(const uint8_t *data, int dtype, size_t n, qeil_groups g, size_t set, float low, float high, int width)
    void qeil_parameters(const qeil_levels *levels, const float *low, const float *high, size_t count, int width,
                        uint8_t *parameters)
    ptrdiff_t qeil_units(const uint8_t *parameters, int exponent, size_t count, int width, float *unit, int32_t *zero)
    int qeil_grid(int width)

cdef extern from "quantize.h" nogil:
    void qeil_encode_uniform(const uint8_t *data, int dtype, size_t n, qeil_groups g, int width,
                             const float *inverse, const float *offset, uint8_t *out)
    int qeil_decode_uniform(const uint8_t *data, int dtype, size_t n, qeil_groups g, int width,
                            const float *unit, const int32_t *zero, uint8_t *out)
    int qeil_contracts()


def contracts():
    """Whether this build fuses multiplications and additions; if so its bytes depend on the machine, which a test refuses."""
    return bool(qeil_contracts())


cdef size_t item_size(int dtype) except 0:
    if dtype == 1:
        return 4
    if dtype == 2:
        return 2
    if dtype == 3 or dtype == 4:
        return 1
    raise ValueError(f"element type {dtype} is not one of 1 to 4")


cdef class Uniform:
    """The uniform quantizer of docs/bitstream.md, with its scratch memory, which grows to the largest number of sets seen.

    Element i of a tensor uses parameter set (i // inner) % count; a set takes four bytes of the stream, after one byte of exponent.
    """

    cdef size_t capacity
    cdef int32_t *low
    cdef int32_t *high
    cdef qeil_levels *levels
    cdef float *unit
    cdef int32_t *zero
    cdef float *inverse
    cdef float *offset
    cdef size_t count
    cdef int width

    def __dealloc__(self):
        self.release()

    cdef void release(self):
        free(self.low)
        free(self.high)
        free(self.levels)
        free(self.unit)
        free(self.zero)
        free(self.inverse)
        free(self.offset)
        self.low = self.high = self.zero = NULL
        self.unit = self.inverse = self.offset = NULL
        self.levels = NULL
        self.capacity = self.count = 0

    cdef int reserve(self, size_t count) except -1:
        if count <= self.capacity:
            return 0
        self.release()
        self.low = <int32_t *>malloc(count * sizeof(int32_t))
        self.high = <int32_t *>malloc(count * sizeof(int32_t))
        self.levels = <qeil_levels *>malloc(count * sizeof(qeil_levels))
        self.unit = <float *>malloc(count * sizeof(float))
        self.zero = <int32_t *>malloc(count * sizeof(int32_t))
        self.inverse = <float *>malloc(count * sizeof(float))
        self.offset = <float *>malloc(count * sizeof(float))
        if (self.low == NULL or self.high == NULL or self.levels == NULL or self.unit == NULL or self.zero == NULL
                or self.inverse == NULL or self.offset == NULL):
            self.release()
            raise MemoryError(f"no memory for {count} parameter sets")
        self.capacity = count
        return 0

    cdef size_t elements(self, size_t size, int dtype, size_t inner, size_t count, int width) except 0:
        cdef size_t item = item_size(dtype), n = size // item
        if n == 0 or size % item or inner == 0 or count == 0 or width < 1 or width > 8:
            raise ValueError(f"{size} bytes of element type {dtype}, inner {inner}, count {count}, width {width} do not fit together")
        return n

    def choose(self, const uint8_t[::1] data, int dtype, size_t inner, size_t count, int width, bint least_squares,
               clip, uint8_t[::1] parameters):
        """Writes 1 + 4*count bytes of parameters for this tensor. `clip` is None or (low, high), which replaces the range of every set.

        ValueError if an element is NaN, infinite or over 2^126 in magnitude.
        """
        cdef size_t n = self.elements(<size_t>data.shape[0], dtype, inner, count, width)
        cdef qeil_groups groups
        cdef size_t j
        cdef int finite
        cdef bint clipped = clip is not None
        cdef float low = 0, high = 0
        cdef float *lows
        cdef float *highs
        if <size_t>parameters.shape[0] != 1 + 4 * count or (count - 1) * inner >= n:
            raise ValueError(f"{parameters.shape[0]} bytes of parameters for {count} sets over {n} elements")
        if clipped:
            low, high = clip
        self.reserve(count)
        groups.inner, groups.count = inner, count
        lows, highs = self.unit, self.inverse  # scratch here; load() gives them their meaning
        with nogil:
            finite = qeil_range(&data[0], dtype, n, groups, self.low, self.high)
            if finite:
                for j in range(count):
                    lows[j] = low if clipped else qeil_from_order(self.low[j])
                    highs[j] = high if clipped else qeil_from_order(self.high[j])
                    if least_squares and lows[j] < highs[j]:
                        self.levels[j] = qeil_clip(&data[0], dtype, n, groups, j, lows[j], highs[j], width)
                    else:
                        self.levels[j] = qeil_cover(lows[j], highs[j], width)
                qeil_parameters(self.levels, lows, highs, count, width, &parameters[0])
        if not finite:
            raise ValueError("the tensor has an element that is NaN, infinite or over 2**126 in magnitude")

    def load(self, const uint8_t[::1] parameters, size_t count, int width):
        """Takes a stream's parameters (1 + 4*count bytes); returns the index of the first set that is not valid, or -1."""
        cdef ptrdiff_t wrong
        cdef size_t j
        cdef int exponent, grid = qeil_grid(width)
        if <size_t>parameters.shape[0] != 1 + 4 * count or count == 0 or width < 1 or width > 8:
            raise ValueError(f"{parameters.shape[0]} bytes of parameters for {count} sets at width {width}")
        self.reserve(count)
        self.count = 0
        exponent = <int8_t>parameters[0]
        with nogil:
            wrong = qeil_units(&parameters[1], exponent, count, width, self.unit, self.zero)
            if wrong < 0:
                for j in range(count):
                    self.inverse[j] = 1.0 / (grid * self.unit[j]) if self.unit[j] > 0 else 0.0
                    self.offset[j] = <float>self.zero[j] / grid
        if wrong < 0:
            self.count, self.width = count, width
        return wrong

    def encode(self, const uint8_t[::1] data, int dtype, size_t inner, uint8_t[::1] out):
        """Quantizes and packs `data` with the parameters loaded last, into exactly ceil(n * width / 8) bytes."""
        cdef qeil_groups groups
        cdef size_t n
        cdef int width = self.width
        if self.count == 0:
            raise ValueError("no parameters are loaded")
        n = self.elements(<size_t>data.shape[0], dtype, inner, self.count, width)
        if <size_t>out.shape[0] != (n * width + 7) // 8:
            raise ValueError(f"{out.shape[0]} bytes for {n} codes of {width} bits")
        groups.inner, groups.count = inner, self.count
        with nogil:
            qeil_encode_uniform(&data[0], dtype, n, groups, width, self.inverse, self.offset, &out[0])

    def decode(self, const uint8_t[::1] payload, int dtype, size_t inner, uint8_t[::1] out):
        """The inverse into `out`; returns False if unused bits of the payload are set."""
        cdef qeil_groups groups
        cdef size_t n
        cdef int width = self.width
        cdef int clean
        if self.count == 0:
            raise ValueError("no parameters are loaded")
        n = self.elements(<size_t>out.shape[0], dtype, inner, self.count, width)
        if <size_t>payload.shape[0] != (n * width + 7) // 8:
            raise ValueError(f"{payload.shape[0]} bytes for {n} codes of {width} bits")
        groups.inner, groups.count = inner, self.count
        with nogil:
            clean = qeil_decode_uniform(&payload[0], dtype, n, groups, width, self.unit, self.zero, &out[0])
        return bool(clean)
