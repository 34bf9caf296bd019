/* The lanes of the rans coder: 32-bit states that share one string of 16-bit words, written backwards and read forwards.
 *
 * Symbol i of the coded order belongs to lane i mod lanes, so that neighbouring symbols do not wait for each other. One lane begins
 * (in the encoder) and ends (in the decoder) at 0, several at LOW: see docs/bitstream.md. */
#ifndef QEIL_RANS_LANES_H
#define QEIL_RANS_LANES_H

#include "rans_avx512.h"
#include "rans_model.h"

#define QEIL_RANS_LANES 32

/* A lane costs 3 bytes, which few codes should not pay. */
QEIL_INLINE int qeil_rans_lanes(size_t codes) {
    return codes < (size_t)1 << 15 ? 1 : codes < (size_t)1 << 17 ? 16 : QEIL_RANS_LANES;
}

QEIL_INLINE uint32_t qeil_load16(const uint8_t *at) {
    uint16_t word;
    memcpy(&word, at, 2);
    return word;
}

QEIL_INLINE uint32_t qeil_load32(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, 4);
    return word;
}

/* --- encoding --- */

typedef struct {
    uint32_t state[QEIL_RANS_LANES];
    uint8_t *at; /* the word written last */
    int lanes;
} qeil_rans_writer;

QEIL_INLINE void qeil_rans_begin(qeil_rans_writer *writer, int lanes, uint8_t *end) {
    writer->lanes = lanes;
    writer->at = end;
    for (int lane = 0; lane < lanes; lane++) writer->state[lane] = lanes == 1 ? 0 : QEIL_RANS_LOW;
}

/* state / frequency by multiplication: exact for state < frequency << 19, which the word written first sees to. */
QEIL_INLINE uint32_t qeil_rans_push(uint32_t state, const qeil_rans_symbol *symbol, uint8_t **at) {
    const int full = state >= symbol->limit;
    const uint16_t word = (uint16_t)state;
    memcpy(*at - 2, &word, 2);
    *at -= 2 * full;
    state >>= 16 * full;
    const uint32_t quotient = (uint32_t)((uint64_t)state * symbol->reciprocal >> symbol->shift);
    return state + symbol->start + quotient * symbol->rest;
}

/* Symbols [0, n) one by one, the last first. */
QEIL_INLINE void qeil_rans_encode_some(qeil_rans_writer *writer, const qeil_rans_model *model, const uint8_t *symbols, size_t n,
                                       size_t number) {
    while (n-- > 0) {
        uint32_t *state = &writer->state[(number + n) % (size_t)writer->lanes];
        *state = qeil_rans_push(*state, &model->encode[symbols[n]], &writer->at);
    }
}

/* Rounds of all lanes, the last symbol first; n is a multiple of the lanes. */
QEIL_INLINE void qeil_rans_encode_rounds(qeil_rans_writer *writer, const qeil_rans_symbol *table, const uint8_t *symbols, size_t n,
                                         const size_t lanes) {
    uint32_t state[QEIL_RANS_LANES];
    uint8_t *at = writer->at;
    memcpy(state, writer->state, lanes * sizeof *state);
    while (n > 0) {
        n -= lanes;
#pragma GCC unroll 8
        for (size_t lane = lanes; lane-- > 0;) state[lane] = qeil_rans_push(state[lane], &table[symbols[n + lane]], &at);
    }
    memcpy(writer->state, state, lanes * sizeof *state);
    writer->at = at;
}

static void qeil_rans_encode_1(qeil_rans_writer *writer, const qeil_rans_symbol *table, const uint8_t *symbols, size_t n) {
    qeil_rans_encode_rounds(writer, table, symbols, n, 1);
}

static void qeil_rans_encode_16(qeil_rans_writer *writer, const qeil_rans_symbol *table, const uint8_t *symbols, size_t n) {
    qeil_rans_encode_rounds(writer, table, symbols, n, 16);
}

static void qeil_rans_encode_32(qeil_rans_writer *writer, const qeil_rans_symbol *table, const uint8_t *symbols, size_t n) {
    qeil_rans_encode_rounds(writer, table, symbols, n, 32);
}

