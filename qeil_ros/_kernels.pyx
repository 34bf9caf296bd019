# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The hot loops in C: checksum, quantize and pack, unpack and dequantize, image preparation.

Plain buffers in, plain buffers out: no numpy at build time. Callers check shapes; this module checks sizes again, so that a wrong
call raises instead of writing past a buffer. Everything long runs without the GIL. The C is in csrc/, one idea a header.
"""

from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy



cdef extern from "crc32c.h" nogil:
    void qeil_crc_init()
    uint32_t qeil_crc32c(uint32_t crc, const uint8_t *data, size_t size)
    uint32_t qeil_crc32c_portable(uint32_t crc, const uint8_t *data, size_t size)

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

cdef extern from "image_prepare.h" nogil:
    enum:
        QEIL_FORMATS
    ctypedef struct qeil_pair_taps:
        int32_t *first
        int32_t *second
        float *weight
    ctypedef struct qeil_filter_taps:
        int32_t *start
        int32_t *count
        int32_t *weights
        int32_t width
    ctypedef struct qeil_plan:
        int format
        size_t width, height, crop_x, crop_y, crop_width, crop_height
        size_t out_width, out_height, rect_x, rect_y, rect_width, rect_height
        int channels, interleaved, dtype
        int source[3]
        int red
        float scale[3]
        float shift[3]
        float pad
        int filtered
        qeil_pair_taps x_pairs, y_pairs
        qeil_filter_taps x_filter, y_filter
        uint32_t *decoded[2]
        float *blend
        float *pixels
        float *line
        uint8_t *ring
        int32_t *wide
        int32_t *sums
    int qeil_pixel_stride(int format)
    size_t qeil_row_bytes(int format, size_t width)
    size_t qeil_image_bytes(int format, size_t width, size_t height, size_t step)
    void qeil_prepare(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out)

cdef extern from "quantize.h" nogil:
    void qeil_encode_uniform(const uint8_t *data, int dtype, size_t n, qeil_groups g, int width,
                             const float *inverse, const float *offset, uint8_t *out)
    int qeil_decode_uniform(const uint8_t *data, int dtype, size_t n, qeil_groups g, int width,
                            const float *unit, const int32_t *zero, uint8_t *out)
    int qeil_contracts()


qeil_crc_init()


def crc32c(const uint8_t[::1] data, uint32_t crc=0):
    """CRC-32C of `data`, continuing from `crc`, by the processor's instruction where it has one."""
    cdef size_t size = <size_t>data.shape[0]
    if size == 0:
        return crc
    with nogil:
        crc = qeil_crc32c(crc, &data[0], size)
    return crc


def crc32c_portable(const uint8_t[::1] data, uint32_t crc=0):
    """The same by tables: what machines without the instruction run, callable everywhere for tests."""
    cdef size_t size = <size_t>data.shape[0]
    return crc if size == 0 else qeil_crc32c_portable(crc, &data[0], size)


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


FORMATS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "mono16_big", "uyvy", "yuyv", "nv12", "nv21",
           "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
OUTPUTS = ("float32", "float16", "uint8", "int8")

cdef size_t MAX_SIDE = 1 << 15


