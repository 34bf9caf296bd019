/* Integer probability models of the rans coder (docs/bitstream.md, Coders): frequencies, static tables, costs.
 *
 * A model shares 4096 slots among at most 256 symbols. Everything is integer arithmetic, so every machine builds the same tables. */
#ifndef QEIL_RANS_MODEL_H
#define QEIL_RANS_MODEL_H

#include "multiversion.h"

#define QEIL_RANS_BITS 12
#define QEIL_RANS_SLOTS (1 << QEIL_RANS_BITS)
#define QEIL_RANS_LOW 32768u /* states live in [LOW, LOW << 16) */
#define QEIL_RANS_SYMBOLS 256
#define QEIL_RANS_FAMILIES 2
#define QEIL_RANS_SCALES 32
#define QEIL_RANS_NEVER (1u << 28) /* the cost, in 1/256 bit, of what a model cannot code */

typedef struct { /* what encoding a symbol needs, without a division: see qeil_rans_push; the vectors read it too */
    uint32_t reciprocal;
    uint32_t limit;
    uint16_t start;
    uint16_t rest;
    uint32_t shift;
} qeil_rans_symbol;

typedef struct {
    int count;  /* symbols, the escape among them */
    int escape; /* its index, which is count - 1; QEIL_RANS_SYMBOLS where there is none */
    int used;   /* symbols up to the last that has slots */
    int only;   /* the symbol that has all slots; -1 where there are several */
    uint16_t frequency[QEIL_RANS_SYMBOLS];
    uint32_t cost[QEIL_RANS_SYMBOLS]; /* in 1/256 bit; of an index from `escape` on: the escape and its number */
    qeil_rans_symbol encode[QEIL_RANS_SYMBOLS];
    uint32_t slots[QEIL_RANS_SLOTS]; /* symbol, 8 bits; slot - start, 12; frequency, 12 */
} qeil_rans_model;

/* Zero's probability and the ratio of neighbours, in 1/65536, for a Laplacian of mean magnitude 2^((scale - 21) / 2) in steps, its
 * zero bin reaching 0.7 steps to each side. */
static const uint16_t qeil_rans_laplacian[QEIL_RANS_SCALES][2] = {
    {0, 0},         {65472, 3},     {65445, 5},     {65408, 9},     {65355, 14},    {65280, 24},    {65174, 39},
    {65024, 64},    {64813, 105},   {64515, 172},   {64094, 281},   {63502, 459},   {62673, 748},   {61516, 1215},
    {59917, 1961},  {57736, 3133},  {54822, 4930},  {51049, 7587},  {46367, 11318}, {40878, 16219}, {34861, 22155},
    {28736, 28736}, {22939, 35415}, {17803, 41670}, {13500, 47138}, {10051, 51665}, {7379, 55255},  {5361, 58014},
    {3865, 60085},  {2771, 61613},  {1979, 62727},  {1409, 63532},
};

/* floor(256 log2(value)) of a positive value, by squaring. */
QEIL_INLINE int qeil_log2_256(uint32_t value) {
    const int whole = 31 - __builtin_clz(value);
    uint64_t mantissa = ((uint64_t)value << 31) >> whole; /* [2^31, 2^32) */
    int result = whole;
    for (int bit = 0; bit < 8; bit++) {
        mantissa = (mantissa * mantissa) >> 31;
        result <<= 1;
        if (mantissa >> 32) {
            mantissa >>= 1;
            result |= 1;
        }
    }
    return result;
}

/* Bits of a number, in 1/256. */
QEIL_INLINE uint32_t qeil_rans_number_cost(uint32_t value) {
    return 256 * (4 + (31 - (uint32_t)__builtin_clz(value + 1)));
}

/* Weights to frequencies that sum to 4096, at least 1 where the weight is not 0. Returns 0 where all weights are. */
static int qeil_rans_frequencies(const uint32_t *weights, int count, uint16_t *frequency) {
    uint64_t total = 0, sum = 0, below = 0;
    for (int i = 0; i < count; i++) total += weights[i];
    if (total == 0) return 0;
    const uint64_t least = (9 * total >> 15) + 1; /* a little over one slot */
    for (int i = 0; i < count; i++) {
        if (weights[i]) sum += weights[i] > least ? weights[i] : least;
    }
    uint32_t start = 0;
    for (int i = 0; i < count; i++) {
        if (weights[i]) below += weights[i] > least ? weights[i] : least;
        const uint32_t end = (uint32_t)((below << QEIL_RANS_BITS) / sum);
        frequency[i] = (uint16_t)(end - start);
        start = end;
    }
    return 1;
}

/* Bits, in 1/256, of a symbol with so many slots. */
static uint16_t qeil_rans_slots_cost[QEIL_RANS_SLOTS + 1];

