/* The rounds of 16 and 32 lanes of rans_lanes.h in one and two vectors: the same words in the same order, so the same bytes.
 *
 * Tables are read by gathers from the first-level cache; which lanes need a word is a mask, and the words go to or come from them by
 * compressing and expanding. */
#ifndef QEIL_RANS_AVX512_H
#define QEIL_RANS_AVX512_H

#include "rans_model.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(QEIL_NO_CLONES)
#define QEIL_RANS_AVX512 1
#include <immintrin.h>

#define QEIL_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512cd,avx512dq,bmi2,popcnt")))

static int qeil_rans_has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq");
}

QEIL_TARGET_AVX512 static inline __m512i qeil_rans_step_16(__m512i state, const uint32_t *slots, uint8_t *symbols, const uint8_t **at) {
    const __m512i low_bits = _mm512_set1_epi32(QEIL_RANS_SLOTS - 1);
    const __m512i entry = _mm512_i32gather_epi32(_mm512_and_si512(state, low_bits), slots, 4);
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)*at));
    _mm_storeu_si128((__m128i *)symbols, _mm512_cvtepi32_epi8(entry));
    state = _mm512_mullo_epi32(_mm512_srli_epi32(entry, 20), _mm512_srli_epi32(state, QEIL_RANS_BITS));
    state = _mm512_add_epi32(state, _mm512_and_si512(_mm512_srli_epi32(entry, 8), low_bits));
    const __mmask16 short_of = _mm512_cmplt_epu32_mask(state, _mm512_set1_epi32(QEIL_RANS_LOW));
    const __m512i fresh = _mm512_maskz_expand_epi32(short_of, words);
    *at += 2 * (size_t)_mm_popcnt_u32(short_of);
    return _mm512_mask_or_epi32(state, short_of, _mm512_slli_epi32(state, 16), fresh);
}

/* As qeil_rans_decode_rounds, for 16 lanes or 32. */
QEIL_TARGET_AVX512 static size_t qeil_rans_decode_avx512(uint32_t *states, const uint8_t **words, const uint8_t *end,
                                                         const uint32_t *slots, uint8_t *symbols, size_t n, size_t lanes) {
    const uint8_t *at = *words;
    size_t done = 0;
    __m512i low = _mm512_loadu_si512(states);
    if (lanes == 32) {
        __m512i high = _mm512_loadu_si512(states + 16);
        for (; n - done >= 32 && end - at >= 64; done += 32) {
            low = qeil_rans_step_16(low, slots, symbols + done, &at);
            high = qeil_rans_step_16(high, slots, symbols + done + 16, &at);
        }
        _mm512_storeu_si512(states + 16, high);
    } else {
        for (; n - done >= 16 && end - at >= 32; done += 16) low = qeil_rans_step_16(low, slots, symbols + done, &at);
    }
    _mm512_storeu_si512(states, low);
    *words = at;
    return done;
}

/* The table in registers where it fits: 32 symbols in two vectors a field, or 64 in four. Several times faster than gathers. */
typedef struct {
    const qeil_rans_symbol *symbols;
    __m512i reciprocal[4];
    __m512i pair[4]; /* start, 16 bits; 4096 - frequency, 16 */
} qeil_rans_fields;

QEIL_TARGET_AVX512 static inline void qeil_rans_load_fields(qeil_rans_fields *fields, const qeil_rans_symbol *symbols) {
    __m512i index = _mm512_slli_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 1);
    fields->symbols = symbols;
    for (int k = 0; k < 4; k++) {
        fields->reciprocal[k] = _mm512_i32gather_epi32(index, &symbols->reciprocal, 8);
        fields->pair[k] = _mm512_i32gather_epi32(index, &symbols->start, 8);
        index = _mm512_add_epi32(index, _mm512_set1_epi32(32));
    }
}

QEIL_TARGET_AVX512 static inline __m512i qeil_rans_field(const __m512i *field, const void *memory, __m512i index, const int size) {
    if (size > 64) return _mm512_i32gather_epi32(_mm512_slli_epi32(index, 1), memory, 8);
    const __m512i low = _mm512_permutex2var_epi32(field[0], index, field[1]);
    if (size <= 32) return low;
    const __mmask16 upper = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
    return _mm512_mask_mov_epi32(low, upper, _mm512_permutex2var_epi32(field[2], index, field[3]));
}

