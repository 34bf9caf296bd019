# CRC-32C.

cdef extern from "crc32c.h" nogil:
    void qeil_crc_init()
    uint32_t qeil_crc32c(uint32_t crc, const uint8_t *data, size_t size)
    uint32_t qeil_crc32c_portable(uint32_t crc, const uint8_t *data, size_t size)


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
