# Image preparation.

cdef extern from "image_prepare.h" nogil:
    enum:
        ACROSS_BITS "QEIL_ACROSS_BITS"
        DOWN_BITS "QEIL_DOWN_BITS"
    ctypedef struct qeil_pair_taps:
        int32_t *first
        int32_t *second
        int16_t *weight
    ctypedef struct qeil_filter_taps:
        int32_t *start
        int32_t *count
        int32_t *weights
        int32_t width
    ctypedef struct qeil_output:
        size_t width, height, rect_x, rect_y, rect_width, rect_height
        int channels, interleaved, dtype
        int source[3]
        int red
        float scale[3]
        float shift[3]
        float pad
    ctypedef struct qeil_plan:
        int format, big_endian
        size_t width, height, crop_x, crop_y, crop_width, crop_height
        int filtered, wide
        qeil_pair_taps x_pairs, y_pairs
        qeil_filter_taps x_filter, y_filter
        qeil_output output
    int qeil_finish_plan(qeil_plan *plan, int portable)
    void qeil_free_plan(qeil_plan *plan)
    size_t qeil_row_bytes(int format, size_t width)
    size_t qeil_image_bytes(int format, size_t width, size_t height, size_t step)
    void qeil_prepare(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out)


FORMATS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "rgb16", "bgr16", "rgba16", "bgra16", "mono16",
           "uyvy", "yuyv", "nv12", "nv21", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
OUTPUTS = ("float32", "float16", "uint8", "int8")

cdef size_t MAX_SIDE = 1 << 15


cdef class ImagePlan:
    """Image preparation for one geometry: tables and a few rows of scratch, so that a frame allocates nothing.

    format: one of FORMATS. crop and rect: (x, y, width, height) in the image and in the tensor. out: (width, height).
    order: for each of the 1 or 3 output channels its place in red, green, blue. scale, shift: per output channel.
    x, y: taps in the crop's coordinates for every sample of rect: (first, second, weight) int32, int32, float32 arrays, or with
    `filtered` (start, count, weights) int32 arrays, weights [samples, width] in 22-bit fixed point, starts ascending.
    big_endian: of 16-bit formats. portable: without wide vector instructions, for comparison; the bytes are the same.
    """

    cdef qeil_plan plan
    cdef int item

    def __init__(self, format, size, crop, out, rect, order, bint interleaved, dtype, scale, shift, float pad, bint filtered, x, y,
                 bint big_endian=False, bint portable=False):
        cdef qeil_plan *plan = &self.plan
        cdef qeil_output *to = &plan.output
        cdef int c
        if self.item:
            raise RuntimeError("a plan is made once")
        plan.format, plan.big_endian = FORMATS.index(format), big_endian
        to.dtype = OUTPUTS.index(dtype)
        self.item = (4, 2, 1, 1)[to.dtype]
        plan.width, plan.height = size
        plan.crop_x, plan.crop_y, plan.crop_width, plan.crop_height = crop
        to.width, to.height = out
        to.rect_x, to.rect_y, to.rect_width, to.rect_height = rect
        inside("crop", plan.crop_x, plan.crop_width, plan.width)
        inside("crop", plan.crop_y, plan.crop_height, plan.height)
        inside("rectangle", to.rect_x, to.rect_width, to.width)
        inside("rectangle", to.rect_y, to.rect_height, to.height)
        if format.startswith("bayer") and (plan.width < 3 or plan.height < 3):
            raise ValueError(f"a Bayer image of {plan.width}x{plan.height} cannot be demosaiced; at least 3x3 is needed")
        to.channels = len(order)
        if to.channels not in (1, 3) or len(scale) != to.channels or len(shift) != to.channels:
            raise ValueError(f"{len(order)} channels with {len(scale)} scales and {len(shift)} shifts; 1 or 3 of each are possible")
        to.red = 2 if format.startswith("bgr") else 0
        for c in range(to.channels):
            if order[c] not in (0, 1, 2):
                raise ValueError(f"channel order {order}; 0, 1 and 2 are possible")
            to.source[c] = abs(to.red - <int>order[c])
            to.scale[c], to.shift[c] = scale[c], shift[c]
        to.interleaved, to.pad, plan.filtered = interleaved, pad, filtered
        if filtered:
            take_filter(&plan.x_filter, x, to.rect_width, plan.crop_width)
            take_filter(&plan.y_filter, y, to.rect_height, plan.crop_height)
        else:
            take_pairs(&plan.x_pairs, x, to.rect_width, plan.crop_width, ACROSS_BITS)
            take_pairs(&plan.y_pairs, y, to.rect_height, plan.crop_height, DOWN_BITS)
        if qeil_finish_plan(plan, portable):
            raise MemoryError(f"no memory to prepare images of {plan.width}x{plan.height} pixels")

    def __dealloc__(self):
        qeil_free_plan(&self.plan)

    @property
    def wide(self):
        """Whether wide vector instructions are used: the processor has them and the image is wide enough."""
        return bool(self.plan.wide)

    def run(self, const uint8_t[::1] data, size_t step, uint8_t[::1] out):
        """Prepares one image with rows of `step` bytes into `out`. ValueError if either buffer is too small."""
        cdef qeil_plan *plan = &self.plan
        cdef size_t row = qeil_row_bytes(plan.format, plan.width), needed
        cdef size_t wanted = plan.output.width * plan.output.height * <size_t>plan.output.channels * <size_t>self.item
        if step < row or step > <size_t>1 << 31:
            raise ValueError(f"a row of {plan.width} pixels of {FORMATS[plan.format]} has {row} bytes, but step is {step}")
        needed = qeil_image_bytes(plan.format, plan.width, plan.height, step)
        if <size_t>data.shape[0] < needed:
            raise ValueError(f"{plan.width}x{plan.height} pixels of {FORMATS[plan.format]} with step {step} take {needed} bytes, "
                             f"but there are {data.shape[0]}")
        if <size_t>out.shape[0] != wanted:
            raise ValueError(f"the output takes {wanted} bytes, but has {out.shape[0]}")
        if <size_t>&out[0] % <size_t>self.item:
            raise ValueError(f"the output must be aligned to {self.item} bytes")
        with nogil:
            qeil_prepare(plan, &data[0], step, &out[0])


cdef int take_pairs(qeil_pair_taps *taps, arrays, size_t n, size_t limit, int bits) except -1:
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
    taps.weight = <int16_t *>take(n * sizeof(int16_t))
    for k in range(n):  # 15 bits cannot hold 1
        taps.weight[k] = <int16_t>min(<int32_t>(weight[k] * <float>(1 << bits) + <float>0.5), (1 << 15) - 1)
    return 0


cdef int take_filter(qeil_filter_taps *taps, arrays, size_t n, size_t limit) except -1:
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


cdef int inside(str name, size_t start, size_t length, size_t limit) except -1:
    if not (0 < limit <= MAX_SIDE and 0 < length <= limit and start <= limit - length):
        raise ValueError(f"a {name} of {length} pixels from {start} does not fit {limit} pixels (at most {MAX_SIDE})")
    return 0
