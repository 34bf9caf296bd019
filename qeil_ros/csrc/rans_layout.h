/* What a rans payload says about itself before the codes: family, cells, sent tables, the table of each cell. All of it is coded in
 * lane 0, so it costs bits, not bytes. */
#ifndef QEIL_RANS_LAYOUT_H
#define QEIL_RANS_LAYOUT_H

#include "rans_lanes.h"

#define QEIL_RANS_CELLS 4096
#define QEIL_RANS_SENT 15
#define QEIL_RANS_DIMENSIONS 8
#define QEIL_RANS_OCTAVES 0 /* grids: cells of one, then two to each octave of the axis */
#define QEIL_RANS_WHOLE 1   /* one cell */
#define QEIL_RANS_EVEN 2    /* + k: cells of 2^k indices */
#define QEIL_RANS_MAX_SHIFT 20
#define QEIL_RANS_SMALL (&qeil_rans_statics[1][17]) /* for small numbers */
#define QEIL_RANS_STEPS (&qeil_rans_statics[0][21]) /* for the differences of table numbers */
#define QEIL_RANS_SPREAD(spread) (&qeil_rans_statics[0][17 + 2 * (spread)]) /* for the differences of exponents */
#define QEIL_RANS_USUAL 20 /* the scale that the first cell's is a difference from */

typedef struct {
    int symbols;    /* 1 to 256 without the escape, which there is below 256 */
    int resolution; /* exponents are in 1/2^resolution octaves, 0 to 3 */
    int spread;     /* of their differences, 0 to 7 */
    uint8_t exponent[QEIL_RANS_SYMBOLS];
} qeil_rans_sent;

typedef struct {
    int family;
    int grid;
    int axis; /* counted from the last */
    int sent;
    size_t size; /* of the axis */
    size_t inner; /* elements under one index of it */
    size_t outer;
    size_t cells;
    uint8_t table[QEIL_RANS_CELLS]; /* of each cell: below `sent` a sent one, from there on the static scales */
    qeil_rans_sent definition[QEIL_RANS_SENT];
    qeil_rans_model model[QEIL_RANS_SENT];
} qeil_rans_layout;

/* The cell after the one that begins at `index`. */
QEIL_INLINE size_t qeil_rans_next(int grid, size_t size, size_t index) {
    size_t next = size;
    if (grid == QEIL_RANS_OCTAVES) next = index < 4 ? index + 1 : index + ((size_t)1 << (62 - __builtin_clzll(index)));
    if (grid >= QEIL_RANS_EVEN) next = index + ((size_t)1 << (grid - QEIL_RANS_EVEN));
    return next < size ? next : size;
}

QEIL_INLINE size_t qeil_rans_cells(int grid, size_t size) {
    if (grid >= QEIL_RANS_EVEN) return ((size - 1) >> (grid - QEIL_RANS_EVEN)) + 1;
    size_t cells = 0;
    for (size_t index = 0; index < size; index = qeil_rans_next(grid, size, index)) cells++;
    return cells;
}

QEIL_INLINE const qeil_rans_model *qeil_rans_table(const qeil_rans_layout *layout, int table) {
    return table < layout->sent ? &layout->model[table] : &qeil_rans_statics[layout->family][table - layout->sent];
}

/* Frequencies and costs of a table that is sent; 0 where it has no symbol. */
static int qeil_rans_set_sent(qeil_rans_model *model, const qeil_rans_sent *sent) {
    uint32_t weights[QEIL_RANS_SYMBOLS] = {0};
    model->count = sent->symbols < QEIL_RANS_SYMBOLS ? sent->symbols + 1 : QEIL_RANS_SYMBOLS;
    model->escape = sent->symbols;
    for (int i = 0; i < model->count; i++) weights[i] = qeil_rans_weight(sent->exponent[i], sent->resolution);
    if (!qeil_rans_frequencies(weights, model->count, model->frequency)) return 0;
    qeil_rans_set_costs(model);
    return 1;
}

/* What the exponent of symbol i is a difference from: its neighbour of the same sign, for the first and the escape a fixed one. */
QEIL_INLINE int qeil_rans_expected(const qeil_rans_sent *sent, int family, int i) {
    if (i == 0) return 10 << sent->resolution;
    if (i == sent->symbols) return 0;
    return sent->exponent[family == 1 || i < 3 ? i - 1 : i - 2];
}

/* --- writing: intervals are noted in reading order, and pushed from the last --- */

typedef struct {
    uint16_t start, frequency;
} qeil_rans_interval;

