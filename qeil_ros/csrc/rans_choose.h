/* The encoder's choices, by least bits: the family, the cells, the tables sent, the table of each cell. Integer arithmetic, so that
 * every machine writes the same payload. */
#ifndef QEIL_RANS_CHOOSE_H
#define QEIL_RANS_CHOOSE_H

#include "rans_define.h"
#include "rans_scan.h"

#define QEIL_RANS_CHOICE_CELLS 256 /* at most, for the encoder: so many histograms fit its cache */
#define QEIL_RANS_THIN_CELLS 64    /* where a row of a cell is short, which makes cells slow */
#define QEIL_RANS_CLUSTERS 12
#define QEIL_RANS_TABLES (QEIL_RANS_SCALES + QEIL_RANS_SENT + 1)
#define QEIL_RANS_SMALL_CODES 16384 /* fewer codes than this: cells by octaves */
#define QEIL_RANS_CELL_CODES 256    /* at least, on average */
#define QEIL_RANS_THIN_CODES 1024
#define QEIL_RANS_SAMPLE 65536      /* codes that the cells' histograms are made of, about; of fewer, all */
#define QEIL_RANS_SAMPLE_RUN 64
#define QEIL_RANS_SENT_CODES 4096   /* from here on a table may be worth sending */

typedef struct {
    uint32_t histogram[QEIL_RANS_CHOICE_CELLS][QEIL_RANS_SYMBOLS]; /* indices over 254 count as 255 */
    uint32_t total[QEIL_RANS_SYMBOLS];
    uint32_t step[QEIL_RANS_TABLES][QEIL_RANS_TABLES]; /* bits of going from one table to another */
    uint64_t fixed[QEIL_RANS_CHOICE_CELLS][QEIL_RANS_SCALES]; /* bits of each cell under the static tables */
    uint8_t from[QEIL_RANS_CHOICE_CELLS][QEIL_RANS_TABLES];
    uint8_t table[QEIL_RANS_CHOICE_CELLS];
    uint32_t group[QEIL_RANS_CLUSTERS][QEIL_RANS_SYMBOLS]; /* the cells of one cluster together */
    uint32_t order[QEIL_RANS_CHOICE_CELLS];                /* cells by rising mean */
    uint8_t cluster[QEIL_RANS_CHOICE_CELLS];
    uint32_t stride; /* each of the cells' counts stands for so many */
    int symbols;     /* used: the largest index that occurs, plus 1 */
} qeil_rans_choice;

QEIL_CLONES static int qeil_rans_most(const uint8_t *symbols, size_t n) {
    uint8_t most = 0;
    for (size_t i = 0; i < n; i++) most = symbols[i] > most ? symbols[i] : most;
    return most;
}

/* Counts all symbols, of which none is over `most`. Small ones are counted by pairs, others into eight histograms in turn, so that
 * equal neighbours do not wait for each other. */
static void qeil_rans_count(const uint8_t *symbols, size_t n, int most, uint32_t *histogram) {
    uint32_t part[2][4096];
    size_t i = 0;
    memset(part, 0, sizeof part);
    memset(histogram, 0, QEIL_RANS_SYMBOLS * sizeof *histogram);
    if (most < 64 && n >= 4096) {
        for (; i + 8 <= n; i += 8) {
            uint64_t eight;
            memcpy(&eight, symbols + i, 8);
            eight = (eight & 0x003f003f003f003full) | (eight >> 2 & 0x0fc00fc00fc00fc0ull);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) part[k & 1][eight >> (16 * k) & 4095]++;
        }
        for (int first = 0; first < 64; first++) {
            for (int second = 0; second < 64; second++) {
                const uint32_t pairs = part[0][first | second << 6] + part[1][first | second << 6];
                histogram[first] += pairs;
                histogram[second] += pairs;
            }
        }
    } else {
        for (; i + 8 <= n; i += 8) {
            uint64_t eight;
            memcpy(&eight, symbols + i, 8);
#pragma GCC unroll 8
            for (uint64_t k = 0; k < 8; k++) part[0][k << 8 | (eight >> (8 * k) & 255)]++;
        }
        for (int k = 0; k < 8 * QEIL_RANS_SYMBOLS; k++) histogram[k % QEIL_RANS_SYMBOLS] += part[0][k];
    }
    for (; i < n; i++) histogram[symbols[i]]++;
}

