/* Runs the kernels of inter-frame prediction and of rounding by cost over made-up values and prints a checksum of everything they
 * wrote, a line a kernel. Built for several processors and optimisation levels, all must print the same. */
#include <stdio.h>

#include "crc32c.h"
#include "prediction.h"

enum { OUTER = 3, SIZE = 150, INNER = 7, N = OUTER * SIZE * INNER };

static uint64_t state = 88172645463325252u;
static float x[N], p[N], out[N];
static int16_t codes[N], joined[N];

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
    double sums[3], errors[6];
    const float steps[] = {0.02f, 1.3f, 40.0f};
    qeil_crc_init();
    for (int i = 0; i < N; i++) x[i] = draw() * (i % 11 ? 1.0f : 9.0f), p[i] = i % 3 ? 0.9f * x[i] + 0.3f * draw() : 0.0f;
    for (int n = 1; n <= N; n += 157) {
        qeil_products(x, p, (size_t)n, sums);
        print("products", sums, sizeof sums);
    }
    qeil_difference(x, p, 0.8125f, N, out);
    print("difference", out, sizeof out);
    qeil_add(out, p, 0.8125f, N);
    print("add", out, sizeof out);
    for (int k = 0; k < 6; k++) {
        errors[k] = qeil_round_by_cost(x, OUTER, SIZE, INNER, 1 / steps[k / 2], k % 2, codes);
        print("round", codes, sizeof codes);
    }
    errors[0] += qeil_round_by_cost(x, 1, N, 1, 2.5f, 1.5, codes);
    print("vector", codes, sizeof codes);
    print("errors", errors, sizeof errors);
    const size_t quiet = qeil_count_quiet(p, N, 0.5f);
    qeil_part(x, p, N, 0.5f, quiet, out);
    print("part", out, sizeof out);
    qeil_join(codes, p, N, 0.5f, quiet, joined);
    print("join", joined, sizeof joined);
    return 0;
}