/* At most so many: 4 a symbol with its escape. */
#define QEIL_RANS_NOTES (4 * (4 + QEIL_RANS_CELLS + QEIL_RANS_SENT * (QEIL_RANS_SYMBOLS + 4)))

typedef struct {
    size_t count;
    qeil_rans_interval interval[QEIL_RANS_NOTES];
} qeil_rans_notes;

QEIL_INLINE void qeil_rans_note(qeil_rans_notes *notes, uint32_t start, uint32_t frequency) {
    notes->interval[notes->count].start = (uint16_t)start;
    notes->interval[notes->count++].frequency = (uint16_t)frequency;
}

QEIL_INLINE void qeil_rans_note_bits(qeil_rans_notes *notes, int bits, uint32_t value) {
    qeil_rans_note(notes, value << (QEIL_RANS_BITS - bits), (uint32_t)QEIL_RANS_SLOTS >> bits);
}

/* A number, 0 to 65534: how many bits follow the leading one, then these. */
QEIL_INLINE void qeil_rans_note_number(qeil_rans_notes *notes, uint32_t number) {
    const int bits = 31 - __builtin_clz(number + 1);
    const uint32_t low = number + 1 - (1u << bits);
    qeil_rans_note_bits(notes, 4, (uint32_t)bits);
    if (bits > 8) qeil_rans_note_bits(notes, bits - 8, low >> 8);
    if (bits > 0) qeil_rans_note_bits(notes, bits < 8 ? bits : 8, low & 255);
}

QEIL_INLINE void qeil_rans_note_symbol(qeil_rans_notes *notes, const qeil_rans_model *model, uint32_t index) {
    const uint32_t escape = (uint32_t)model->escape, i = index < escape ? index : escape;
    qeil_rans_note(notes, model->encode[i].start, model->frequency[i]);
    if (index >= escape) qeil_rans_note_number(notes, index - escape);
}

QEIL_INLINE uint32_t qeil_zigzag(int value) {
    return ((uint32_t)value << 1) ^ (uint32_t)(value >> 31);
}

QEIL_INLINE int qeil_unzigzag(uint32_t index) {
    return (int)(index >> 1) ^ -(int)(index & 1);
}

static void qeil_rans_note_layout(qeil_rans_notes *notes, const qeil_rans_layout *layout) {
    qeil_rans_note_symbol(notes, QEIL_RANS_SMALL, (uint32_t)layout->family);
    qeil_rans_note_symbol(notes, QEIL_RANS_SMALL, (uint32_t)layout->grid);
    if (layout->grid != QEIL_RANS_WHOLE) qeil_rans_note_symbol(notes, QEIL_RANS_SMALL, (uint32_t)layout->axis);
    qeil_rans_note_symbol(notes, QEIL_RANS_SMALL, (uint32_t)layout->sent);
    for (int t = 0; t < layout->sent; t++) {
        const qeil_rans_sent *sent = &layout->definition[t];
        qeil_rans_note_bits(notes, 8, (uint32_t)sent->symbols - 1);
        qeil_rans_note_bits(notes, 2, (uint32_t)sent->resolution);
        qeil_rans_note_bits(notes, 3, (uint32_t)sent->spread);
        for (int i = 0; i <= sent->symbols && i < QEIL_RANS_SYMBOLS; i++) {
            const int difference = (int)sent->exponent[i] - qeil_rans_expected(sent, layout->family, i);
            qeil_rans_note_symbol(notes, QEIL_RANS_SPREAD(sent->spread), qeil_zigzag(difference));
        }
    }
    int last = layout->sent ? 0 : QEIL_RANS_USUAL;
    for (size_t cell = 0; cell < layout->cells; cell++) {
        qeil_rans_note_symbol(notes, QEIL_RANS_STEPS, qeil_zigzag(layout->table[cell] - last));
        last = layout->table[cell];
    }
}

/* --- reading --- */

/* Each returns -1 where the payload ends too early or holds what it may not. */
static int32_t qeil_rans_bits(qeil_rans_reader *reader, int bits) {
    const uint32_t value = qeil_rans_peek(reader) >> (QEIL_RANS_BITS - bits);
    if (!qeil_rans_take(reader, value << (QEIL_RANS_BITS - bits), (uint32_t)QEIL_RANS_SLOTS >> bits)) return -1;
    return (int32_t)value;
}