/* The cells' histograms from every `stride`-th row, or where rows are few, from every `stride`-th piece of a run. */
static void qeil_rans_sample(qeil_rans_choice *choice, const qeil_rans_layout *layout, const uint8_t *symbols, size_t stride) {
    const size_t row = layout->size * layout->inner;
    const size_t rows = layout->outer >= 4 * stride ? stride : 1, pieces = rows == stride ? 1 : stride;
    size_t begin[QEIL_RANS_CHOICE_CELLS + 1], index = 0;
    for (size_t cell = 0; cell <= layout->cells; cell++) {
        begin[cell] = index * layout->inner;
        index = qeil_rans_next(layout->grid, layout->size, index);
    }
    memset(choice->histogram, 0, layout->cells * sizeof choice->histogram[0]);
    for (size_t o = 0; o < layout->outer; o += rows) {
        const uint8_t *at = symbols + o * row;
        for (size_t cell = 0; cell < layout->cells; cell++) {
            uint32_t *histogram = choice->histogram[cell];
            for (size_t i = begin[cell]; i < begin[cell + 1]; i += QEIL_RANS_SAMPLE_RUN * pieces) {
                const size_t left = begin[cell + 1] - i, run = left < QEIL_RANS_SAMPLE_RUN ? left : QEIL_RANS_SAMPLE_RUN;
                for (size_t k = 0; k < run; k++) histogram[at[i + k]]++;
            }
        }
    }
}

/* All histograms, and the cells' bits under the static tables; fills `symbols`, all codes in the tensor's order. */
static void qeil_rans_histograms(qeil_rans_choice *choice, const qeil_rans_layout *layout, const void *codes, int is_signed,
                                 uint8_t *symbols) {
    const size_t row = layout->size * layout->inner, n = layout->outer * row;
    const qeil_rans_band all = {0, layout->cells, 0, row, 0};
    const size_t stride = layout->cells > 1 && n > QEIL_RANS_SAMPLE ? n / QEIL_RANS_SAMPLE + 1 : 1;
    qeil_rans_gather(codes, is_signed, layout, &all, QEIL_RANS_SYMBOLS - 1 + !is_signed, symbols);
    choice->symbols = qeil_rans_most(symbols, n) + 1;
    qeil_rans_count(symbols, n, choice->symbols - 1, choice->total);
    if (layout->cells == 1) memcpy(choice->histogram[0], choice->total, sizeof choice->total);
    else qeil_rans_sample(choice, layout, symbols, stride);
    choice->stride = (uint32_t)stride;
    for (size_t cell = 0; cell < layout->cells; cell++) {
        for (int scale = 0; scale < QEIL_RANS_SCALES; scale++) {
            const uint32_t *cost = qeil_rans_statics[layout->family][scale].cost;
            choice->fixed[cell][scale] = qeil_rans_bits_of(choice->histogram[cell], cost, choice->symbols) * stride;
        }
        /* A sample does not show that a cell is all zeros, which is all that scale 0 can code. */
        if (stride > 1) choice->fixed[cell][0] = UINT64_MAX / 4;
    }
}

/* For each table the cheapest way to it from those of the cell before; returns the least of all. */
QEIL_CLONES static uint32_t qeil_rans_advance(const uint32_t *last, uint32_t (*step)[QEIL_RANS_TABLES], int tables, uint32_t *best,
                                              uint32_t *from) {
    for (int b = 0; b < QEIL_RANS_TABLES; b++) best[b] = UINT32_MAX, from[b] = 0;
    for (int a = 0; a < tables; a++) {
        const uint32_t so_far = last[a];
        for (int b = 0; b < QEIL_RANS_TABLES; b++) {
            const uint32_t candidate = so_far + step[a][b];
            from[b] = candidate < best[b] ? (uint32_t)a : from[b];
            best[b] = candidate < best[b] ? candidate : best[b];
        }
    }
    uint32_t least = UINT32_MAX;
    for (int b = 0; b < tables; b++) least = best[b] < least ? best[b] : least;
    return least;
}

