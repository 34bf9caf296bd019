/* The same sums as image_resize.h and the same pixels as image_rows.h, with AVX-512's byte permutations (VBMI) and dot products (VNNI).
 *
 * Only the bytes that taps need are picked out of a row (image_pick.h), in the order in which the arithmetic wants them. YUV is decoded
 * to three planes, red, green, blue, in blocks of 64 pixels that lie in the order of the 16-byte lanes they are computed in.
 * Sums of interleaved pixels are four a pixel for pairs (as in image_resize.h) and three for filters; sums of planes are planes. */
#ifndef QEIL_IMAGE_AVX512_H
#define QEIL_IMAGE_AVX512_H

#include "image_pick.h"
#include "image_resize.h"
#include "image_rows.h"

typedef struct {
    size_t n;       /* resized pixels */
    int stride;     /* bytes a pixel of the row they are made from; 1: of each of its planes */
    size_t planes, plane, apart; /* planes of the row; bytes from one to the next, and sums from one to the next */
    qeil_picks decode, resize;
    void *weights, *memory; /* of `resize`'s blocks, aligned */
    size_t chunks, batches; /* fours of taps across; batches of rows that a filter down can touch */
    uint32_t *down;         /* for each output row, batch and digit the digits of four weights */
} qeil_wide;

/* A weight of 22 fractional bits is digit 2 * 65536 + digit 1 * 256 + digit 0, digits of -128..127. */
enum { QEIL_DIGITS = 3, QEIL_MAX_WEIGHT = (127 * 256 - 128) * 256 };

#if defined(__x86_64__) && (defined(__clang__) || __GNUC__ >= 8) && !defined(QEIL_NO_CLONES)
#define QEIL_HAS_WIDE 1
#include <immintrin.h>

#define QEIL_WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))
#define QEIL_WIDE_INLINE QEIL_WIDE QEIL_INLINE

static int qeil_can_wide(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    const qeil_wide *wide;
    const qeil_pair_taps *pairs;
    const qeil_filter_taps *filter;
    qeil_yuv_layout layout;
    int planar;
    const int32_t *columns;
    size_t count;
} qeil_wide_context;

/* Where a pixel's byte lies: 64 decoded pixels are four vectors of 16, each of four lanes of four, stored lane by lane. */
static int32_t qeil_byte_of(const qeil_wide *wide, size_t column, size_t byte) {
    if (wide->planes == 1) return (int32_t)((size_t)wide->stride * column + byte);
    return (int32_t)(byte * wide->plane + column / 64 * 64 + column / 4 % 4 * 16 + column / 16 % 4 * 4 + column % 4);
}

/* What a block's 16 sums are: `pixels` pixels of `bytes` each, or 16 of one plane after those of the planes before it. */
typedef struct {
    size_t pixels, bytes, groups;
} qeil_grouping;

static qeil_grouping qeil_grouping_of(const qeil_wide *wide, size_t bytes) {
    const size_t per = wide->stride == 1 ? 1 : bytes, pixels = 16 / per;
    return (qeil_grouping){pixels, per, (wide->n + pixels - 1) / pixels};
}

/* The pixel and byte of sum `lane` of a group; 0 where it is not used. */
static int qeil_locate(const qeil_wide *wide, qeil_grouping by, size_t group, size_t lane, size_t *pixel, size_t *byte) {
    *pixel = group % by.groups * by.pixels + lane / by.bytes;
    *byte = wide->stride == 1 ? group / by.groups : lane % by.bytes;
    return lane < by.pixels * by.bytes && *pixel < wide->n && *byte < 3;
}

/* Words: left and right tap of each sum. */
static void qeil_want_pairs(const void *context, size_t block, int32_t *at) {
    const qeil_wide_context *c = context;
    const qeil_grouping by = qeil_grouping_of(c->wide, 4);
    for (size_t k = 0; k < QEIL_PICKED; k++) {
        size_t pixel, byte;
        at[k] = QEIL_PICK_ZERO;
        if (k % 2 == 0 && qeil_locate(c->wide, by, block, k / 4, &pixel, &byte))
            at[k] = qeil_byte_of(c->wide, (size_t)(k & 2 ? c->pairs->second : c->pairs->first)[pixel], byte);
    }
}

