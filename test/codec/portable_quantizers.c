/* Runs the quantizers over made-up tensors and prints a checksum of everything they wrote, a line a kernel.
 * Built for several processors and optimisation levels, all must print the same. */
#include <stdio.h>
#include <stdlib.h>

#include "crc32c.h"
#include "levels.h"
#include "quantize.h"

#define N 9001

static uint64_t state = 88172645463325252u;

static uint32_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static const char *const kinds[] = {"", "uniform", "symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian"};

/* Levels by every rule for the sets of a tensor in turn, then codes in every form and back. */
static uint32_t quantized(int kind, int width, const uint8_t *data, int dtype, qeil_groups g) {
    static float low[N], high[N], unit[N], inverse[N], offset[N];
    static int32_t zero[N], highest[N];
    static uint32_t lowest[N], near[N];
    static qeil_levels levels[N];
    static uint8_t parameters[1 + 4 * N], codes[N], payload[N + 64], ladder_codes[QEIL_LADDER], fine[QEIL_FINE * 255 + 1];
    static float decoded[N];
    static int16_t indices[N];
    qeil_ladder ladder = {.codes = ladder_codes};
    int32_t integers[256];
    const qeil_key key = qeil_key_of(1234567890123u);
    const size_t bytes = 1 + qeil_set_bytes(kind) * g.count, size = (N * (size_t)width + 7) / 8;
    const size_t item = dtype == QEIL_FLOAT32 ? 4 : dtype == QEIL_FLOAT16 ? 2 : 1;
    const int even = qeil_even(kind), spacing = even ? qeil_spacing(kind, width) : 1;
    uint32_t crc = 0;
    if (!qeil_range(data, dtype, N, g, (qeil_extremes){highest, lowest, near}, low, high)) abort();
    qeil_build_ladder(&ladder, kind, width);
    for (size_t j = 0; j < g.count; j++) {
        const int rule = (int)(j % 5);
        if (rule == 2) qeil_percentile_ends(data, dtype, N, g, j, kind, 97, &low[j], &high[j]);
        if (rule == 3) qeil_exponential_ends(data, dtype, N, g, j, kind, width, &low[j], &high[j]);
        levels[j] = rule == 0           ? qeil_least_squares(data, dtype, N, g, j, low[j], high[j], &ladder)
                    : rule == 4 && even ? qeil_fixed_step(kind, width, low[j], 0.01 * (double)(j + 1))
                                        : qeil_cover_ends(kind, width, low[j], high[j]);
    }
    qeil_write_sets(levels, low, high, g.count, kind, width, parameters);
    crc = qeil_crc32c(crc, parameters, bytes);
    qeil_integer_levels(kind, width, integers);
    if (qeil_read_sets(parameters + 1, (int8_t)parameters[0], g.count, kind, integers[0], integers[(1 << width) - 1], unit, zero) >= 0)
        abort();
    for (size_t j = 0; j < g.count; j++) {
        zero[j] += even ? qeil_first(kind, width) : 0;
        inverse[j] = unit[j] > 0 ? 1.0f / ((float)spacing * unit[j]) : 0;
        offset[j] = (float)(zero[j] - (even ? 0 : ladder.centre)) / (float)spacing;
    }
    qeil_encoding e = {.inverse = inverse, .offset = offset, .low = (float)qeil_lowest_code(kind, width)};
    e.top = (float)((1 << width) - 1);
    if (!even) qeil_use_table(&e, ladder.codes, ladder.size, width);
    int shift = 0;
    while (1 << shift < spacing) shift++;
    const qeil_decoding d = {unit, zero, shift, even ? NULL : ladder.levels};
    qeil_encode_packed(data, dtype, N, g, width, &e, payload);
    qeil_encode_bytes(data, dtype, N, g, &e, codes);
    crc = qeil_crc32c(qeil_crc32c(crc, payload, size), codes, N);
    if (!qeil_decode_packed(payload, dtype, N, g, width, &d, (uint8_t *)decoded)) abort();
    crc = qeil_crc32c(crc, (const uint8_t *)decoded, N * item);
    qeil_decode_bytes(codes, dtype, N, g, 255, &d, (uint8_t *)decoded);
    crc = qeil_crc32c(crc, (const uint8_t *)decoded, N * item);
    if (even) {
        uint16_t costs[256];
        for (int c = 0; c < 256; c++) costs[c] = (uint16_t)(c * 37 % 2048);
        qeil_encoding random = e;
        random.key = &key;
        qeil_encode_packed(data, dtype, N, g, width, &random, payload);
        qeil_encoding wide = e;
        wide.low = -32768, wide.top = 32767;
        qeil_encode_signed(data, dtype, N, g, &wide, indices);
        qeil_decode_signed(indices, dtype, N, g, &d, (uint8_t *)decoded);
        crc = qeil_crc32c(qeil_crc32c(crc, payload, size), (const uint8_t *)indices, sizeof indices);
        crc = qeil_crc32c(crc, (const uint8_t *)decoded, N * item);
        qeil_weigh_codes(kind, width, costs, 0.11, fine);
        for (size_t j = 0; j < g.count; j++) inverse[j] *= QEIL_FINE, offset[j] *= QEIL_FINE;
        qeil_use_table(&e, fine, QEIL_FINE * ((1 << width) - 1) + 1, width);
        qeil_encode_bytes(data, dtype, N, g, &e, codes);
        crc = qeil_crc32c(crc, codes, N);
    }
    return crc;
}

static void codec(void) {
    static float x[N];
    static uint16_t half[N];
    static uint8_t bytes[N];
    for (int i = 0; i < N; i++) {
        const float bell = ((float)(draw() >> 8) + (float)(draw() >> 8) - (float)(draw() >> 8)) * 0x1p-24f;
        x[i] = draw() % 50 ? bell : 6 * bell;
        half[i] = qeil_to_half_saturated(x[i]);
        bytes[i] = (uint8_t)(qeil_bits_of(x[i]) >> 11);
    }
    const qeil_groups groups[] = {{N, 1}, {1, 77}, {13, 7}, {64, (N + 63) / 64}};
    const uint8_t *const data[] = {(const uint8_t *)x, (const uint8_t *)half, bytes, bytes};
    for (int kind = QEIL_UNIFORM; kind <= QEIL_GAUSSIAN; kind++)
        for (int width = 1; width <= 8; width++) {
            uint32_t crc = 0;
            for (int dtype = QEIL_FLOAT32; dtype <= QEIL_INT8; dtype++)
                for (int g = dtype > QEIL_FLOAT16 ? 2 : 0; g < 4; g++) {
                    const uint32_t one = quantized(kind, width, data[dtype - 1], dtype, groups[g]);
                    crc = qeil_crc32c(crc, (const uint8_t *)&one, sizeof one);
                }
            printf("%s %d %08x\n", kinds[kind], width, crc);
        }
}

int main(void) {
    qeil_crc_init();
    if (qeil_crc32c(0, (const uint8_t *)"123456789", 9) != 0xe3069283u || qeil_contracts()) abort();
    codec();
    return 0;
}
