/* Codes of 1 to 8 bits <-> bytes, in the lane layout of docs/bitstream.md.
 *
 * A block is 8 rows of L codes (one byte each) and b rows of L packed bytes. Every lane is shifted alike, so the loops over lanes
 * vectorise for each width; the width is a constant in each instance, so that all shifts are. */
#ifndef QEIL_PACK_H
#define QEIL_PACK_H

#include "multiversion.h"

#define QEIL_LANES 64
#define QEIL_BLOCK (8 * QEIL_LANES)

/* Byte k of a lane holds bits 8k .. 8k+7 of its codes, row r at bit r*width: at most 8/width + 2 rows meet it. */
QEIL_INLINE void qeil_pack_lanes(const uint8_t *restrict codes, uint8_t *restrict out, size_t lanes, const int width) {
#pragma GCC unroll 8
    for (int k = 0; k < width; k++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            uint8_t byte = 0;
#pragma GCC unroll 8
            for (int r = 0; r < 8; r++) {
                const int shift = r * width - 8 * k;
                if (shift <= -width || shift >= 8) continue;
                const uint8_t code = codes[(size_t)r * lanes + lane];
                byte |= shift >= 0 ? (uint8_t)(code << shift) : (uint8_t)(code >> -shift);
            }
            out[(size_t)k * lanes + lane] = byte;
        }
    }
}

QEIL_INLINE void qeil_unpack_lanes(const uint8_t *restrict in, uint8_t *restrict codes, size_t lanes, const int width) {
    const uint8_t mask = (uint8_t)((1 << width) - 1);
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++) {
        const int k = r * width / 8, shift = r * width % 8;
        for (size_t lane = 0; lane < lanes; lane++) {
            uint8_t code = (uint8_t)(in[(size_t)k * lanes + lane] >> shift);
            if (shift + width > 8) code |= (uint8_t)(in[(size_t)(k + 1) * lanes + lane] << (8 - shift));
            codes[(size_t)r * lanes + lane] = code & mask;
        }
    }
}

#define QEIL_EACH_WIDTH(call) \
    switch (width) { \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    case 4: call(4); break; \
    case 5: call(5); break; \
    case 6: call(6); break; \
    case 7: call(7); break; \
    default: call(8); break; \
    }

/* The last fewer than 8 codes: one bit string, cut after its last byte. */
QEIL_INLINE void qeil_pack_rest(const uint8_t *codes, uint8_t *out, size_t n, int width) {
    uint64_t bits = 0;
    for (size_t r = 0; r < n; r++) bits |= (uint64_t)codes[r] << (r * (size_t)width);
    for (size_t k = 0; k < (n * (size_t)width + 7) / 8; k++) out[k] = (uint8_t)(bits >> (8 * k));
}

QEIL_INLINE int qeil_unpack_rest(const uint8_t *in, uint8_t *codes, size_t n, int width) {
    uint64_t bits = 0;
    for (size_t k = 0; k < (n * (size_t)width + 7) / 8; k++) bits |= (uint64_t)in[k] << (8 * k);
    for (size_t r = 0; r < n; r++) codes[r] = (uint8_t)((bits >> (r * (size_t)width)) & ((1u << width) - 1));
    return n == 0 || (bits >> (n * (size_t)width)) == 0;
}

/* Up to QEIL_BLOCK codes; returns the bytes written, ceil(n * width / 8). A block that is not full must be the last. */
QEIL_INLINE size_t qeil_pack_block(const uint8_t *codes, uint8_t *out, size_t n, int width) {
    const size_t lanes = n / 8, rest = n % 8;
    if (lanes == QEIL_LANES) {
#define QEIL_CALL(w) qeil_pack_lanes(codes, out, QEIL_LANES, w)
        QEIL_EACH_WIDTH(QEIL_CALL)
#undef QEIL_CALL
    } else {
#define QEIL_CALL(w) qeil_pack_lanes(codes, out, lanes, w)
        QEIL_EACH_WIDTH(QEIL_CALL)
#undef QEIL_CALL
    }
    qeil_pack_rest(codes + 8 * lanes, out + lanes * (size_t)width, rest, width);
    return (n * (size_t)width + 7) / 8;
}

/* The inverse; returns 0 where unused bits are set. */
QEIL_INLINE int qeil_unpack_block(const uint8_t *in, uint8_t *codes, size_t n, int width) {
    const size_t lanes = n / 8, rest = n % 8;
    if (lanes == QEIL_LANES) {
#define QEIL_CALL(w) qeil_unpack_lanes(in, codes, QEIL_LANES, w)
        QEIL_EACH_WIDTH(QEIL_CALL)
#undef QEIL_CALL
    } else {
#define QEIL_CALL(w) qeil_unpack_lanes(in, codes, lanes, w)
        QEIL_EACH_WIDTH(QEIL_CALL)
#undef QEIL_CALL
    }
    return qeil_unpack_rest(in + lanes * (size_t)width, codes + 8 * lanes, rest, width);
}

#endif