/* Four taps of each sum; all the fours of a group after each other. */
static void qeil_want_filter(const void *context, size_t block, int32_t *at) {
    const qeil_wide_context *c = context;
    const qeil_grouping by = qeil_grouping_of(c->wide, 3);
    for (size_t k = 0; k < QEIL_PICKED; k++) {
        size_t pixel, byte, tap = block % c->wide->chunks * 4 + k % 4;
        at[k] = QEIL_PICK_ZERO;
        if (qeil_locate(c->wide, by, block / c->wide->chunks, k / 4, &pixel, &byte) && tap < (size_t)c->filter->count[pixel])
            at[k] = qeil_byte_of(c->wide, (size_t)c->filter->start[pixel] + tap, byte);
    }
}

/* Words luma, v of 16 pixels, and in the twin u, u. */
static void qeil_want_yuv(const void *context, size_t block, int32_t *at) {
    const qeil_wide_context *c = context;
    const qeil_yuv_layout layout = c->layout;
    for (size_t k = 0; k < 2 * QEIL_PICKED; k++) {
        const size_t pixel = block * 16 + k % QEIL_PICKED / 4, twin = k / QEIL_PICKED;
        at[k] = QEIL_PICK_ZERO;
        if (k % 2 || pixel >= c->count) continue;
        const size_t x = (size_t)c->columns[pixel];
        if (twin == 0 && k % 4 == 0)
            at[k] = (int32_t)(layout.luma_step * x + layout.y);
        else
            at[k] = (int32_t)(layout.chroma_step * (x / 2) + (twin ? layout.u : layout.v)) + (c->planar ? QEIL_PICK_SECOND : 0);
    }
}

static int qeil_digit(int32_t weight, int digit) {
    const int low = (int8_t)(weight & 255), middle = (int8_t)((weight - low) >> 8 & 255);
    return digit == 0 ? low : digit == 1 ? middle : (weight - low - middle * 256) >> 16;
}

static int qeil_take_weights(qeil_wide *wide, size_t size) {
    wide->memory = calloc(size + 64, 1);
    if (!wide->memory) return -1;
    wide->weights = (uint8_t *)wide->memory + (64 - (uintptr_t)wide->memory % 64);
    return 0;
}

static int qeil_make_wide_pairs(qeil_wide *wide, const size_t lengths[2], const qeil_pair_taps *pairs) {
    const qeil_wide_context context = {.wide = wide, .pairs = pairs};
    const qeil_grouping by = qeil_grouping_of(wide, 4);
    const size_t blocks = by.groups * wide->planes;
    if (qeil_make_picks(&wide->resize, blocks, 1, lengths, qeil_want_pairs, &context) || qeil_take_weights(wide, blocks * 64)) return -1;
    int16_t *weights = wide->weights;
    for (size_t k = 0, pixel, byte; k < blocks * 16; k++) {
        const int16_t weight = qeil_locate(wide, by, k / 16, k % 16, &pixel, &byte) ? pairs->weight[pixel] : 0;
        weights[2 * k] = (int16_t)((1 << QEIL_ACROSS_BITS) - weight), weights[2 * k + 1] = weight;
    }
    wide->apart = wide->stride == 1 ? by.groups * 16 : 1;
    return 0;
}

