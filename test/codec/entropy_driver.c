/* The entropy coder without Python, for other processors and sanitizers.
 *
 * `bytes` prints a hash of what is written for tensors of every kind, and reads it again; `fuzz SEED COUNT` reads COUNT payloads that
 * were mutated, cut or made up, each in memory of exactly its size, so that a sanitizer sees any step outside. */
#include <stdio.h>
#include <stdlib.h>

#include "rans.h"

static uint64_t seed = 1;

static uint32_t draw(uint32_t below) { /* xorshift64* */
    seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
    return (uint32_t)((seed * 2685821657736338717ull) >> 33) % below;
}

typedef struct {
    size_t shape[3], n;
    int dimensions, is_signed, negative, axis;
    void *codes;
    uint8_t *payload;
    size_t size;
} tensor;

static qeil_rans_work *work;

static void make(tensor *t, int large) {
    t->dimensions = 1 + (int)draw(3);
    t->n = 1;
    for (int d = 0; d < t->dimensions; d++) {
        t->shape[d] = 1 + draw(large ? (d == 0 ? 700 : 60) : (d == 0 ? 40 : 12));
        t->n *= t->shape[d];
    }
    t->axis = (int)draw((uint32_t)t->dimensions);
    t->is_signed = (int)draw(2);
    t->codes = malloc(t->n * (t->is_signed ? 2 : 1));
    const uint32_t spread = 1u << draw(t->is_signed ? 12 : 9), rare = 1 + draw(40), sides = draw(2);
    for (size_t i = 0; i < t->n; i++) {
        int code = 0;
        if (draw(rare) == 0) code = (int)(draw(spread) * (uint64_t)draw(spread) / spread);
        if (!t->is_signed) {
            ((uint8_t *)t->codes)[i] = (uint8_t)code;
            continue;
        }
        if (draw(4000) == 0) code = (int)draw(32768);
        if (sides && draw(2)) code = -code;
        ((int16_t *)t->codes)[i] = (int16_t)code;
    }
    t->negative = t->is_signed && qeil_rans_least((int16_t *)t->codes, t->n) < 0;
}

static void write_payload(tensor *t) {
    uint8_t *symbols = malloc(t->n);
    qeil_rans_shape(&work->layout, t->shape, t->dimensions, t->axis);
    const size_t words = qeil_rans_prepare(work, t->codes, t->is_signed, t->negative, t->n, symbols);
    const size_t room = 2 * words + 2 + 4 * QEIL_RANS_LANES;
    uint8_t *memory = malloc(room), *at = qeil_rans_write(work, t->codes, t->is_signed, t->n, symbols, memory + room);
    t->size = (size_t)(memory + room - at);
    t->payload = malloc(t->size);
    memcpy(t->payload, at, t->size);
    free(memory);
    free(symbols);
}

static int read_payload(const tensor *t, const uint8_t *payload, size_t size, int compare) {
    const size_t bytes = t->n * (t->is_signed ? 2 : 1);
    uint8_t *symbols = malloc(t->n), *codes = malloc(bytes), *exact = malloc(size);
    memcpy(exact, payload, size);
    const int fault = qeil_rans_read(work, exact, size, t->is_signed, t->shape, t->dimensions, t->n, symbols, codes);
    const int same = fault == QEIL_RANS_OK && memcmp(codes, t->codes, bytes) == 0;
    free(symbols);
    free(codes);
    free(exact);
    if (compare && !same) {
        fprintf(stderr, "a payload of %zu bytes for %zu codes does not come back: fault %d\n", size, t->n, fault);
        exit(1);
    }
    return fault;
}

static void release(tensor *t) {
    free(t->codes);
    free(t->payload);
}

int main(int argc, char **argv) {
    qeil_rans_init();
    work = calloc(1, sizeof *work);
    if (argc == 2 && strcmp(argv[1], "bytes") == 0) {
        for (int large = 0; large < 2; large++) {
            uint64_t hash = 1469598103934665603ull, total = 0;
            for (int k = 0; k < (large ? 24 : 400); k++) {
                tensor t;
                make(&t, large);
                write_payload(&t);
                read_payload(&t, t.payload, t.size, 1);
                for (size_t i = 0; i < t.size; i++) hash = (hash ^ t.payload[i]) * 1099511628211ull;
                total += t.size;
                release(&t);
            }
            printf("%s %llu bytes %016llx\n", large ? "large" : "small", (unsigned long long)total, (unsigned long long)hash);
        }
    } else if (argc == 4 && strcmp(argv[1], "fuzz") == 0) {
        unsigned long count = strtoul(argv[3], NULL, 10), valid = 0;
        seed = strtoul(argv[2], NULL, 10) * 2 + 1;
        while (count > 0) {
            tensor t;
            make(&t, draw(200) == 0);
            write_payload(&t);
            uint8_t *bytes = malloc(t.size + 64);
            for (unsigned long k = 0; k < 50 && count > 0; k++, count--) {
                size_t size = t.size;
                memcpy(bytes, t.payload, size);
                const uint32_t kind = draw(4);
                if (kind == 0) size = 1 + draw((uint32_t)size);
                if (kind == 1) {
                    const size_t more = 1 + draw(64);
                    for (size_t i = 0; i < more; i++) bytes[size + i] = (uint8_t)draw(256);
                    size += more;
                }
                if (kind == 2) {
                    size = 1 + draw((uint32_t)(size + 64));
                    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)draw(256);
                }
                for (uint32_t flips = draw(4) + (kind == 3); flips > 0; flips--) bytes[draw((uint32_t)size)] ^= (uint8_t)(1u << draw(8));
                valid += read_payload(&t, bytes, size, 0) == QEIL_RANS_OK;
            }
            free(bytes);
            release(&t);
        }
        printf("%lu read as valid\n", valid);
    } else {
        fprintf(stderr, "usage: %s bytes | fuzz SEED COUNT\n", argv[0]);
        return 2;
    }
    free(work);
    return 0;
}
