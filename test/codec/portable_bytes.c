/* Runs the kernels over made-up tensors and images and prints a checksum of everything they wrote, a line a kernel.
 * Built for several processors and optimisation levels, all must print the same. */
#include <stdio.h>
#include <stdlib.h>

#include "crc32c.h"
#include "image_prepare.h"
#include "levels.h"
#include "quantize.h"

#define N 9001

static uint64_t state = 88172645463325252u;

static uint32_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static void codec(void) {
    static float x[N], decoded[N], low[N], high[N], unit[N], inverse[N], offset[N];
    static int32_t low_key[N], high_key[N], zero[N];
    static uint16_t half[N];
    static qeil_levels levels[N];
    static uint8_t parameters[1 + 4 * N], payload[N + 64];
    for (int i = 0; i < N; i++) {
        const float bell = ((float)(draw() >> 8) + (float)(draw() >> 8) - (float)(draw() >> 8)) * 0x1p-24f;
        x[i] = draw() % 50 ? bell : 6 * bell;
        half[i] = qeil_to_half_saturated(x[i]);
    }
    const qeil_groups groups[] = {{N, 1}, {1, 77}, {13, 7}, {64, (N + 63) / 64}};
    for (int width = 1; width <= 8; width++) {
        uint32_t crc = 0;
        for (int g = 0; g < 4; g++)
            for (int dtype = QEIL_FLOAT32; dtype <= QEIL_FLOAT16; dtype++) {
                const uint8_t *data = dtype == QEIL_FLOAT32 ? (const uint8_t *)x : (const uint8_t *)half;
                const size_t count = groups[g].count, size = (N * (size_t)width + 7) / 8;
                if (!qeil_range(data, dtype, N, groups[g], low_key, high_key)) abort();
                for (size_t j = 0; j < count; j++) {
                    low[j] = qeil_from_order(low_key[j]), high[j] = qeil_from_order(high_key[j]);
                    levels[j] = j % 2 ? qeil_cover(low[j], high[j], width)
                                      : qeil_clip(data, dtype, N, groups[g], j, low[j], high[j], width);
                }
                qeil_parameters(levels, low, high, count, width, parameters);
                if (qeil_units(parameters + 1, (int8_t)parameters[0], count, width, unit, zero) >= 0) abort();
                for (size_t j = 0; j < count; j++) {
                    inverse[j] = 1.0f / ((float)qeil_grid(width) * unit[j]);
                    offset[j] = (float)zero[j] / (float)qeil_grid(width);
                }
                qeil_encode_uniform(data, dtype, N, groups[g], width, inverse, offset, payload);
                if (!qeil_decode_uniform(payload, dtype, N, groups[g], width, unit, zero, (uint8_t *)decoded)) abort();
                crc = qeil_crc32c(crc, parameters, 1 + 4 * count);
                crc = qeil_crc32c(crc, payload, size);
                crc = qeil_crc32c(crc, (const uint8_t *)decoded, N * (dtype == QEIL_FLOAT32 ? 4 : 2));
            }
        printf("codec %d %08x\n", width, crc);
    }
}

enum { WIDTH = 61, HEIGHT = 43, OUT_WIDTH = 29, OUT_HEIGHT = 31, TAPS = 5 };

static void images(void) {
    static uint8_t data[4 * 64 * 2 * HEIGHT], ring[4 * OUT_WIDTH * TAPS];
    static float out[3 * OUT_WIDTH * OUT_HEIGHT], blend[4 * WIDTH + 4], pixels[4 * OUT_WIDTH + 4], line[OUT_WIDTH];
    static uint32_t decoded[2][WIDTH + 2];
    static int32_t first[64], second[64], start[64], count[64], weights[64 * TAPS], wide[4 * WIDTH + 4], sums[4 * OUT_WIDTH];
    static float weight[64];
    for (size_t k = 0; k < sizeof data; k++) data[k] = (uint8_t)draw();
    for (int k = 0; k < 64; k++) {
        first[k] = k * 4 / 3 % (HEIGHT - 1), second[k] = first[k] + 1, weight[k] = (float)(k * 37 % 64) / 64.0f;
        start[k] = k * 4 / 3 < HEIGHT - TAPS ? k * 4 / 3 : HEIGHT - TAPS, count[k] = TAPS;
        for (int t = 0; t < TAPS; t++) weights[k * TAPS + t] = (t == 2 ? 5 : (t + k) % 3 - 1) * (1 << 22) / 5 + k * t;
    }
    for (int format = 0; format < QEIL_FORMATS; format++) {
        uint32_t crc = 0;
        for (int filtered = 0; filtered < 2; filtered++)
            for (int dtype = QEIL_OUT_FLOAT32; dtype <= QEIL_OUT_INT8; dtype++) {
                qeil_plan plan = {format, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT, OUT_WIDTH, OUT_HEIGHT, 0, 0, OUT_WIDTH, OUT_HEIGHT,
                                  3, dtype & 1, dtype, {0, 1, 2}, 0, {0.017f, 0.018f, 0.019f}, {-2.1f, -1.9f, -1.7f}, 0, filtered,
                                  {first, second, weight}, {first, second, weight}, {start, count, weights, TAPS},
                                  {start, count, weights, TAPS}, {decoded[0], decoded[1]}, {0, 0}, blend, pixels, line, ring, wide, sums};
                qeil_prepare(&plan, data, 256, (uint8_t *)out);
                crc = qeil_crc32c(crc, (const uint8_t *)out, sizeof out / (size_t[]){1, 2, 4, 4}[dtype]);
            }
        printf("image %d %08x\n", format, crc);
    }
}

int main(void) {
    qeil_crc_init();
    if (qeil_crc32c(0, (const uint8_t *)"123456789", 9) != 0xe3069283u || qeil_contracts()) abort();
    codec();
    images();
    return 0;
}