static int qeil_make_wide_filter(qeil_wide *wide, const size_t lengths[2], const qeil_filter_taps *across, const qeil_filter_taps *down,
                                 size_t rows) {
    const qeil_wide_context context = {.wide = wide, .filter = across};
    const qeil_grouping by = qeil_grouping_of(wide, 3);
    int32_t widest = 1;
    for (size_t j = 0; j < wide->n; j++) widest = across->count[j] > widest ? across->count[j] : widest;
    wide->chunks = ((size_t)widest + 3) / 4;
    wide->apart = wide->stride == 1 ? by.groups * 16 : 1;
    const size_t blocks = by.groups * wide->planes * wide->chunks;
    if (qeil_make_picks(&wide->resize, blocks, 1, lengths, qeil_want_filter, &context)) return -1;
    if (qeil_take_weights(wide, blocks * QEIL_DIGITS * 64)) return -1;
    int8_t *weights = wide->weights;
    for (size_t b = 0; b < blocks; b++)
        for (size_t k = 0, pixel, byte; k < QEIL_PICKED; k++) {
            const size_t tap = b % wide->chunks * 4 + k % 4;
            if (!qeil_locate(wide, by, b / wide->chunks, k / 4, &pixel, &byte) || tap >= (size_t)across->count[pixel]) continue;
            const int32_t weight = across->weights[pixel * (size_t)across->width + tap];
            for (int d = 0; d < QEIL_DIGITS; d++) weights[(b * QEIL_DIGITS + (size_t)d) * 64 + k] = (int8_t)qeil_digit(weight, d);
        }
    wide->batches = 1;
    for (size_t y = 0; y < rows; y++) {
        const size_t first = (size_t)down->start[y] / QEIL_BATCH, last = (size_t)(down->start[y] + down->count[y] - 1) / QEIL_BATCH;
        if (last - first + 1 > wide->batches) wide->batches = last - first + 1;
    }
    wide->down = calloc(rows * wide->batches * QEIL_DIGITS, sizeof *wide->down);
    if (!wide->down) return -1;
    for (size_t y = 0; y < rows; y++)
        for (int32_t t = 0; t < down->count[y]; t++) {
            const size_t place = (size_t)down->start[y] % QEIL_BATCH + (size_t)t, batch = y * wide->batches + place / QEIL_BATCH;
            const int32_t weight = down->weights[y * (size_t)down->width + (size_t)t];
            for (int d = 0; d < QEIL_DIGITS; d++)
                wide->down[batch * QEIL_DIGITS + (size_t)d] |= (uint32_t)(uint8_t)qeil_digit(weight, d) << place % QEIL_BATCH * 8;
        }
    return 0;
}

/* --- kernels --------------------------------------------------------------------------------------------------------- */

/* A block's first step also fills, with rubbish, what later ones will; loading its mask would cost as much as the permutation. */
QEIL_WIDE_INLINE __m512i qeil_pick(__mmask64 used, const uint8_t *index, const uint8_t *window) {
    return _mm512_maskz_permutexvar_epi8(used, _mm512_load_si512(index), _mm512_loadu_si512(window));
}

QEIL_WIDE_INLINE __m512i qeil_pick_more(__m512i picked, __mmask64 used, const uint8_t *index, const uint8_t *window) {
    return _mm512_mask_permutexvar_epi8(picked, used, _mm512_load_si512(index), _mm512_loadu_si512(window));
}

#define QEIL_LOW_BYTES 0x5555555555555555 /* of words */

QEIL_WIDE_INLINE __m512i qeil_word_pairs(int low, int high) {
    return _mm512_set1_epi32((int32_t)((uint32_t)low | (uint32_t)high << 16));
}

/* A factor in two parts for words x and x * 128: low * x + high * (x * 128). */
#define QEIL_LOW(factor) ((factor) & 32767)
#define QEIL_HIGH(factor) (((factor) >> 15) * 256)

/* A YUV row's columns -> planes. Rows that are some way apart the processor does not foresee: those in `soon`, which are wanted next, are
 * fetched meanwhile. Equal to qeil_yuv for every luma, u and v: green is the same sum; for red and blue 14 fractional bits
 * are enough if what is just between two levels, which qeil_yuv always rounds down, is a little (22) below. */
