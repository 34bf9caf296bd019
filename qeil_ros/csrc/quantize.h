/* Elements <-> codes of every quantizer, packed or a byte each, block by block, without an intermediate tensor.
 *
 * Encoding: the position of x among the levels is x * inverse - offset, each operation rounded by itself, then clamped and rounded
 * to a whole number, which is the code or leads to it by a table. Decoding: x = (T[code] + zero) * unit, one rounding. */
#ifndef QEIL_QUANTIZE_H
#define QEIL_QUANTIZE_H

#include "convert_avx512.h"
#include "elements.h"
#include "random.h"

typedef struct {
    const float *inverse, *offset; /* by set */
    float low, top;                /* positions are clamped to these; 0 <= low, top < 2^16 unless codes are signed */
    const uint8_t *codes;          /* the code of each position; NULL where the position is the code */
    int levels;                    /* with a table of codes of up to 5 bits: the levels of the heap of their first positions .. */
    uint16_t heap[32];             /* .. by which a search finds the same code; else 0 */
    const qeil_key *key;           /* for stochastic rounding; NULL to round to the nearest */
} qeil_encoding;

typedef struct {
    const float *unit;   /* by set */
    const int32_t *zero; /* by set: added to T */
    int shift;           /* T[code] = code << shift, where `levels` is NULL */
    const float *levels; /* T[code] of 256 codes */
} qeil_decoding;

/* Positions 0 .. size - 1 lead to codes of `width` bits by a table, in ascending order. */
static void qeil_use_table(qeil_encoding *e, const uint8_t *codes, int size, int width) {
    e->low = 0, e->top = (float)(size - 1), e->codes = codes;
    e->levels = width <= 5 ? width : 0;
    for (int node = 1, level = 0; node < 1 << e->levels; node++) {
        while (node >> (level + 1)) level++;
        const int code = (2 * (node - (1 << level)) + 1) << (width - 1 - level);
        int low = 0, high = size; /* the first position of a code as large lies in [low, high] */
        while (low < high) {
            const int middle = (low + high) / 2;
            if (codes[middle] >= code)
                high = middle;
            else
                low = middle + 1;
        }
        e->heap[node] = (uint16_t)low;
    }
}

enum { QEIL_TO_BYTES, QEIL_TO_WORDS, QEIL_TO_SIGNED, QEIL_TO_RANDOM };

#define QEIL_FRACTION 14 /* bits of a position's fraction that stochastic rounding sees: 255 << 14 is below 2^22 */

/* Positions of neighbours as whole numbers. They share set 0 of `inverse` and `offset` (next = 0) or have one each (next = 1). */
QEIL_INLINE void qeil_positions(const float *restrict x, size_t run, const float *inverse, const float *offset, const size_t next,
                                const qeil_encoding *e, const int to, size_t index, void *restrict out) {
    const float low = e->low, top = e->top;
    const qeil_key key = to == QEIL_TO_RANDOM ? *e->key : (qeil_key){0, 0};
    size_t k = 0;
#ifdef QEIL_CONVERT_AVX512
    if (next == 0 && qeil_convert_has_avx512() && to == QEIL_TO_BYTES) k = qeil_to_bytes_avx512(x, run, *inverse, *offset, low, top, out);
    if (next == 0 && qeil_convert_has_avx512() && (to == QEIL_TO_WORDS || to == QEIL_TO_SIGNED))
        k = qeil_to_words_avx512(x, run, *inverse, *offset, low, top, out);
#endif
    for (; k < run; k++) {
        const float position = qeil_clamp(x[k] * inverse[k * next] - offset[k * next], low, top);
        if (to == QEIL_TO_BYTES) {
            ((uint8_t *)out)[k] = (uint8_t)qeil_round_small(position);
        } else if (to == QEIL_TO_WORDS) {
            ((uint16_t *)out)[k] = (uint16_t)qeil_round_small(position);
        } else if (to == QEIL_TO_SIGNED) { /* 2^23 + 2^22 keeps negative sums in one binade */
            ((int16_t *)out)[k] = (int16_t)(qeil_bits_of(position + 12582912.0f) - 0x4b400000u);
        } else {
            const uint32_t draw = qeil_random(key, (uint32_t)(index + k)) >> (32 - QEIL_FRACTION);
            ((uint8_t *)out)[k] = (uint8_t)((qeil_round_small(position * (1 << QEIL_FRACTION)) + draw) >> QEIL_FRACTION);
        }
    }
}

