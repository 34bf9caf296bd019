# The entropy coder.

cdef extern from "rans.h" nogil:
    ctypedef struct qeil_rans_layout:
        int family
        int grid
        int axis
        int sent
        size_t cells
        uint8_t *table
    ctypedef struct qeil_rans_work:
        qeil_rans_layout layout
    ctypedef struct qeil_rans_model:
        int count
        int escape
        uint16_t *frequency
        uint32_t *cost
    qeil_rans_model qeil_rans_statics[2][32]
    int qeil_rans_lanes(size_t codes)
    void qeil_rans_init()
    size_t qeil_rans_shape(qeil_rans_layout *layout, const size_t *shape, int dimensions, int axis)
    int16_t qeil_rans_least(const int16_t *codes, size_t n)
    size_t qeil_rans_prepare(qeil_rans_work *work, const void *codes, int is_signed, int negative, size_t n, uint8_t *symbols)
    uint8_t *qeil_rans_write(qeil_rans_work *work, const void *codes, int is_signed, size_t n, const uint8_t *symbols, uint8_t *end)
    int qeil_rans_read(qeil_rans_work *work, const uint8_t *payload, size_t size, int is_signed, const size_t *shape,
                       int dimensions, size_t n, uint8_t *symbols, void *codes)


qeil_rans_init()

_RANS_FAULTS = (
    "",
    "is too short or its states are out of range",
    "announces a layout that its tensor cannot have",
    "ends before its codes",
    "has an escape that its codes cannot have",
    "does not end where its codes do",
)


def rans_static(int family, int scale):
    """(frequencies, the escape among them as the last; index of the escape, 256 where there is none; costs in 1/256 bit of indices
    0 to 255) of a static table of docs/bitstream.md."""
    if not 0 <= family < 2 or not 0 <= scale < 32:
        raise ValueError(f"family {family}, scale {scale}; there are families 0 and 1 and scales 0 to 31")
    cdef qeil_rans_model *model = &qeil_rans_statics[family][scale]
    return ([model.frequency[i] for i in range(model.count)], model.escape, [model.cost[i] for i in range(256)])


cdef class Rans:
    """The rans coder of docs/bitstream.md with its memory, which grows to the largest tensor seen: 1 byte a code to decode, 3 to encode.

    Not for several threads at once.
    """

    cdef qeil_rans_work *work
    cdef uint8_t *symbols
    cdef uint8_t *words
    cdef size_t symbols_size
    cdef size_t words_size
    cdef uint8_t *payload
    cdef size_t payload_size

    def __cinit__(self):
        self.work = <qeil_rans_work *>take(sizeof(qeil_rans_work))

    def __dealloc__(self):
        free(self.work)
        free(self.symbols)
        free(self.words)

    cdef int reserve(self, uint8_t **memory, size_t *capacity, size_t size) except -1:
        if size > capacity[0]:
            free(memory[0])
            capacity[0] = 0
            memory[0] = <uint8_t *>malloc(size)
            if memory[0] == NULL:
                raise MemoryError(f"no memory for {size} bytes")
            capacity[0] = size
        return 0

    cdef int dimensions(self, shape, size_t *sizes, size_t codes, int item) except -1:
        cdef size_t n = 1
        cdef Py_ssize_t d
        if not 1 <= len(shape) <= 8:
            raise ValueError(f"{len(shape)} dimensions; 1 to 8 are possible")
        for d in range(len(shape)):
            sizes[d] = shape[d]
            if sizes[d] == 0 or sizes[d] > 0x7fffffff or n > 0x7fffffff // sizes[d]:
                raise ValueError(f"a tensor of shape {tuple(shape)} is empty or too large")
            n *= sizes[d]
        if item not in (1, 2) or codes != n * <size_t>item:
            raise ValueError(f"{codes} bytes of codes of {item} bytes for shape {tuple(shape)}")
        return <int>len(shape)

    def encode(self, const uint8_t[::1] codes, bint signed, shape, int axis):
        """Codes int16 (signed, -32767 to 32767) or uint8 (not signed) of a tensor of `shape` -> the size of the payload, which
        copy() gives. `axis`, counted from the last, is the one whose cells may have tables of their own."""
        cdef size_t sizes[8]
        cdef int count = self.dimensions(shape, sizes, <size_t>codes.shape[0], 2 if signed else 1)
        cdef size_t n = <size_t>codes.shape[0] // (2 if signed else 1), words, size
        cdef int16_t least = 0
        cdef uint8_t *end
        if not 0 <= axis < count:
            raise ValueError(f"axis {axis} from the last of {count} dimensions")
        if signed and (<size_t>&codes[0]) % 2:
            raise ValueError("codes of two bytes must be aligned to two bytes")
        self.payload_size = 0
        self.reserve(&self.symbols, &self.symbols_size, n)
        qeil_rans_shape(&self.work.layout, sizes, count, axis)
        with nogil:
            if signed:
                least = qeil_rans_least(<const int16_t *>&codes[0], n)
        if least < -32767:
            raise ValueError(f"a code of {least}; -32767 to 32767 are possible")
        with nogil:
            words = qeil_rans_prepare(self.work, &codes[0], signed, signed and least < 0, n, self.symbols)
        size = 2 * words + 2 + 128
        self.reserve(&self.words, &self.words_size, size)
        end = self.words + size
        with nogil:
            self.payload = qeil_rans_write(self.work, &codes[0], signed, n, self.symbols, end)
        self.payload_size = end - self.payload
        return self.payload_size

    def copy(self, uint8_t[::1] out):
        """Writes the payload of the last encode() into `out`, which must have its size."""
        if self.payload_size == 0 or <size_t>out.shape[0] != self.payload_size:
            raise ValueError(f"{out.shape[0]} bytes for a payload of {self.payload_size}")
        memcpy(&out[0], self.payload, self.payload_size)

    def layout(self):
        """(family, grid, axis from the last, tables sent, table of each cell) of the last payload."""
        cdef qeil_rans_layout *layout = &self.work.layout
        return (layout.family, layout.grid, layout.axis, layout.sent, [layout.table[i] for i in range(layout.cells)])

    def decode(self, const uint8_t[::1] payload, bint signed, shape, uint8_t[::1] codes):
        """The inverse, into int16 or uint8 codes. ValueError where the payload is not valid; `codes` are then undefined."""
        cdef size_t sizes[8]
        cdef int count = self.dimensions(shape, sizes, <size_t>codes.shape[0], 2 if signed else 1)
        cdef size_t n = <size_t>codes.shape[0] // (2 if signed else 1), size = <size_t>payload.shape[0]
        cdef int fault
        if signed and (<size_t>&codes[0]) % 2:
            raise ValueError("codes of two bytes must be aligned to two bytes")
        if size == 0:
            raise ValueError("the entropy-coded payload is empty")
        self.reserve(&self.symbols, &self.symbols_size, n)
        with nogil:
            fault = qeil_rans_read(self.work, &payload[0], size, signed, sizes, count, n, self.symbols, &codes[0])
        if fault:
            raise ValueError(f"the entropy-coded payload of {size} bytes {_RANS_FAULTS[fault]}")