/* 0 to 65534. */
static int32_t qeil_rans_number(qeil_rans_reader *reader) {
    const int32_t bits = qeil_rans_bits(reader, 4);
    if (bits < 0) return -1;
    const int32_t high = bits > 8 ? qeil_rans_bits(reader, bits - 8) : 0;
    const int32_t low = bits > 0 ? qeil_rans_bits(reader, bits < 8 ? bits : 8) : 0;
    if (high < 0 || low < 0) return -1;
    return (int32_t)((1u << bits) + ((uint32_t)high << 8) + (uint32_t)low) - 1;
}

static int32_t qeil_rans_symbol_of(qeil_rans_reader *reader, const qeil_rans_model *model) {
    const uint32_t entry = model->slots[qeil_rans_peek(reader)];
    const int32_t symbol = (int32_t)(entry & 255);
    if (!qeil_rans_take(reader, model->encode[symbol].start, entry >> 20)) return -1;
    if (symbol != model->escape) return symbol;
    const int32_t number = qeil_rans_number(reader);
    return number < 0 ? -1 : symbol + number;
}

static int qeil_rans_read_sent(qeil_rans_reader *reader, qeil_rans_layout *layout, int t) {
    qeil_rans_sent *sent = &layout->definition[t];
    const int32_t symbols = qeil_rans_bits(reader, 8);
    sent->symbols = symbols + 1;
    sent->resolution = qeil_rans_bits(reader, 2);
    sent->spread = qeil_rans_bits(reader, 3);
    if (symbols < 0 || sent->resolution < 0 || sent->spread < 0) return 0;
    for (int i = 0; i <= sent->symbols && i < QEIL_RANS_SYMBOLS; i++) {
        const int32_t difference = qeil_rans_symbol_of(reader, QEIL_RANS_SPREAD(sent->spread));
        if (difference < 0) return 0;
        const int exponent = qeil_rans_expected(sent, layout->family, i) + qeil_unzigzag((uint32_t)difference);
        if (exponent < 0 || exponent > 13 << sent->resolution) return 0;
        sent->exponent[i] = (uint8_t)exponent;
    }
    if (!qeil_rans_set_sent(&layout->model[t], sent)) return 0;
    qeil_rans_set_slots(&layout->model[t]);
    return 1;
}

/* Sets the shape for the axis counted from the last; returns the number of elements. */
static size_t qeil_rans_shape(qeil_rans_layout *layout, const size_t *shape, int dimensions, int axis) {
    layout->axis = axis;
    layout->outer = layout->inner = 1;
    for (int d = 0; d < dimensions; d++) {
        if (d < dimensions - 1 - axis) layout->outer *= shape[d];
        else if (d == dimensions - 1 - axis) layout->size = shape[d];
        else layout->inner *= shape[d];
    }
    return layout->outer * layout->size * layout->inner;
}

/* The layout of a payload for a tensor of this shape; 0 where it is not valid. */
static int qeil_rans_read_layout(qeil_rans_reader *reader, qeil_rans_layout *layout, const size_t *shape, int dimensions) {
    const int32_t family = qeil_rans_symbol_of(reader, QEIL_RANS_SMALL);
    const int32_t grid = qeil_rans_symbol_of(reader, QEIL_RANS_SMALL);
    if (family < 0 || family >= QEIL_RANS_FAMILIES || grid < 0 || grid > QEIL_RANS_EVEN + QEIL_RANS_MAX_SHIFT) return 0;
    const int32_t axis = grid == QEIL_RANS_WHOLE ? 0 : qeil_rans_symbol_of(reader, QEIL_RANS_SMALL);
    const int32_t sent = qeil_rans_symbol_of(reader, QEIL_RANS_SMALL);
    if (axis < 0 || axis >= dimensions || sent < 0 || sent > QEIL_RANS_SENT) return 0;
    layout->family = family;
    layout->grid = grid;
    layout->sent = sent;
    qeil_rans_shape(layout, shape, dimensions, axis);
    layout->cells = qeil_rans_cells(grid, layout->size);
    if (layout->cells > QEIL_RANS_CELLS) return 0;
    for (int t = 0; t < sent; t++) {
        if (!qeil_rans_read_sent(reader, layout, t)) return 0;
    }
    int table = sent ? 0 : QEIL_RANS_USUAL;
    for (size_t cell = 0; cell < layout->cells; cell++) {
        const int32_t difference = qeil_rans_symbol_of(reader, QEIL_RANS_STEPS);
        if (difference < 0) return 0;
        table += qeil_unzigzag((uint32_t)difference);
        if (table < 0 || table >= sent + QEIL_RANS_SCALES) return 0;
        layout->table[cell] = (uint8_t)table;
    }
    return 1;
}

#endif
