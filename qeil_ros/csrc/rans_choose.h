/* The encoder's choices, by least bits: the family, the cells, the tables sent, the table of each cell. Integer arithmetic, so that
 * every machine writes the same payload. */
#ifndef QEIL_RANS_CHOOSE_H
#define QEIL_RANS_CHOOSE_H

#include "rans_scan.h"

#define QEIL_RANS_CHOICE_CELLS 128 /* at most so many cells in the encoder's choice: two histograms' worth of cache */
#define QEIL_RANS_TABLES (QEIL_RANS_SCALES + QEIL_RANS_SENT + 1)
#define QEIL_RANS_SMALL_CODES 16384 /* fewer codes than this: cells by octaves */
#define QEIL_RANS_CELL_CODES 1024   /* at least, where there are many */

typedef struct {
    uint32_t histogram[QEIL_RANS_CHOICE_CELLS][QEIL_RANS_SYMBOLS]; /* indices over 254 count as 255 */
    uint32_t total[QEIL_RANS_SYMBOLS];
    uint32_t step[QEIL_RANS_TABLES][QEIL_RANS_TABLES]; /* bits of going from one table to another */
    uint32_t cost[QEIL_RANS_CHOICE_CELLS][QEIL_RANS_TABLES];
    uint8_t from[QEIL_RANS_CHOICE_CELLS][QEIL_RANS_TABLES];
    uint8_t table[QEIL_RANS_CHOICE_CELLS];
    int symbols; /* used: the largest index that occurs, plus 1 */
} qeil_rans_choice;

/* Counts into four histograms in turn, so that equal neighbours do not wait for each other. */
static void qeil_rans_count(const uint8_t *symbols, size_t n, uint32_t *histogram) {
    if (n < 512) {
        for (size_t i = 0; i < n; i++) histogram[symbols[i]]++;
        return;
    }
    uint32_t part[4][QEIL_RANS_SYMBOLS];
    memset(part, 0, sizeof part);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t eight;
        memcpy(&eight, symbols + i, 8);
        part[0][eight & 255]++;
        part[1][eight >> 8 & 255]++;
        part[2][eight >> 16 & 255]++;
        part[3][eight >> 24 & 255]++;
        part[0][eight >> 32 & 255]++;
        part[1][eight >> 40 & 255]++;
        part[2][eight >> 48 & 255]++;
        part[3][eight >> 56]++;
    }
    for (; i < n; i++) part[0][symbols[i]]++;
    for (int s = 0; s < QEIL_RANS_SYMBOLS; s++) histogram[s] += part[0][s] + part[1][s] + part[2][s] + part[3][s];
}

/* Histograms of all cells; `symbols` is scratch for n. Returns whether every cell's table would do without an escape. */
static void qeil_rans_histograms(qeil_rans_choice *choice, const qeil_rans_layout *layout, const void *codes, int is_signed,
                                 uint8_t *symbols) {
    const size_t row = layout->size * layout->inner;
    const qeil_rans_band all = {0, layout->cells, 0, row, 0};
    qeil_rans_gather(codes, is_signed, layout, &all, QEIL_RANS_SYMBOLS - 1 + !is_signed, symbols);
    memset(choice->histogram, 0, layout->cells * sizeof choice->histogram[0]);
    if (layout->cells == 1) {
        qeil_rans_count(symbols, layout->outer * row, choice->histogram[0]);
    } else {
        for (size_t o = 0; o < layout->outer; o++) {
            size_t index = 0;
            for (size_t cell = 0; cell < layout->cells; cell++) {
                const size_t next = qeil_rans_next(layout->grid, layout->size, index);
                qeil_rans_count(symbols + o * row + index * layout->inner, (next - index) * layout->inner, choice->histogram[cell]);
                index = next;
            }
        }
    }
    memset(choice->total, 0, sizeof choice->total);
    for (size_t cell = 0; cell < layout->cells; cell++) {
        for (int s = 0; s < QEIL_RANS_SYMBOLS; s++) choice->total[s] += choice->histogram[cell][s];
    }
    choice->symbols = QEIL_RANS_SYMBOLS;
    while (choice->symbols > 1 && choice->total[choice->symbols - 1] == 0) choice->symbols--;
}