/* Symbols [0, n) of one model, the first of them number `number` of the coded order. Writes at most n words. */
static void qeil_rans_encode(qeil_rans_writer *writer, const qeil_rans_model *model, const uint8_t *symbols, size_t n, size_t number) {
    if (model->only >= 0) return; /* certain: nothing to write */
    const size_t lanes = (size_t)writer->lanes;
    size_t first = (lanes - number % lanes) % lanes;
    if (first > n) first = n;
    const size_t last = (n - first) % lanes, rounds = n - first - last;
    qeil_rans_encode_some(writer, model, symbols + first + rounds, last, number + first + rounds);
    if (lanes == 1) qeil_rans_encode_1(writer, model->encode, symbols + first, rounds);
#ifdef QEIL_RANS_AVX512
    else if (qeil_rans_has_avx512())
        qeil_rans_encode_avx512(writer->state, &writer->at, model, symbols + first, rounds, lanes);
#endif
    else if (lanes == 16) qeil_rans_encode_16(writer, model->encode, symbols + first, rounds);
    else qeil_rans_encode_32(writer, model->encode, symbols + first, rounds);
    qeil_rans_encode_some(writer, model, symbols, first, number);
}

/* One interval of 4096 slots, in lane 0. */
static void qeil_rans_put(qeil_rans_writer *writer, uint32_t start, uint32_t frequency) {
    if (frequency == QEIL_RANS_SLOTS) return;
    uint32_t state = writer->state[0];
    if (state >= frequency << 19) {
        const uint16_t word = (uint16_t)state;
        writer->at -= 2;
        memcpy(writer->at, &word, 2);
        state >>= 16;
    }
    writer->state[0] = (state / frequency << QEIL_RANS_BITS) + state % frequency + start;
}

/* Puts the states before the words; returns where the payload starts. */
static uint8_t *qeil_rans_flush(qeil_rans_writer *writer, const uint8_t *end) {
    uint8_t *at = writer->at;
    if (writer->lanes > 1) {
        at -= 4 * (size_t)writer->lanes;
        memcpy(at, writer->state, 4 * (size_t)writer->lanes);
        return at;
    }
    const uint32_t state = writer->state[0];
    int bytes = at != end ? 3 : 1;
    while (bytes < 4 && state >> (8 * bytes)) bytes++;
    at -= bytes;
    memcpy(at, &state, (size_t)bytes);
    return at;
}

/* --- decoding --- */

typedef struct {
    uint32_t state[QEIL_RANS_LANES];
    const uint8_t *at, *end;
    int lanes;
} qeil_rans_reader;

/* Takes the states; 0 where the payload cannot be one of `lanes` lanes. */
static int qeil_rans_open(qeil_rans_reader *reader, int lanes, const uint8_t *payload, size_t size) {
    reader->lanes = lanes;
    reader->end = payload + size;
    if (lanes == 1) {
        const size_t bytes = size <= 4 ? size : size % 2 ? 3 : 4;
        if (size == 0) return 0;
        uint32_t state = 0;
        memcpy(&state, payload, bytes);
        reader->state[0] = state;
        reader->at = payload + bytes;
        if (state >> 31) return 0;
        if (size > 4) return bytes == 4 ? state >> 24 != 0 : state >= QEIL_RANS_LOW;
        return size == 1 || state >> (8 * (size - 1)) != 0;
    }
    if (size < 4 * (size_t)lanes || size % 2) return 0;
    for (int lane = 0; lane < lanes; lane++) {
        reader->state[lane] = qeil_load32(payload + 4 * lane);
        if (reader->state[lane] < QEIL_RANS_LOW || reader->state[lane] >> 31) return 0;
    }
    reader->at = payload + 4 * lanes;
    return 1;
}

/* After the last symbol: every lane where the encoder began, nothing left over. */
static int qeil_rans_close(const qeil_rans_reader *reader) {
    for (int lane = 0; lane < reader->lanes; lane++) {
        if (reader->state[lane] != (reader->lanes == 1 ? 0 : QEIL_RANS_LOW)) return 0;
    }
    return reader->at == reader->end;
}

/* Brings a state back over LOW; 0 where the words have ended and a lane still needs one. */
QEIL_INLINE int qeil_rans_refill(qeil_rans_reader *reader, uint32_t *state) {
    if (*state >= QEIL_RANS_LOW) return 1;
    if (reader->at == reader->end) return reader->lanes == 1;
    *state = *state << 16 | qeil_load16(reader->at);
    reader->at += 2;
    return 1;
}

QEIL_INLINE uint32_t qeil_rans_step(uint32_t state, const uint32_t *slots, uint8_t *symbol) {
    const uint32_t entry = slots[state & (QEIL_RANS_SLOTS - 1)];
    *symbol = (uint8_t)entry;
    return (entry >> 20) * (state >> QEIL_RANS_BITS) + (entry >> 8 & (QEIL_RANS_SLOTS - 1));
}