QEIL_WIDE_INLINE void qeil_wide_decode_as(int planar, const qeil_wide *wide, const uint8_t *const rows[2], const uint8_t *const soon[2],
                                          uint8_t *out) {
    enum { BITS = 14, LUMA = 19071, V_TO_RED = 26149, U_TO_BLUE = 33063, START = (1 << (BITS - 1)) - 22 };
    const qeil_picks *picks = &wide->decode;
    const __m512i black = _mm512_set1_epi32(16), one_and_128 = qeil_word_pairs(1, 128);
    const __m512i to_red = qeil_word_pairs(LUMA, V_TO_RED), to_blue = qeil_word_pairs(LUMA, 0);
    const __m512i u_to_blue = qeil_word_pairs(U_TO_BLUE & 127, U_TO_BLUE >> 7);
    const __m512i to_green_low = qeil_word_pairs(QEIL_LOW(QEIL_LUMA), QEIL_LOW(QEIL_V_TO_GREEN));
    const __m512i to_green_high = qeil_word_pairs(QEIL_HIGH(QEIL_LUMA), QEIL_HIGH(QEIL_V_TO_GREEN));
    const __m512i u_to_green = qeil_word_pairs(QEIL_LOW(QEIL_U_TO_GREEN), QEIL_HIGH(QEIL_U_TO_GREEN));
    const __m512i red_start = _mm512_set1_epi32(START - 128 * V_TO_RED), blue_start = _mm512_set1_epi32(START - 128 * U_TO_BLUE);
    const __m512i green_start = _mm512_set1_epi32((1 << (QEIL_YUV_BITS - 1)) - 128 * (QEIL_V_TO_GREEN + QEIL_U_TO_GREEN));
    const qeil_pick_step *step = picks->steps;
    const uint8_t *index = picks->indices;
    for (size_t b = 0; b < picks->blocks; out += 64) {
        __m512i red[4], green[4], blue[4];
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++, b++) {
            const qeil_pick_step *end = picks->steps + picks->first[b + 1];
            int row = planar ? step->second : 0;
            __m512i yv = qeil_pick(QEIL_LOW_BYTES, index, rows[row] + step->offset);
            __m512i u = qeil_pick(QEIL_LOW_BYTES, index + 64, rows[row] + step->offset);
            _mm_prefetch(soon[row] + step->offset, _MM_HINT_T0);
            for (index += 128; ++step < end; index += 128) {
                row = planar ? step->second : 0;
                yv = qeil_pick_more(yv, step->mask[0], index, rows[row] + step->offset);
                u = qeil_pick_more(u, step->mask[1], index + 64, rows[row] + step->offset);
                _mm_prefetch(soon[row] + step->offset, _MM_HINT_T0);
            }
            yv = _mm512_subs_epu16(yv, black);
            u = _mm512_mullo_epi16(u, one_and_128);
            red[part] = _mm512_srai_epi32(_mm512_dpwssd_epi32(red_start, yv, to_red), BITS);
            blue[part] = _mm512_srai_epi32(_mm512_dpwssd_epi32(_mm512_dpwssd_epi32(blue_start, yv, to_blue), u, u_to_blue), BITS);
            const __m512i low = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(green_start, yv, to_green_low), u, u_to_green);
            green[part] = _mm512_srai_epi32(_mm512_dpwssd_epi32(low, _mm512_slli_epi16(yv, 7), to_green_high), QEIL_YUV_BITS);
        }
        const __m512i *const colours[3] = {red, green, blue};
        for (size_t c = 0; c < 3; c++)
            _mm512_storeu_si512(out + c * wide->plane, _mm512_packus_epi16(_mm512_packs_epi32(colours[c][0], colours[c][1]),
                                                                           _mm512_packs_epi32(colours[c][2], colours[c][3])));
    }
}

QEIL_WIDE static void qeil_wide_decode(const qeil_wide *wide, const uint8_t *const rows[2], const uint8_t *const soon[2], uint8_t *out) {
    if (rows[0] == rows[1])
        qeil_wide_decode_as(0, wide, rows, soon, out);
    else
        qeil_wide_decode_as(1, wide, rows, soon, out);
}

/* Two rows to one of sums; `soon` as above. */
QEIL_WIDE static void qeil_wide_pairs(const qeil_wide *wide, const uint8_t *top, const uint8_t *bottom, const uint8_t *const soon[2],
                                      int16_t down, int32_t *sums) {
    const qeil_picks *picks = &wide->resize;
    const __m512i weight = _mm512_set1_epi16(down);
    const uint8_t *across = wide->weights, *index = picks->indices;
    const qeil_pick_step *step = picks->steps;
    for (size_t b = 0; b < picks->blocks; b++) {
        const qeil_pick_step *end = picks->steps + picks->first[b + 1];
        __m512i above = qeil_pick(QEIL_LOW_BYTES, index, top + step->offset);
        __m512i below = qeil_pick(QEIL_LOW_BYTES, index, bottom + step->offset);
        _mm_prefetch(soon[0] + step->offset, _MM_HINT_T0);
        _mm_prefetch(soon[1] + step->offset, _MM_HINT_T0);
        for (index += 64; ++step < end; index += 64) {
            above = qeil_pick_more(above, step->mask[0], index, top + step->offset);
            below = qeil_pick_more(below, step->mask[0], index, bottom + step->offset);
        }
        const __m512i difference = _mm512_slli_epi16(_mm512_sub_epi16(below, above), QEIL_BLEND_BITS);
        const __m512i blend = _mm512_add_epi16(_mm512_slli_epi16(above, QEIL_BLEND_BITS), _mm512_mulhrs_epi16(difference, weight));
        _mm512_storeu_si512(sums + 16 * b, _mm512_madd_epi16(blend, _mm512_load_si512(across + 64 * b)));
    }
}