/* log2 of a positive value in 1/256, by its 12 leading bits. */
QEIL_INLINE int qeil_rans_log2(uint32_t value) {
    const int shift = value <= QEIL_RANS_SLOTS ? 0 : 20 - __builtin_clz(value);
    return (QEIL_RANS_BITS + shift) * 256 - qeil_rans_slots_cost[value >> shift];
}

/* The costs of a model whose count, escape and frequencies are set. */
static void qeil_rans_set_costs(qeil_rans_model *model) {
    for (int i = 0; i < QEIL_RANS_SYMBOLS; i++) {
        const uint32_t f = i < model->count ? model->frequency[i] : 0;
        model->cost[i] = f ? qeil_rans_slots_cost[f] : QEIL_RANS_NEVER;
    }
    const uint32_t escaped = model->escape < model->count ? model->cost[model->escape] : QEIL_RANS_NEVER;
    for (int i = model->escape; i < QEIL_RANS_SYMBOLS; i++)
        model->cost[i] = escaped == QEIL_RANS_NEVER ? escaped : escaped + qeil_rans_number_cost((uint32_t)(i - model->escape));
}

/* What encoding and decoding with it need. */
static void qeil_rans_set_slots(qeil_rans_model *model) {
    uint32_t start = 0;
    memset(model->encode, 0, sizeof model->encode);
    model->only = -1;
    for (int i = 0; i < model->count; i++) {
        const uint32_t f = model->frequency[i];
        qeil_rans_symbol *symbol = &model->encode[i];
        if (f) model->used = i + 1;
        if (f == QEIL_RANS_SLOTS) model->only = i;
        if (f == 0 || f == QEIL_RANS_SLOTS) continue;
        symbol->shift = 31 + (f == 1 ? 0 : 32 - (uint32_t)__builtin_clz(f - 1));
        symbol->reciprocal = (uint32_t)((((uint64_t)1 << symbol->shift) + f - 1) / f);
        symbol->limit = f << 19; /* LOW / 4096 * 65536 */
        symbol->start = (uint16_t)start;
        symbol->rest = (uint16_t)(QEIL_RANS_SLOTS - f);
        for (uint32_t k = 0; k < f; k++) model->slots[start + k] = (uint32_t)i | k << 8 | f << 20;
        start += f;
    }
}

/* A static model. Family 0: signed codes, symbols 0, -1, 1, -2, ...; family 1: codes that are not negative, symbols 0, 1, 2, ...
 * Scale 0 is zero and nothing else. */
static void qeil_rans_static(qeil_rans_model *model, int family, int scale) {
    uint32_t weights[QEIL_RANS_SYMBOLS];
    int count = 0;
    memset(model, 0, sizeof *model);
    if (scale == 0) {
        weights[count++] = 1;
        model->escape = QEIL_RANS_SYMBOLS;
    } else {
        const int sides = family == 0 ? 2 : 1;
        const uint32_t ratio = qeil_rans_laplacian[scale][1];
        uint32_t tail = (65536u - qeil_rans_laplacian[scale][0]) << (12 - (sides == 2)); /* of 2^28, one side */
        weights[count++] = (uint32_t)qeil_rans_laplacian[scale][0] << 12;
        for (;;) {
            const uint32_t next = (uint32_t)((uint64_t)tail * ratio >> 16), weight = tail - next;
            if (weight < 1u << 15 || count + sides >= QEIL_RANS_SYMBOLS) break;
            for (int side = 0; side < sides; side++) weights[count++] = weight;
            tail = next;
        }
        model->escape = count;
        weights[count++] = tail * (uint32_t)sides + 1;
    }
    model->count = count;
    qeil_rans_frequencies(weights, count, model->frequency);
    qeil_rans_set_costs(model);
    qeil_rans_set_slots(model);
}

/* All static models, built once when the module is loaded. */
static qeil_rans_model qeil_rans_statics[QEIL_RANS_FAMILIES][QEIL_RANS_SCALES];

static void qeil_rans_init(void) {
    for (uint32_t f = 1; f <= QEIL_RANS_SLOTS; f++) qeil_rans_slots_cost[f] = (uint16_t)(QEIL_RANS_BITS * 256 - qeil_log2_256(f));
    for (int family = 0; family < QEIL_RANS_FAMILIES; family++) {
        for (int scale = 0; scale < QEIL_RANS_SCALES; scale++)
            qeil_rans_static(&qeil_rans_statics[family][scale], family, scale);
    }
}

/* A sent table's weight: 0, or 2^((exponent - 1) / 2^resolution) in 1/32768, for exponents to 13 << resolution. */
QEIL_INLINE uint32_t qeil_rans_weight(int exponent, int resolution) {
    static const uint16_t eighths[8] = {32768, 35734, 38968, 42495, 46341, 50535, 55109, 60097};
    if (exponent == 0) return 0;
    exponent = (exponent - 1) << (3 - resolution);
    return (uint32_t)eighths[exponent & 7] << (exponent >> 3);
}

#endif