/* Bits, in 1/256, of a histogram under a model. */
QEIL_CLONES static uint64_t qeil_rans_bits_of(const uint32_t *histogram, const uint32_t *cost, int symbols) {
    uint64_t sum = 0;
    for (int s = 0; s < symbols; s++) sum += (uint64_t)histogram[s] * cost[s];
    return sum;
}

/* How many symbols a sent table should have: a rare last one is cheaper by the escape. */
static int qeil_rans_alphabet(const uint32_t *histogram, int symbols, int is_signed) {
    int best = symbols, least = is_signed ? QEIL_RANS_SYMBOLS - 1 : QEIL_RANS_SYMBOLS;
    int64_t saved = 0, most = 0;
    if (best > least) best = least;
    for (int i = symbols - 1; i > 0; i--) {
        saved += 3 * 256; /* about what an entry takes */
        if (histogram[i]) saved -= (int64_t)qeil_rans_number_cost((uint32_t)i) * histogram[i];
        if (i > least || saved - 12 * 256 > most) best = i < least ? i : least, most = saved - 12 * 256;
    }
    return best;
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
    const int peak = qeil_log2_256(most);
    const uint32_t slots = (uint32_t)(((uint64_t)most << QEIL_RANS_BITS) / sum);
    const int least = top - ((qeil_log2_256(slots) << sent->resolution) >> 8); /* about one slot */
    for (int i = 0; i <= sent->symbols && i < QEIL_RANS_SYMBOLS; i++) {
        if (count[i] == 0) {
            sent->exponent[i] = 0;
            continue;
        }
        const int below = peak - qeil_log2_256(count[i]);
        const int exponent = top - (((below << sent->resolution) + 128) >> 8);
        sent->exponent[i] = (uint8_t)(exponent > least ? exponent : least > 1 ? least : 1);
    }
}

/* Bits, in 1/256, of a definition; sets its spread to the best. */
static uint64_t qeil_rans_definition_bits(qeil_rans_sent *sent, int family) {
    uint64_t least = UINT64_MAX;
    int best = 0;
    for (int spread = 0; spread < 8; spread++) {
        uint64_t bits = 13 * 256;
        for (int i = 0; i <= sent->symbols && i < QEIL_RANS_SYMBOLS; i++) {
            const uint32_t index = qeil_zigzag((int)sent->exponent[i] - qeil_rans_expected(sent, family, i));
            bits += QEIL_RANS_SPREAD(spread)->cost[index];
        }
        if (bits < least) least = bits, best = spread;
    }
    sent->spread = best;
    return least;
}

/* The table to send for a histogram, at the resolution that takes the least bits; returns the bits of its definition. */
static uint64_t qeil_rans_define(qeil_rans_layout *layout, int t, const uint32_t *histogram, int symbols, int is_signed) {
    qeil_rans_sent *sent = &layout->definition[t];
    uint64_t least = UINT64_MAX, definition = 0;
    qeil_rans_sent best;
    sent->symbols = qeil_rans_alphabet(histogram, symbols, is_signed);
    for (int resolution = 0; resolution < 4; resolution++) {
        sent->resolution = resolution;
        qeil_rans_exponents(sent, histogram);
        const uint64_t bits = qeil_rans_definition_bits(sent, layout->family);
        qeil_rans_build(&layout->model[t], sent);
        const uint64_t sum = bits + qeil_rans_bits_of(histogram, layout->model[t].cost, symbols);
        if (sum < least) least = sum, definition = bits, best = *sent;
    }
    *sent = best;
    qeil_rans_build(&layout->model[t], sent);
    return definition;
}

