/* Runs the image kernels over made-up images and prints a checksum of everything they wrote, a line a kernel.
 * Built for several processors and optimisation levels, all must print the same. */
#include <stdio.h>
#include <stdlib.h>

#include "crc32c.h"
#include "image_prepare.h"

static uint64_t state = 88172645463325252u;

static uint32_t draw(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
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
    images();
    return 0;
}
