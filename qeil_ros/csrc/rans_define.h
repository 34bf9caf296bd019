/* Tables fitted to a histogram, which are sent: how many symbols, at which resolution, by least bits. */
#ifndef QEIL_RANS_DEFINE_H
#define QEIL_RANS_DEFINE_H

#include "rans_layout.h"

/* Bits, in 1/256, of a histogram under a model. */
QEIL_CLONES static uint64_t qeil_rans_bits_of(const uint32_t *histogram, const uint32_t *cost, int symbols) {
    uint64_t sum = 0;
    for (int s = 0; s < symbols; s++) sum += (uint64_t)histogram[s] * cost[s];
    return sum;
}

/* The exponents at a resolution for a histogram. */
static void qeil_rans_exponents(qeil_rans_sent *sent, const uint32_t *histogram) {
    const int top = 13 << sent->resolution;
    uint32_t count[QEIL_RANS_SYMBOLS + 1] = {0}, most = 0;
    uint64_t sum = 0;
    for (int i = 0; i < QEIL_RANS_SYMBOLS; i++) count[i < sent->symbols ? i : sent->symbols] += histogram[i];
    for (int i = 0; i <= sent->symbols; i++) {
        if (count[i] > most) most = count[i];
        sum += count[i];
    }
    const int peak = qeil_rans_log2(most);
    const uint32_t slots = (uint32_t)(((uint64_t)most << QEIL_RANS_BITS) / sum);
    const int least = top - ((qeil_rans_log2(slots) << sent->resolution) >> 8); /* about one slot */
    for (int i = 0; i <= sent->symbols && i < QEIL_RANS_SYMBOLS; i++) {
        if (count[i] == 0) {
            sent->exponent[i] = 0;
            continue;
        }
        const int below = peak - qeil_rans_log2(count[i]);
        const int exponent = top - (((below << sent->resolution) + 128) >> 8);
        sent->exponent[i] = (uint8_t)(exponent > least ? exponent : least > 1 ? least : 1);
    }
}

/* Bits, in 1/256, of a definition; sets its spread to the best. */
static uint64_t qeil_rans_definition_bits(qeil_rans_sent *sent, int family) {
    uint64_t least = UINT64_MAX;
    uint32_t histogram[QEIL_RANS_SYMBOLS] = {0};
    for (int i = 0; i <= sent->symbols && i < QEIL_RANS_SYMBOLS; i++)
        histogram[qeil_zigzag((int)sent->exponent[i] - qeil_rans_expected(sent, family, i))]++;
    for (int spread = 0; spread < 8; spread++) {
        const uint64_t bits = qeil_rans_bits_of(histogram, QEIL_RANS_SPREAD(spread)->cost, QEIL_RANS_SYMBOLS);
        if (bits < least) least = bits, sent->spread = spread;
    }
    return 13 * 256 + least;
}

/* Sets definition t for so many symbols at a resolution; returns its bits and those of the histogram. */
static uint64_t qeil_rans_try(qeil_rans_layout *layout, int t, const uint32_t *histogram, int used, int symbols, int resolution,
                              uint64_t *definition) {
    qeil_rans_sent *sent = &layout->definition[t];
    sent->symbols = symbols;
    sent->resolution = resolution;
    qeil_rans_exponents(sent, histogram);
    *definition = qeil_rans_definition_bits(sent, layout->family);
    qeil_rans_set_sent(&layout->model[t], sent);
    return *definition + qeil_rans_bits_of(histogram, layout->model[t].cost, used);
}

/* The table to send for a histogram with the least bits; returns the bits of its definition. Rare symbols at the end are worth a slot
 * each or are left to the escape: some tails are tried, unless it is a rough one that will not be sent. */
static uint64_t qeil_rans_define(qeil_rans_layout *layout, int t, const uint32_t *histogram, int used, int is_signed,
                                 int rough) {
    const int all = is_signed && used == QEIL_RANS_SYMBOLS ? used - 1 : used;
    uint64_t least = UINT64_MAX, definition = 0, total = 0, tail = 0;
    int best_symbols = all, best_resolution = 0;
    if (rough) return qeil_rans_try(layout, t, histogram, used, all, 2, &definition);
    for (int i = 0; i < used; i++) total += histogram[i];
    for (int symbols = all, tried = 0; symbols > 0; symbols--) {
        if (symbols == all || (tail > 0 && tail >= (uint64_t)tried)) {
            const uint64_t bits = qeil_rans_try(layout, t, histogram, used, symbols, 2, &definition);
            if (bits < least) least = bits, best_symbols = symbols;
            tried = tail > 0 ? (int)(4 * tail) : 1;
        }
        tail += histogram[symbols - 1];
        if (histogram[symbols - 1] > total >> 11 || tail > total >> 5 || tail > 1u << 20) break; /* not rare: worth its slots */
    }
    least = UINT64_MAX;
    for (int resolution = 0; resolution < 4; resolution++) {
        const uint64_t bits = qeil_rans_try(layout, t, histogram, used, best_symbols, resolution, &definition);
        if (bits < least) least = bits, best_resolution = resolution;
    }
    if (best_resolution < 3) qeil_rans_try(layout, t, histogram, used, best_symbols, best_resolution, &definition);
    qeil_rans_set_slots(&layout->model[t]);
    return definition;
}

#endif
