/* Runs the kernels of prediction with filters over made-up values and prints a checksum of everything they wrote, a line a kernel. Built
 * for several processors and optimisation levels, all must print the same. */
#include <stdio.h>

#include "crc32c.h"
#include "filter.h"

enum { N = 11 * 9 * 14 };

static uint64_t state = 88172645463325252u;
static float x[N], p[N], q[N], out[N], around[N], offsets[N], padded[16 * (N + 64)];
static int16_t codes[N], parted[N];

static float draw(void) { /* a sum of four: exact, nearly Gaussian */
    float sum = 0;
    for (int k = 0; k < 4; k++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        sum += (float)(int32_t)(state >> 48) - 32768.0f;
    }
    return sum / 8192.0f;
}

static void print(const char *name, const void *data, size_t size) {
    printf("%s %08x\n", name, qeil_crc32c(0, (const uint8_t *)data, size));
}

int main(void) {
    const qeil_grid grids[] = {{11, 9, 14, 1}, {1, 9, 14, 11}, {3, 2, 3, 77}, {99, 7, 2, 1}};
    const float weights[] = {0.03125f, 0.125f, -0.0625f, 0.25f, 0.640625f, 0.015625f, -0.109375f, 0.046875f, 0.078125f, -0.21875f};
    qeil_crc_init();
    for (int i = 0; i < N; i++) x[i] = draw(), q[i] = draw() + x[i], p[i] = i ? x[i - 1] + 0.25f * draw() : 3e37f;
    for (size_t k = 0; k < sizeof grids / sizeof *grids; k++) {
        const qeil_grid *g = grids + k;
        double fitted[3][QEIL_FIT_UNKNOWNS] = {{0}}, error;
        qeil_fit(x, p, q, g, 1, padded, fitted[0]);
        qeil_fit(x, q, NULL, g, QEIL_TAPS, padded, fitted[1]);
        qeil_fit(x, q, p, g, QEIL_TAPS, padded, fitted[2]);
        print("fit", fitted, sizeof fitted);
        qeil_filter(p, q, g, QEIL_TAPS, weights, padded, out);
        print("filter", out, sizeof out);
        qeil_filter(p, NULL, g, 1, weights, padded, out);
        print("share", out, sizeof out);
        qeil_left_up(x, g, around);
        print("left_up", around, sizeof around);
        qeil_run_offsets(x, g->outer, g->rows, g->cols * g->inner, 5.0f, 1.0, offsets);
        print("offsets", offsets, sizeof offsets);
        error = qeil_follow(x, offsets, g, 0.3125f, 5.0f, 0.2f, out, codes);
        print("codes", codes, sizeof codes);
        print("followed", out, sizeof out);
        print("error", &error, sizeof error);
        for (int i = 0; i < N; i++) out[i] = (float)codes[i] * 0.2f;
        qeil_restore(out, g, 0.3125f);
        print("restored", out, sizeof out);
    }
    const size_t quiet = qeil_count_quiet(p, N, 0.5f);
    qeil_part_offsets(p, N, 0.5f, 0.25f, 0.375f, offsets);
    print("part_offsets", offsets, sizeof offsets);
    qeil_split(codes, p, N, 0.5f, quiet, parted);
    print("split", parted, sizeof parted);
    return 0;
}