/* Bits of one table for each cell, the differences coded; fills choice->table. Dynamic programming over the cells. */
static uint64_t qeil_rans_assign(qeil_rans_choice *choice, const qeil_rans_layout *layout) {
    const int tables = layout->sent + QEIL_RANS_SCALES;
    uint32_t last[QEIL_RANS_TABLES], now[QEIL_RANS_TABLES], from[QEIL_RANS_TABLES];
    uint64_t base = 0;
    memset(choice->step, 0, sizeof choice->step);
    for (int a = 0; a < tables; a++) {
        for (int b = 0; b < tables; b++) choice->step[a][b] = QEIL_RANS_STEPS->cost[qeil_zigzag(b - a)];
    }
    for (int t = 0; t < tables; t++) last[t] = t == (layout->sent ? 0 : QEIL_RANS_USUAL) ? 0 : QEIL_RANS_NEVER;
    for (size_t cell = 0; cell < layout->cells; cell++) {
        uint64_t bits[QEIL_RANS_TABLES], least = UINT64_MAX;
        for (int t = 0; t < tables; t++) {
            bits[t] = t >= layout->sent ? choice->fixed[cell][t - layout->sent]
                                        : qeil_rans_bits_of(choice->histogram[cell], layout->model[t].cost, choice->symbols) *
                                              choice->stride;
            if (bits[t] < least) least = bits[t];
        }
        const uint32_t way = qeil_rans_advance(last, choice->step, tables, now, from);
        base += least + way;
        for (int t = 0; t < tables; t++) { /* relative, so that the sums stay small */
            const uint64_t over = bits[t] - least + (now[t] - way);
            last[t] = over < QEIL_RANS_NEVER ? (uint32_t)over : QEIL_RANS_NEVER;
            choice->from[cell][t] = (uint8_t)from[t];
        }
    }
    int table = 0;
    for (int t = 1; t < tables; t++) {
        if (last[t] < last[table]) table = t;
    }
    base += last[table];
    for (size_t cell = layout->cells; cell-- > 0;) {
        choice->table[cell] = (uint8_t)table;
        table = choice->from[cell][table];
    }
    return base;
}

/* What the cells' codes would take if each had a table of its own for nothing: n log n - sum of h log h. */
static uint64_t qeil_rans_ideal(const qeil_rans_choice *choice, size_t cells) {
    uint64_t bits = 0;
    for (size_t cell = 0; cell < cells; cell++) {
        uint64_t sum = 0, parts = 0;
        for (int s = 0; s < choice->symbols; s++) {
            const uint32_t count = choice->histogram[cell][s];
            if (count) parts += (uint64_t)count * (uint64_t)qeil_rans_log2(count);
            sum += count;
        }
        if (sum) bits += sum * (uint64_t)qeil_rans_log2((uint32_t)sum) - parts;
    }
    return bits * choice->stride;
}

static void qeil_rans_order(qeil_rans_choice *choice, size_t cells) {
    uint64_t mean[QEIL_RANS_CHOICE_CELLS];
    for (size_t cell = 0; cell < cells; cell++) {
        uint64_t count = 0, sum = 0;
        for (int s = 0; s < choice->symbols; s++) {
            count += choice->histogram[cell][s];
            sum += (uint64_t)s * choice->histogram[cell][s];
        }
        mean[cell] = count ? (sum << 16) / count : 0;
        size_t at = cell;
        for (; at > 0 && mean[choice->order[at - 1]] > mean[cell]; at--) choice->order[at] = choice->order[at - 1];
        choice->order[at] = (uint32_t)cell;
    }
}

/* Sums the histograms of each cluster and defines its table; returns the bits of the definitions. A cluster without cells gets the
 * table of all codes. Where the cells are a sample, each symbol that occurs anywhere is given a count, so that it can be coded. */