/* The same of `size` elements that start at element `at`, run by run of one set (or of neighbouring sets). */
QEIL_INLINE void qeil_block_positions(const float *x, size_t at, size_t size, qeil_groups g, const qeil_encoding *e, const int to,
                                      void *out) {
    const size_t item = to == QEIL_TO_WORDS || to == QEIL_TO_SIGNED ? 2 : 1;
    for (size_t done = 0, run, set; done < size; done += run) {
        void *place = (uint8_t *)out + item * done;
        if (g.inner == 1) {
            run = qeil_neighbours(g, at + done, size - done, &set);
            qeil_positions(x + done, run, e->inverse + set, e->offset + set, 1, e, to, at + done, place);
        } else {
            run = qeil_run(g, at + done, size - done, &set);
            qeil_positions(x + done, run, e->inverse + set, e->offset + set, 0, e, to, at + done, place);
        }
    }
}

/* Codes of a block, a byte each. */
QEIL_INLINE void qeil_block_codes(const float *x, size_t at, size_t size, qeil_groups g, const qeil_encoding *e, uint8_t *codes) {
    if (e->codes) {
        uint16_t positions[QEIL_BLOCK];
        qeil_block_positions(x, at, size, g, e, QEIL_TO_WORDS, positions);
        const uint8_t *restrict table = e->codes;
        size_t k = 0;
#ifdef QEIL_CONVERT_AVX512
        if (e->levels && qeil_convert_has_avx512()) k = qeil_search_avx512(positions, size, e->heap, e->levels, codes);
#endif
        for (; k < size; k++) codes[k] = table[positions[k]];
    } else if (e->key) {
        qeil_block_positions(x, at, size, g, e, QEIL_TO_RANDOM, codes);
    } else {
        qeil_block_positions(x, at, size, g, e, QEIL_TO_BYTES, codes);
    }
}

/* Codes of `width` bits, packed. */
QEIL_CLONES static void qeil_encode_packed(const uint8_t *data, int dtype, size_t n, qeil_groups g, int width,
                                           const qeil_encoding *e, uint8_t *out) {
    float scratch[QEIL_BLOCK];
    uint8_t codes[QEIL_BLOCK];
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        qeil_block_codes(qeil_load(data, dtype, at, size, scratch), at, size, g, e, codes);
        out += qeil_pack_block(codes, out, size, width);
    }
}

/* Codes of a byte each. */
QEIL_CLONES static void qeil_encode_bytes(const uint8_t *data, int dtype, size_t n, qeil_groups g, const qeil_encoding *e,
                                          uint8_t *out) {
    float scratch[QEIL_BLOCK];
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        qeil_block_codes(qeil_load(data, dtype, at, size, scratch), at, size, g, e, out + at);
    }
}

/* Signed codes of 16 bits. */
QEIL_CLONES static void qeil_encode_signed(const uint8_t *data, int dtype, size_t n, qeil_groups g, const qeil_encoding *e,
                                           int16_t *out) {
    float scratch[QEIL_BLOCK];
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        qeil_block_positions(qeil_load(data, dtype, at, size, scratch), at, size, g, e, QEIL_TO_SIGNED, out + at);
    }
}

enum { QEIL_FROM_BYTES, QEIL_FROM_SIGNED, QEIL_FROM_LEVELS };

/* Values of neighbours from their codes (bytes or signed words), or from T of their codes; sets as in qeil_positions. */
QEIL_INLINE void qeil_reconstruct(const void *restrict in, const int from, size_t run, const float *unit, const int32_t *zero,
                                  const size_t next, const int shift, float *restrict x) {
    size_t k = 0;
#ifdef QEIL_CONVERT_AVX512
    if (next == 0 && from == QEIL_FROM_BYTES && qeil_convert_has_avx512()) k = qeil_from_bytes_avx512(in, run, *unit, *zero, shift, x);
#endif
    for (; k < run; k++) {
        if (from == QEIL_FROM_BYTES)
            x[k] = (float)(((int32_t)((const uint8_t *)in)[k] << shift) + zero[k * next]) * unit[k * next];
        else if (from == QEIL_FROM_SIGNED)
            x[k] = (float)(((const int16_t *)in)[k] * (1 << shift) + zero[k * next]) * unit[k * next];
        else
            x[k] = (((const float *)in)[k] + (float)zero[k * next]) * unit[k * next];
    }
}

QEIL_INLINE void qeil_block_reconstruct(const void *in, const int from, size_t at, size_t size, qeil_groups g,
                                        const qeil_decoding *d, float *x) {
    const size_t item = from == QEIL_FROM_BYTES ? 1 : from == QEIL_FROM_SIGNED ? 2 : 4;
    for (size_t done = 0, run, set; done < size; done += run) {
        const void *place = (const uint8_t *)in + item * done;
        if (g.inner == 1) {
            run = qeil_neighbours(g, at + done, size - done, &set);
            qeil_reconstruct(place, from, run, d->unit + set, d->zero + set, 1, d->shift, x + done);
        } else {
            run = qeil_run(g, at + done, size - done, &set);
            qeil_reconstruct(place, from, run, d->unit + set, d->zero + set, 0, d->shift, x + done);
        }
    }
}