cdef class ImagePlan:
    """Image preparation for one geometry: tables and a few rows of scratch, so that a frame allocates nothing.

    format: one of FORMATS. crop and rect: (x, y, width, height) in the image and in the tensor. out: (width, height).
    order: for each of the 1 or 3 output channels its place in red, green, blue. scale, shift: per output channel.
    x, y: taps in the crop's coordinates for every sample of rect: (first, second, weight) int32, int32, float32 arrays, or with
    `filtered` (start, count, weights) int32 arrays, weights [samples, width] in 22-bit fixed point, starts ascending.
    """

    cdef qeil_plan plan
    cdef int item

    def __init__(self, format, size, crop, out, rect, order, bint interleaved, dtype, scale, shift, float pad, bint filtered, x, y):
        cdef qeil_plan *plan = &self.plan
        cdef int stride, c
        cdef size_t pixels
        if plan.line != NULL:
            raise RuntimeError("a plan is made once")
        plan.format = FORMATS.index(format)
        plan.dtype = OUTPUTS.index(dtype)
        self.item = (4, 2, 1, 1)[plan.dtype]
        stride = qeil_pixel_stride(plan.format)
        plan.width, plan.height = size
        plan.crop_x, plan.crop_y, plan.crop_width, plan.crop_height = crop
        plan.out_width, plan.out_height = out
        plan.rect_x, plan.rect_y, plan.rect_width, plan.rect_height = rect
        inside("crop", plan.crop_x, plan.crop_width, plan.width)
        inside("crop", plan.crop_y, plan.crop_height, plan.height)
        inside("rectangle", plan.rect_x, plan.rect_width, plan.out_width)
        inside("rectangle", plan.rect_y, plan.rect_height, plan.out_height)
        if format.startswith("bayer") and (plan.width < 3 or plan.height < 3):
            raise ValueError(f"a Bayer image of {plan.width}x{plan.height} cannot be demosaiced; at least 3x3 is needed")
        plan.channels = len(order)
        if plan.channels not in (1, 3) or len(scale) != plan.channels or len(shift) != plan.channels:
            raise ValueError(f"{len(order)} channels with {len(scale)} scales and {len(shift)} shifts; 1 or 3 of each are possible")
        plan.red = 2 if format in ("bgr8", "bgra8") else 0
        for c in range(plan.channels):
            if order[c] not in (0, 1, 2):
                raise ValueError(f"channel order {order}; 0, 1 and 2 are possible")
            plan.source[c] = abs(plan.red - <int>order[c])
            plan.scale[c], plan.shift[c] = scale[c], shift[c]
        plan.interleaved, plan.pad, plan.filtered = interleaved, pad, filtered
        if filtered:
            self.take_filter(&plan.x_filter, x, plan.rect_width, plan.crop_width)
            self.take_filter(&plan.y_filter, y, plan.rect_height, plan.crop_height)
            plan.ring = <uint8_t *>take(plan.rect_width * 4 * <size_t>plan.y_filter.width)
            plan.wide = <int32_t *>take((plan.crop_width * <size_t>stride + 4) * sizeof(int32_t))
            plan.sums = <int32_t *>take(plan.rect_width * 4 * sizeof(int32_t))
        else:
            self.take_pairs(&plan.x_pairs, x, plan.rect_width, plan.crop_width)
            self.take_pairs(&plan.y_pairs, y, plan.rect_height, plan.crop_height)
            plan.blend = <float *>take((plan.crop_width * <size_t>stride + 4) * sizeof(float))
        plan.decoded[0] = <uint32_t *>take((plan.width + 2) * sizeof(uint32_t))
        plan.decoded[1] = <uint32_t *>take((plan.width + 2) * sizeof(uint32_t))
        plan.pixels = <float *>take((plan.rect_width + 1) * 4 * sizeof(float))
        plan.line = <float *>take(plan.out_width * sizeof(float))

    def __dealloc__(self):
        cdef qeil_plan *plan = &self.plan
        free(plan.x_pairs.first)
        free(plan.x_pairs.second)
        free(plan.x_pairs.weight)
        free(plan.y_pairs.first)
        free(plan.y_pairs.second)
        free(plan.y_pairs.weight)
        free(plan.x_filter.start)
        free(plan.x_filter.count)
        free(plan.x_filter.weights)
        free(plan.y_filter.start)
        free(plan.y_filter.count)
        free(plan.y_filter.weights)
        free(plan.decoded[0])
        free(plan.decoded[1])
        free(plan.blend)
        free(plan.pixels)
        free(plan.line)
        free(plan.ring)
        free(plan.wide)
        free(plan.sums)

    cdef int take_pairs(self, qeil_pair_taps *taps, arrays, size_t n, size_t limit) except -1:
        cdef const int32_t[::1] first = arrays[0], second = arrays[1]
        cdef const float[::1] weight = arrays[2]
        cdef size_t k
        if <size_t>first.shape[0] != n or <size_t>second.shape[0] != n or <size_t>weight.shape[0] != n:
            raise ValueError(f"{first.shape[0]}, {second.shape[0]}, {weight.shape[0]} taps for {n} samples")
        for k in range(n):
            if not (0 <= first[k] < <ptrdiff_t>limit and 0 <= second[k] < <ptrdiff_t>limit and 0 <= weight[k] <= 1):
                raise ValueError(f"taps {first[k]}, {second[k]} with weight {weight[k]} of sample {k} do not fit {limit} pixels")
        taps.first = <int32_t *>copy_of(&first[0], n * sizeof(int32_t))
        taps.second = <int32_t *>copy_of(&second[0], n * sizeof(int32_t))
        taps.weight = <float *>copy_of(&weight[0], n * sizeof(float))
        return 0

    cdef int take_filter(self, qeil_filter_taps *taps, arrays, size_t n, size_t limit) except -1:
        cdef const int32_t[::1] start = arrays[0], count = arrays[1]
        cdef const int32_t[:, ::1] weights = arrays[2]
        cdef size_t k
        cdef ptrdiff_t width = weights.shape[1], previous = 0
        if <size_t>start.shape[0] != n or <size_t>count.shape[0] != n or <size_t>weights.shape[0] != n or width < 1:
            raise ValueError(f"{start.shape[0]}, {count.shape[0]}, {weights.shape[0]} filters for {n} samples")
        for k in range(n):
            if not (previous <= start[k] and 1 <= count[k] <= width and start[k] + <ptrdiff_t>count[k] <= <ptrdiff_t>limit):
                raise ValueError(f"{count[k]} taps from {start[k]} of sample {k} do not fit {limit} pixels")
            previous = start[k]
        taps.width = <int32_t>width
        taps.start = <int32_t *>copy_of(&start[0], n * sizeof(int32_t))
        taps.count = <int32_t *>copy_of(&count[0], n * sizeof(int32_t))
        taps.weights = <int32_t *>copy_of(&weights[0, 0], n * <size_t>width * sizeof(int32_t))
        return 0

    def run(self, const uint8_t[::1] data, size_t step, uint8_t[::1] out):
        """Prepares one image with rows of `step` bytes into `out`. ValueError if either buffer is too small."""
        cdef qeil_plan *plan = &self.plan
        cdef size_t row = qeil_row_bytes(plan.format, plan.width), needed
        cdef size_t wanted = plan.out_width * plan.out_height * <size_t>plan.channels * <size_t>self.item
        if step < row or step > <size_t>1 << 31:
            raise ValueError(f"a row of {plan.width} pixels of {FORMATS[plan.format]} has {row} bytes, but step is {step}")
        needed = qeil_image_bytes(plan.format, plan.width, plan.height, step)
        if <size_t>data.shape[0] < needed:
            raise ValueError(f"{plan.width}x{plan.height} pixels of {FORMATS[plan.format]} with step {step} take {needed} bytes, "
                             f"but there are {data.shape[0]}")
        if <size_t>out.shape[0] != wanted:
            raise ValueError(f"the output takes {wanted} bytes, but has {out.shape[0]}")
        with nogil:
            qeil_prepare(plan, &data[0], step, &out[0])


cdef int inside(str name, size_t start, size_t length, size_t limit) except -1:
    if not (0 < limit <= MAX_SIDE and 0 < length <= limit and start <= limit - length):
        raise ValueError(f"a {name} of {length} pixels from {start} does not fit {limit} pixels (at most {MAX_SIDE})")
    return 0


cdef void *take(size_t size) except NULL:
    cdef void *memory = calloc(size, 1)
    if memory == NULL:
        raise MemoryError(f"no memory for {size} bytes")
    return memory


cdef void *copy_of(const void *source, size_t size) except NULL:
    cdef void *memory = take(size)
    memcpy(memory, source, size)
    return memory
