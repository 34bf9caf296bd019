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

enum { WIDTH = 97, HEIGHT = 43, STEP = 1024, OUT_WIDTH = 29, OUT_HEIGHT = 31, TAPS = 5 };

static void *copy_of(const void *from, size_t size) {
    void *to = malloc(size);
    if (!to) exit(2);
    return memcpy(to, from, size);
}

/* n samples over `limit` pixels; the plan owns the taps. */
static void take_pairs(qeil_pair_taps *taps, int n, int limit, int bits) {
    int32_t first[64], second[64];
    int16_t weight[64];
    for (int k = 0; k < n; k++) {
        first[k] = k * (limit - 1) / n, second[k] = first[k] + 1;
        weight[k] = (int16_t)((k * 37 % 64) << (bits - 6));
    }
    taps->first = copy_of(first, sizeof first);
    taps->second = copy_of(second, sizeof second);
    taps->weight = copy_of(weight, sizeof weight);
}

static void take_filter(qeil_filter_taps *taps, int n, int limit) {
    int32_t start[64], count[64], weights[64 * TAPS];
    for (int k = 0; k < n; k++) {
        start[k] = k * (limit - TAPS) / n, count[k] = TAPS;
        for (int t = 0; t < TAPS; t++) weights[k * TAPS + t] = (t == 2 ? 5 : (t + k) % 3 - 1) * (1 << 22) / 5 + k * t;
    }
    taps->start = copy_of(start, sizeof start);
    taps->count = copy_of(count, sizeof count);
    taps->weights = copy_of(weights, sizeof weights);
    taps->width = TAPS;
}

static uint32_t one_image(int format, int filtered, int dtype, int portable, const uint8_t *data, uint32_t crc) {
    static float out[3 * OUT_WIDTH * OUT_HEIGHT];
    qeil_plan plan = {.format = format, .width = WIDTH, .height = HEIGHT, .crop_width = WIDTH, .crop_height = HEIGHT, .filtered = filtered,
                      .output = {.width = OUT_WIDTH, .height = OUT_HEIGHT, .rect_width = OUT_WIDTH, .rect_height = OUT_HEIGHT,
                                 .channels = 3, .interleaved = dtype & 1, .dtype = dtype, .source = {0, 1, 2},
                                 .scale = {0.017f, 0.018f, 0.019f}, .shift = {-2.1f, -1.9f, -1.7f}}};
    if (filtered) {
        take_filter(&plan.x_filter, OUT_WIDTH, WIDTH);
        take_filter(&plan.y_filter, OUT_HEIGHT, HEIGHT);
    } else {
        take_pairs(&plan.x_pairs, OUT_WIDTH, WIDTH, QEIL_ACROSS_BITS);
        take_pairs(&plan.y_pairs, OUT_HEIGHT, HEIGHT, QEIL_DOWN_BITS);
    }
    if (qeil_finish_plan(&plan, portable)) exit(2);
    qeil_prepare(&plan, data, STEP, (uint8_t *)out);
    qeil_free_plan(&plan);
    return qeil_crc32c(crc, (const uint8_t *)out, sizeof out / (size_t[]){1, 2, 4, 4}[dtype]);
}

/* With wide vectors, where the processor has them, and without: the two must agree. */
static void images(void) {
    static uint8_t data[STEP * 2 * HEIGHT];
    for (size_t k = 0; k < sizeof data; k++) data[k] = (uint8_t)draw();
    for (int format = 0; format < QEIL_FORMATS; format++)
        for (int filtered = 0; filtered < 2; filtered++) {
            uint32_t crc[2] = {0, 0};
            for (int dtype = QEIL_OUT_FLOAT32; dtype <= QEIL_OUT_INT8; dtype++)
                for (int portable = 0; portable < 2; portable++)
                    crc[portable] = one_image(format, filtered, dtype, portable, data, crc[portable]);
            if (crc[0] != crc[1]) exit(3);
            printf("image %d %d %08x\n", format, filtered, crc[0]);
        }
}

int main(void) {
    qeil_crc_init();
    images();
    return 0;
}