QEIL_TARGET_AVX512 static inline __m512i qeil_rans_push_16(__m512i state, const qeil_rans_fields *fields, const int size,
                                                           const uint8_t *symbols, uint8_t **at) {
    const __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)symbols));
    const __m512i reciprocal = qeil_rans_field(fields->reciprocal, &fields->symbols->reciprocal, index, size);
    const __m512i pair = qeil_rans_field(fields->pair, &fields->symbols->start, index, size);
    const __m512i rest = _mm512_srli_epi32(pair, 16);
    const __m512i frequency = _mm512_sub_epi32(_mm512_set1_epi32(QEIL_RANS_SLOTS), rest);
    const __mmask16 full = _mm512_cmpge_epu32_mask(state, _mm512_slli_epi32(frequency, 19));
    const size_t count = (size_t)_mm_popcnt_u32(full);
    *at -= 2 * count;
    _mm256_mask_storeu_epi16(*at, (__mmask16)((1u << count) - 1), _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, state)));
    state = _mm512_mask_srli_epi32(state, full, state, 16);
    /* 31 + ceil(log2(frequency)), as in qeil_rans_set_slots */
    const __m512i shift = _mm512_sub_epi32(_mm512_set1_epi32(63),
                                           _mm512_lzcnt_epi32(_mm512_sub_epi32(frequency, _mm512_set1_epi32(1))));
    const __m512i even = _mm512_srlv_epi64(_mm512_mul_epu32(state, reciprocal),
                                           _mm512_and_si512(shift, _mm512_set1_epi64(0xffffffff)));
    const __m512i odd = _mm512_srlv_epi64(_mm512_mul_epu32(_mm512_srli_epi64(state, 32), _mm512_srli_epi64(reciprocal, 32)),
                                          _mm512_srli_epi64(shift, 32));
    const __m512i quotient = _mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64(odd, 32));
    const __m512i start = _mm512_and_si512(pair, _mm512_set1_epi32(0xffff));
    return _mm512_add_epi32(_mm512_add_epi32(state, start), _mm512_mullo_epi32(quotient, rest));
}

QEIL_TARGET_AVX512 static inline __attribute__((always_inline)) void qeil_rans_push_all(
    uint32_t *states, uint8_t **words, const qeil_rans_symbol *table, const uint8_t *symbols, size_t n, const size_t lanes,
    const int size) {
    uint8_t *at = *words;
    qeil_rans_fields fields;
    qeil_rans_load_fields(&fields, table);
    __m512i low = _mm512_loadu_si512(states), high = low;
    if (lanes == 32) high = _mm512_loadu_si512(states + 16);
    for (; n > 0; n -= lanes) {
        if (lanes == 32) high = qeil_rans_push_16(high, &fields, size, symbols + n - 16, &at);
        low = qeil_rans_push_16(low, &fields, size, symbols + n - lanes, &at);
    }
    _mm512_storeu_si512(states, low);
    if (lanes == 32) _mm512_storeu_si512(states + 16, high);
    *words = at;
}

/* As qeil_rans_encode_rounds, for 16 lanes or 32. */
QEIL_TARGET_AVX512 static void qeil_rans_encode_avx512(uint32_t *states, uint8_t **words, const qeil_rans_model *model,
                                                       const uint8_t *symbols, size_t n, size_t lanes) {
    const qeil_rans_symbol *table = model->encode;
    if (lanes == 32) {
        if (model->used <= 32) qeil_rans_push_all(states, words, table, symbols, n, 32, 32);
        else if (model->used <= 64) qeil_rans_push_all(states, words, table, symbols, n, 32, 64);
        else qeil_rans_push_all(states, words, table, symbols, n, 32, 256);
    } else if (model->used <= 32) {
        qeil_rans_push_all(states, words, table, symbols, n, 16, 32);
    } else {
        qeil_rans_push_all(states, words, table, symbols, n, 16, 256);
    }
}
#endif

#endif