/* Symbols one by one with every check; returns 0 where the words end too early. */
QEIL_INLINE int qeil_rans_decode_some(qeil_rans_reader *reader, const uint32_t *slots, uint8_t *symbols, size_t n, size_t number) {
    for (size_t i = 0; i < n; i++) {
        uint32_t *state = &reader->state[(number + i) % (size_t)reader->lanes];
        *state = qeil_rans_step(*state, slots, &symbols[i]);
        if (!qeil_rans_refill(reader, state)) return 0;
    }
    return 1;
}

/* Whole rounds of all lanes while there are words for the worst; returns the symbols done. */
QEIL_INLINE size_t qeil_rans_decode_rounds(qeil_rans_reader *reader, const uint32_t *slots, uint8_t *symbols, size_t n,
                                           const size_t lanes) {
    uint32_t state[QEIL_RANS_LANES];
    const uint8_t *at = reader->at;
    size_t done = 0;
    memcpy(state, reader->state, lanes * sizeof *state);
    for (; n - done >= lanes && (size_t)(reader->end - at) >= 2 * lanes; done += lanes) {
#pragma GCC unroll 8
        for (size_t lane = 0; lane < lanes; lane++) {
            const uint32_t low = qeil_rans_step(state[lane], slots, &symbols[done + lane]);
            if (lanes == 1) { /* alone it waits for each step: a guess is faster than waiting */
                state[lane] = low;
                if (__builtin_expect(low < QEIL_RANS_LOW, 0)) {
                    state[lane] = low << 16 | qeil_load16(at);
                    at += 2;
                }
                continue;
            }
            const uint32_t short_of = low < QEIL_RANS_LOW; /* no branch: it would be guessed wrong too often */
            state[lane] = low << (16 * short_of) | (qeil_load16(at) & (0u - short_of));
            at += 2 * short_of;
        }
    }
    memcpy(reader->state, state, lanes * sizeof *state);
    reader->at = at;
    return done;
}

static size_t qeil_rans_decode_1(qeil_rans_reader *reader, const uint32_t *slots, uint8_t *symbols, size_t n) {
    return qeil_rans_decode_rounds(reader, slots, symbols, n, 1);
}

static size_t qeil_rans_decode_16(qeil_rans_reader *reader, const uint32_t *slots, uint8_t *symbols, size_t n) {
    return qeil_rans_decode_rounds(reader, slots, symbols, n, 16);
}

static size_t qeil_rans_decode_32(qeil_rans_reader *reader, const uint32_t *slots, uint8_t *symbols, size_t n) {
    return qeil_rans_decode_rounds(reader, slots, symbols, n, 32);
}

/* Symbols [0, n) of one model, the first of them number `number` of the coded order; 0 where the payload is too short. */
static int qeil_rans_decode(qeil_rans_reader *reader, const qeil_rans_model *model, uint8_t *symbols, size_t n, size_t number) {
    if (model->only >= 0) {
        memset(symbols, model->only, n);
        return 1;
    }
    const size_t lanes = (size_t)reader->lanes;
    size_t first = (lanes - number % lanes) % lanes;
    if (first > n) first = n;
    if (!qeil_rans_decode_some(reader, model->slots, symbols, first, number)) return 0;
    size_t done = first;
    if (lanes == 1) done += qeil_rans_decode_1(reader, model->slots, symbols + done, n - done);
#ifdef QEIL_RANS_AVX512
    else if (qeil_rans_has_avx512())
        done += qeil_rans_decode_avx512(reader->state, &reader->at, reader->end, model->slots, symbols + done, n - done, lanes);
#endif
    else if (lanes == 16) done += qeil_rans_decode_16(reader, model->slots, symbols + done, n - done);
    else done += qeil_rans_decode_32(reader, model->slots, symbols + done, n - done);
    return qeil_rans_decode_some(reader, model->slots, symbols + done, n - done, number + done);
}

/* The slot of lane 0, and giving back the interval it was found in. */
QEIL_INLINE uint32_t qeil_rans_peek(const qeil_rans_reader *reader) {
    return reader->state[0] & (QEIL_RANS_SLOTS - 1);
}

static int qeil_rans_take(qeil_rans_reader *reader, uint32_t start, uint32_t frequency) {
    if (frequency == QEIL_RANS_SLOTS) return 1;
    const uint32_t state = reader->state[0];
    reader->state[0] = frequency * (state >> QEIL_RANS_BITS) + (state & (QEIL_RANS_SLOTS - 1)) - start;
    return qeil_rans_refill(reader, &reader->state[0]);
}

#endif
