# Memory that a kernel object owns.

cdef void *take(size_t size) except NULL:
    cdef void *memory = calloc(size, 1)
    if memory == NULL:
        raise MemoryError(f"no memory for {size} bytes")
    return memory


cdef void *copy_of(const void *source, size_t size) except NULL:
    cdef void *memory = take(size)
    memcpy(memory, source, size)
    return memory