QEIL_WIDE_INLINE __m512i qeil_wide_filtered(const __m512i digits[QEIL_DIGITS]) {
    __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(digits[2], 8), digits[1]);
    sum = _mm512_srai_epi32(_mm512_add_epi32(_mm512_slli_epi32(sum, 8), digits[0]), QEIL_WEIGHT_BITS);
    return _mm512_min_epi32(_mm512_max_epi32(sum, _mm512_setzero_si512()), _mm512_set1_epi32(255));
}

/* Four rows at once, to one row of 32-bit words with a byte of each of the four. */
QEIL_WIDE static void qeil_wide_filter_rows(const qeil_wide *wide, const uint8_t *const rows[QEIL_BATCH], uint32_t *out) {
    const qeil_picks *picks = &wide->resize;
    const __m512i half = _mm512_set1_epi32(1 << (QEIL_WEIGHT_BITS - 1)), zero = _mm512_setzero_si512();
    const size_t values = wide->stride == 1 ? 16 : 15;
    const uint8_t *weights = wide->weights, *index = picks->indices;
    const qeil_pick_step *step = picks->steps;
    for (size_t b = 0; b < picks->blocks; out += values) {
        __m512i sums[QEIL_BATCH][QEIL_DIGITS];
        for (int r = 0; r < QEIL_BATCH; r++) sums[r][0] = half, sums[r][1] = zero, sums[r][2] = zero;
        for (const size_t after = b + wide->chunks; b < after; b++, weights += QEIL_DIGITS * 64) {
            const qeil_pick_step *end = picks->steps + picks->first[b + 1];
            __m512i taps[QEIL_BATCH];
            for (int r = 0; r < QEIL_BATCH; r++)
                taps[r] = _mm512_permutexvar_epi8(_mm512_load_si512(index), _mm512_loadu_si512(rows[r] + step->offset));
            for (index += 64; ++step < end; index += 64)
                for (int r = 0; r < QEIL_BATCH; r++) taps[r] = qeil_pick_more(taps[r], step->mask[0], index, rows[r] + step->offset);
            for (int d = 0; d < QEIL_DIGITS; d++) {
                const __m512i digit = _mm512_load_si512(weights + 64 * d);
                for (int r = 0; r < QEIL_BATCH; r++) sums[r][d] = _mm512_dpbusd_epi32(sums[r][d], taps[r], digit);
            }
        }
        __m512i packed = qeil_wide_filtered(sums[0]);
        for (int r = 1; r < QEIL_BATCH; r++)
            packed = _mm512_or_si512(packed, _mm512_slli_epi32(qeil_wide_filtered(sums[r]), 8 * (unsigned)r));
        _mm512_storeu_si512(out, packed);
    }
}

/* Down: batches of four rows as above in a ring of `ring` of `size` words (a multiple of 16); the first one is in `slot`. */
QEIL_WIDE static void qeil_wide_filter_column(const qeil_wide *wide, const uint32_t *rows, size_t ring, size_t size, size_t slot, size_t y,
                                              int32_t *sums) {
    const uint32_t *weights = wide->down + y * wide->batches * QEIL_DIGITS;
    for (size_t k = 0; k < size; k += 16) {
        __m512i digits[QEIL_DIGITS] = {_mm512_set1_epi32(1 << (QEIL_WEIGHT_BITS - 1)), _mm512_setzero_si512(), _mm512_setzero_si512()};
        size_t at = slot;
        for (size_t t = 0; t < wide->batches; t++) {
            const __m512i values = _mm512_loadu_si512(rows + at * size + k);
            for (size_t d = 0; d < QEIL_DIGITS; d++)
                digits[d] = _mm512_dpbusd_epi32(digits[d], values, _mm512_set1_epi32((int32_t)weights[t * QEIL_DIGITS + d]));
            at = at + 1 == ring ? 0 : at + 1;
        }
        _mm512_storeu_si512(sums + k, qeil_wide_filtered(digits));
    }
}

#endif
#endif
