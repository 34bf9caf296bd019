/* Runs of floats that share a parameter set to whole numbers and back, 64 at a time: as the loops of quantize.h, in fewer
 * instructions. Saturating packs do most of the clamping; all roundings are the same, so the bytes are. */
#ifndef QEIL_CONVERT_AVX512_H
#define QEIL_CONVERT_AVX512_H

#include "multiversion.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(QEIL_NO_CLONES)
#define QEIL_CONVERT_AVX512 1
#include <immintrin.h>

#define QEIL_CONVERT_TARGET __attribute__((target("avx512f,avx512bw")))

static int qeil_convert_has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

/* round(min(x * inverse - offset, top)) of 16 values; what is NaN or below -2^31 becomes the least integer */
#define QEIL_ROUND_16(x) \
    _mm512_cvtps_epi32(_mm512_min_ps(tops, _mm512_sub_ps(_mm512_mul_ps(_mm512_loadu_ps(x), inverses), offsets)))

/* The functions below handle the first run / 64 * 64 values and return how many that is. */

QEIL_CONVERT_TARGET static size_t qeil_to_bytes_avx512(const float *x, size_t run, float inverse, float offset, float low, float top,
                                                       uint8_t *out) {
    const __m512 inverses = _mm512_set1_ps(inverse), offsets = _mm512_set1_ps(offset), tops = _mm512_set1_ps(top);
    const __m512i lows = _mm512_set1_epi8((char)low), order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    size_t k = 0;
    for (; k + 64 <= run; k += 64) {
        const __m512i first = _mm512_packs_epi32(QEIL_ROUND_16(x + k), QEIL_ROUND_16(x + k + 16));
        const __m512i second = _mm512_packs_epi32(QEIL_ROUND_16(x + k + 32), QEIL_ROUND_16(x + k + 48));
        const __m512i bytes = _mm512_max_epu8(_mm512_packus_epi16(first, second), lows);
        _mm512_storeu_si512(out + k, _mm512_permutexvar_epi32(order, bytes));
    }
    return k;
}

/* `words` is signed with low = -32768, else low = 0. */
QEIL_CONVERT_TARGET static size_t qeil_to_words_avx512(const float *x, size_t run, float inverse, float offset, float low, float top,
                                                       uint16_t *out) {
    const __m512 inverses = _mm512_set1_ps(inverse), offsets = _mm512_set1_ps(offset), tops = _mm512_set1_ps(top);
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    size_t k = 0;
    for (; k + 64 <= run; k += 64)
        for (size_t half = k; half < k + 64; half += 32) {
            const __m512i first = QEIL_ROUND_16(x + half), second = QEIL_ROUND_16(x + half + 16);
            const __m512i words = low < 0 ? _mm512_packs_epi32(first, second) : _mm512_packus_epi32(first, second);
            _mm512_storeu_si512(out + half, _mm512_permutexvar_epi64(order, words));
        }
    return k;
}

/* ((codes << shift) + zero) * unit */
QEIL_CONVERT_TARGET static size_t qeil_from_bytes_avx512(const uint8_t *codes, size_t run, float unit, int32_t zero, int shift,
                                                         float *x) {
    const __m512 units = _mm512_set1_ps(unit);
    const __m512i zeros = _mm512_set1_epi32(zero);
    const __m128i count = _mm_cvtsi32_si128(shift);
    size_t k = 0;
    for (; k + 64 <= run; k += 64)
        for (size_t part = k; part < k + 64; part += 16) {
            const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(codes + part)));
            const __m512i sum = _mm512_add_epi32(_mm512_sll_epi32(wide, count), zeros);
            _mm512_storeu_ps(x + part, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), units));
        }
    return k;
}

/* Codes of `width` <= 5 bits by a binary search among the first positions of the codes: nodes 1 .. 2^width - 1 of a heap. */
QEIL_CONVERT_TARGET static size_t qeil_search_avx512(const uint16_t *positions, size_t n, const uint16_t *heap, int width,
                                                     uint8_t *codes) {
    const __m512i nodes = _mm512_loadu_si512(heap), one = _mm512_set1_epi16(1), leaves = _mm512_set1_epi16((short)(1 << width));
    size_t k = 0;
    for (; k + 64 <= n; k += 64) {
        const __m512i first = _mm512_loadu_si512(positions + k), second = _mm512_loadu_si512(positions + k + 32);
        __m512i a = one, b = one;
        for (int level = 0; level < width; level++) {
            const __mmask32 a_right = _mm512_cmpge_epu16_mask(first, _mm512_permutexvar_epi16(a, nodes));
            const __mmask32 b_right = _mm512_cmpge_epu16_mask(second, _mm512_permutexvar_epi16(b, nodes));
            a = _mm512_add_epi16(a, a);
            b = _mm512_add_epi16(b, b);
            a = _mm512_mask_add_epi16(a, a_right, a, one);
            b = _mm512_mask_add_epi16(b, b_right, b, one);
        }
        _mm256_storeu_si256((__m256i *)(codes + k), _mm512_cvtepi16_epi8(_mm512_sub_epi16(a, leaves)));
        _mm256_storeu_si256((__m256i *)(codes + k + 32), _mm512_cvtepi16_epi8(_mm512_sub_epi16(b, leaves)));
    }
    return k;
}

/* A full block of packed codes of at most 4 bits -> table[code]: the 8 codes of a lane are one word, shifted under a look-up that
 * sees its low 4 bits; hence `table` repeats every 2^width entries. */
#define QEIL_LOOK_UP_512(width) \
    __m512i words[4]; \
    for (int part = 0; part < 4; part++) { \
        words[part] = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(in + 16 * part))); \
        for (int k = 1; k < (width); k++) { \
            const __m512i next = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(in + 64 * k + 16 * part))); \
            words[part] = _mm512_or_si512(words[part], _mm512_slli_epi32(next, 8 * (unsigned)k)); \
        } \
    } \
    for (int row = 0; row < 8; row++) \
        for (int part = 0; part < 4; part++) { \
            _mm512_storeu_ps(x + 64 * row + 16 * part, _mm512_permutexvar_ps(words[part], values)); \
            words[part] = _mm512_srli_epi32(words[part], (width)); \
        }

QEIL_CONVERT_TARGET static void qeil_look_up_block_avx512(const uint8_t *in, int width, const float *table, float *x) {
    const __m512 values = _mm512_loadu_ps(table);
    if (width == 1) {
        QEIL_LOOK_UP_512(1)
    } else if (width == 2) {
        QEIL_LOOK_UP_512(2)
    } else if (width == 3) {
        QEIL_LOOK_UP_512(3)
    } else {
        QEIL_LOOK_UP_512(4)
    }
}

#endif
#endif
