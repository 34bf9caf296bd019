/* Elements <-> packed codes of the uniform quantizer, block by block, without an intermediate tensor. */
#ifndef QEIL_QUANTIZE_H
#define QEIL_QUANTIZE_H

#include "elements.h"

/* Encoding: q = round(x * inverse - offset) with inverse = 1 / (F * unit), offset = zero / F; decoding: x = (F*q + zero) * unit. */
QEIL_CLONES static void qeil_encode_uniform(const uint8_t *data, int dtype, size_t n, qeil_groups g, int width,
                                            const float *inverse, const float *offset, uint8_t *out) {
    float scratch[QEIL_BLOCK];
    uint8_t codes[QEIL_BLOCK];
    const float top = (float)((1 << width) - 1);
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        const float *x = qeil_load(data, dtype, at, size, scratch);
        for (size_t done = 0; done < size;) {
            size_t set, run;
            if (g.inner == 1) {
                set = (at + done) % g.count;
                run = g.count - set < size - done ? g.count - set : size - done;
                for (size_t k = 0; k < run; k++)
                    codes[done + k] =
                        (uint8_t)qeil_round_small(qeil_clamp(x[done + k] * inverse[set + k] - offset[set + k], 0.0f, top));
            } else {
                run = qeil_run(g, at + done, size - done, &set);
                const float scale = inverse[set], shift = offset[set];
                for (size_t k = 0; k < run; k++)
                    codes[done + k] = (uint8_t)qeil_round_small(qeil_clamp(x[done + k] * scale - shift, 0.0f, top));
            }
            done += run;
        }
        out += qeil_pack_block(codes, out, size, width);
    }
}

/* Returns 0 where unused bits of the payload are set. */
QEIL_CLONES static int qeil_decode_uniform(const uint8_t *in, int dtype, size_t n, qeil_groups g, int width,
                                           const float *unit, const int32_t *zero, uint8_t *data) {
    float values[QEIL_BLOCK];
    uint8_t codes[QEIL_BLOCK];
    const int shift = 8 - width;
    int clean = 1;
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        float *x = dtype == QEIL_FLOAT32 ? (float *)data + at : values;
        clean &= qeil_unpack_block(in, codes, size, width);
        in += size * (size_t)width / 8;
        for (size_t done = 0; done < size;) {
            size_t set, run;
            if (g.inner == 1) {
                set = (at + done) % g.count;
                run = g.count - set < size - done ? g.count - set : size - done;
                for (size_t k = 0; k < run; k++)
                    x[done + k] = (float)(((int32_t)codes[done + k] << shift) + zero[set + k]) * unit[set + k];
            } else {
                run = qeil_run(g, at + done, size - done, &set);
                const float scale = unit[set];
                const int32_t first = zero[set];
                for (size_t k = 0; k < run; k++)
                    x[done + k] = (float)(((int32_t)codes[done + k] << shift) + first) * scale;
            }
            done += run;
        }
        if (dtype != QEIL_FLOAT32) qeil_store(data, dtype, at, size, values);
    }
    return clean;
}

/* 1 if the compiler fuses a*b + c: then the encoder's bytes would depend on the processor.
 * (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 when fused, 0 when the square is rounded. Volatile, so that it is not computed at compile time. */
QEIL_CLONES static int qeil_contracts(void) {
    volatile float root = 1.000244140625f, square = 1.00048828125f;
    const float a = root, c = square;
    return a * a - c != 0.0f;
}

#endif