static uint64_t qeil_rans_define_clusters(qeil_rans_choice *choice, qeil_rans_layout *layout, int is_signed, int rough) {
    uint64_t definitions = 0;
    memset(choice->group, 0, sizeof choice->group);
    for (size_t cell = 0; cell < layout->cells; cell++) {
        for (int s = 0; s < choice->symbols; s++)
            choice->group[choice->cluster[cell]][s] += choice->histogram[cell][s] * choice->stride;
    }
    for (int t = 0; t < layout->sent; t++) {
        for (int s = 0; s < choice->symbols && choice->stride > 1; s++) choice->group[t][s] += choice->total[s] > 0;
        int used = choice->symbols;
        while (used > 0 && choice->group[t][used - 1] == 0) used--;
        const uint32_t *histogram = used ? choice->group[t] : choice->total;
        definitions += qeil_rans_define(layout, t, histogram, used ? used : choice->symbols, is_signed, rough);
    }
    return definitions;
}

/* Several tables, fitted to clusters of cells (k-means with bits for distance); leaves them in the layout, the assignment in
 * choice->table, and returns all bits. */
static uint64_t qeil_rans_clusters(qeil_rans_choice *choice, qeil_rans_layout *layout, int is_signed) {
    uint64_t definitions = 0;
    layout->sent = layout->cells / 2 < QEIL_RANS_CLUSTERS ? (int)(layout->cells / 2) : QEIL_RANS_CLUSTERS;
    qeil_rans_order(choice, layout->cells);
    for (size_t k = 0; k < layout->cells; k++)
        choice->cluster[choice->order[k]] = (uint8_t)(k * (size_t)layout->sent / layout->cells);
    for (int round = 0; round < 3; round++) {
        definitions = qeil_rans_define_clusters(choice, layout, is_signed, round < 2);
        if (round == 2) break;
        for (size_t cell = 0; cell < layout->cells; cell++) {
            uint64_t least = UINT64_MAX;
            for (int t = 0; t < layout->sent; t++) {
                const uint64_t bits = qeil_rans_bits_of(choice->histogram[cell], layout->model[t].cost, choice->symbols);
                if (bits < least) least = bits, choice->cluster[cell] = (uint8_t)t;
            }
        }
    }
    return definitions + qeil_rans_assign(choice, layout);
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
        const int thin = layout->inner < QEIL_RANS_SAMPLE_RUN;
        size_t most = n / (thin ? QEIL_RANS_THIN_CODES : QEIL_RANS_CELL_CODES);
        const size_t limit = thin ? QEIL_RANS_THIN_CELLS : QEIL_RANS_CHOICE_CELLS;
        if (most > limit) most = limit;
        layout->grid = QEIL_RANS_EVEN;
        while (qeil_rans_cells(layout->grid, layout->size) > most) layout->grid++;
    }
    layout->cells = qeil_rans_cells(layout->grid, layout->size);
    qeil_rans_histograms(choice, layout, codes, is_signed, symbols);
    uint64_t bits = qeil_rans_assign(choice, layout);
    memcpy(layout->table, choice->table, layout->cells);
    if (n >= QEIL_RANS_SENT_CODES) {
        const uint64_t definition = qeil_rans_define(layout, 0, choice->total, choice->symbols, is_signed, 0);
        layout->sent = 1;
        const uint64_t with_one = definition + qeil_rans_assign(choice, layout);
        if (with_one < bits) bits = with_one, memcpy(layout->table, choice->table, layout->cells);
        else layout->sent = 0;
    }
    if (layout->grid >= QEIL_RANS_EVEN && layout->cells >= 8 && bits - bits / 32 > qeil_rans_ideal(choice, layout->cells)) {
        const int before = layout->sent;
        if (qeil_rans_clusters(choice, layout, is_signed) < bits) {
            memcpy(layout->table, choice->table, layout->cells);
        } else {
            if (before) qeil_rans_define(layout, 0, choice->total, choice->symbols, is_signed, 0);
            layout->sent = before;
        }
    }
    size_t same = 1;
    while (same < layout->cells && layout->table[same] == layout->table[0]) same++;
    if (same == layout->cells) layout->grid = QEIL_RANS_WHOLE, layout->cells = 1;
}

#endif
