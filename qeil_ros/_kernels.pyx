# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The hot loops in C: checksum, quantize and pack, unpack and dequantize, entropy coding, image preparation.

Plain buffers in, plain buffers out: no numpy at build time. Callers check shapes; this module checks sizes again, so that a wrong
call raises instead of writing past a buffer. Everything long runs without the GIL. The C is in csrc/, one idea a header, and beside
it one .pxi for each group of kernels: what is compiled here is one module, made of them.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

include "csrc/memory.pxi"
include "csrc/checksum.pxi"
include "csrc/quantizer.pxi"
include "csrc/entropy.pxi"
include "csrc/prediction.pxi"
include "csrc/filter.pxi"
include "csrc/image.pxi"
include "csrc/planner.pxi"