/* Bits of one table for each cell, the differences coded; fills choice->table. Dynamic programming over the cells. */
static uint64_t qeil_rans_assign(qeil_rans_choice *choice, const qeil_rans_layout *layout) {
    const int tables = layout->sent + QEIL_RANS_SCALES;
    uint32_t last[QEIL_RANS_TABLES];
    uint64_t base = 0;
    for (int a = 0; a < tables; a++) {
        for (int b = 0; b < tables; b++) choice->step[a][b] = QEIL_RANS_STEPS->cost[qeil_zigzag(b - a)];
    }
    for (size_t cell = 0; cell < layout->cells; cell++) {
        uint64_t bits[QEIL_RANS_TABLES], least = UINT64_MAX;
        for (int t = 0; t < tables; t++) {
            bits[t] = qeil_rans_bits_of(choice->histogram[cell], qeil_rans_table(layout, t)->cost, choice->symbols);
            if (bits[t] < least) least = bits[t];
        }
        uint32_t now[QEIL_RANS_TABLES];
        uint32_t smallest = UINT32_MAX;
        for (int b = 0; b < tables; b++) {
            uint32_t best = UINT32_MAX;
            int from = 0;
            if (cell == 0) {
                best = choice->step[layout->sent ? 0 : QEIL_RANS_USUAL][b];
            } else {
                for (int a = 0; a < tables; a++) {
                    const uint32_t candidate = last[a] + choice->step[a][b];
                    if (candidate < best) best = candidate, from = a;
                }
            }
            const uint64_t over = bits[b] - least;
            now[b] = best + (over < QEIL_RANS_NEVER ? (uint32_t)over : QEIL_RANS_NEVER);
            choice->from[cell][b] = (uint8_t)from;
            if (now[b] < smallest) smallest = now[b];
        }
        base += least + smallest;
        for (int b = 0; b < tables; b++) { /* relative to the best, so that the sums stay small */
            now[b] -= smallest;
            last[b] = now[b] < QEIL_RANS_NEVER ? now[b] : QEIL_RANS_NEVER;
        }
    }
    int table = 0;
    for (int t = 1; t < tables; t++) {
        if (last[t] < last[table]) table = t;
    }
    for (size_t cell = layout->cells; cell-- > 0;) {
        choice->table[cell] = (uint8_t)table;
        table = choice->from[cell][table];
    }
    return base;
}

/* Fills a layout whose shape is set. `symbols` is scratch for all codes. */
static void qeil_rans_choose(qeil_rans_choice *choice, qeil_rans_layout *layout, const void *codes, int is_signed, int negative,
                             uint8_t *symbols) {
    const size_t n = layout->outer * layout->size * layout->inner;
    layout->family = !negative;
    layout->sent = 0;
    layout->grid = QEIL_RANS_OCTAVES;
    if (layout->size == 1) {
        layout->grid = QEIL_RANS_WHOLE;
    } else if (n >= QEIL_RANS_SMALL_CODES) {
        size_t most = n / QEIL_RANS_CELL_CODES;
        if (most > QEIL_RANS_CHOICE_CELLS) most = QEIL_RANS_CHOICE_CELLS;
        layout->grid = QEIL_RANS_EVEN;
        while (qeil_rans_cells(layout->grid, layout->size) > most) layout->grid++;
    }
    layout->cells = qeil_rans_cells(layout->grid, layout->size);
    qeil_rans_histograms(choice, layout, codes, is_signed, symbols);
    const uint64_t bits = qeil_rans_assign(choice, layout);
    memcpy(layout->table, choice->table, layout->cells);
    if (n < QEIL_RANS_CELL_CODES) return;
    const uint64_t definition = qeil_rans_define(layout, 0, choice->total, choice->symbols, is_signed);
    layout->sent = 1;
    if (definition + qeil_rans_assign(choice, layout) < bits) memcpy(layout->table, choice->table, layout->cells);
    else layout->sent = 0;
}

#endif