/* The floats that the codes of elements from `at` on stand for. */
QEIL_INLINE void qeil_block_floats(const uint8_t *codes, size_t at, size_t size, qeil_groups g, const qeil_decoding *d, float *x) {
    if (d->levels) {
        float levels[QEIL_BLOCK];
        const float *restrict table = d->levels;
        for (size_t k = 0; k < size; k++) levels[k] = table[codes[k]];
        qeil_block_reconstruct(levels, QEIL_FROM_LEVELS, at, size, g, d, x);
    } else {
        qeil_block_reconstruct(codes, QEIL_FROM_BYTES, at, size, g, d, x);
    }
}

/* The same into the tensor. */
QEIL_INLINE void qeil_block_values(const uint8_t *codes, size_t at, size_t size, qeil_groups g, const qeil_decoding *d, int dtype,
                                   uint8_t *data) {
    float values[QEIL_BLOCK];
    qeil_block_floats(codes, at, size, g, d, dtype == QEIL_FLOAT32 ? (float *)data + at : values);
    if (dtype != QEIL_FLOAT32) qeil_store(data, dtype, at, size, values);
}

/* Packed codes of `width` bits -> elements. Returns 0 where unused bits of the payload are set. */
QEIL_CLONES static int qeil_decode_packed(const uint8_t *in, int dtype, size_t n, qeil_groups g, int width, const qeil_decoding *d,
                                          uint8_t *data) {
    uint8_t codes[QEIL_BLOCK];
    int clean = 1;
#ifdef QEIL_CONVERT_AVX512
    const int look_up = width <= 4 && qeil_convert_has_avx512();
    float table[16];
    size_t tabled = SIZE_MAX; /* the run of a set whose values the table holds */
#endif
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
#ifdef QEIL_CONVERT_AVX512
        if (look_up && size == QEIL_BLOCK && at / g.inner == (at + size - 1) / g.inner) {
            float values[QEIL_BLOCK], *x = dtype == QEIL_FLOAT32 ? (float *)data + at : values;
            if (tabled != at / g.inner) {
                for (int c = 0; c < 16; c++) codes[c] = (uint8_t)(c & ((1 << width) - 1));
                qeil_block_floats(codes, at, 16, g, d, table);
                tabled = at / g.inner;
            }
            qeil_look_up_block_avx512(in, width, table, x);
            if (dtype != QEIL_FLOAT32) qeil_store(data, dtype, at, size, values);
            in += QEIL_LANES * (size_t)width;
            continue;
        }
#endif
        clean &= qeil_unpack_block(in, codes, size, width);
        in += size * (size_t)width / 8;
        qeil_block_values(codes, at, size, g, d, dtype, data);
    }
    return clean;
}

/* Codes of a byte each -> elements; bits over `mask` are ignored. */
QEIL_CLONES static void qeil_decode_bytes(const uint8_t *in, int dtype, size_t n, qeil_groups g, uint8_t mask,
                                          const qeil_decoding *d, uint8_t *data) {
    uint8_t codes[QEIL_BLOCK];
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        for (size_t k = 0; k < size; k++) codes[k] = in[at + k] & mask;
        qeil_block_values(codes, at, size, g, d, dtype, data);
    }
}

/* Signed codes of 16 bits -> elements. */
QEIL_CLONES static void qeil_decode_signed(const int16_t *in, int dtype, size_t n, qeil_groups g, const qeil_decoding *d,
                                           uint8_t *data) {
    float values[QEIL_BLOCK];
    for (size_t at = 0; at < n; at += QEIL_BLOCK) {
        const size_t size = n - at < QEIL_BLOCK ? n - at : QEIL_BLOCK;
        float *x = dtype == QEIL_FLOAT32 ? (float *)data + at : values;
        qeil_block_reconstruct(in + at, QEIL_FROM_SIGNED, at, size, g, d, x);
        if (dtype != QEIL_FLOAT32) qeil_store(data, dtype, at, size, values);
    }
}

/* 1 if the compiler fuses a*b + c: then the encoder's bytes would depend on the processor.
 * (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 when fused, 0 when the square is rounded. Volatile, so that it is not computed at compile time. */
QEIL_CLONES static int qeil_contracts(void) {
    volatile float root = 1.000244140625f, square = 1.00048828125f;
    const float a = root, c = square;
    return a * a - c != 0.0f;
}

#endif
