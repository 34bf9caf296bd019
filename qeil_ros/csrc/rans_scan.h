/* Codes in the tensor's order <-> symbols in the coded order: band after band, a band being neighbouring cells with one table. */
#ifndef QEIL_RANS_SCAN_H
#define QEIL_RANS_SCAN_H

#include "rans_layout.h"

typedef struct {
    size_t first_cell, cells;
    size_t first, width; /* elements of each row of size * inner */
    int table;
} qeil_rans_band;

/* The band that begins with `cell`, at `index` of the axis. */
static qeil_rans_band qeil_rans_band_at(const qeil_rans_layout *layout, size_t cell, size_t index) {
    qeil_rans_band band = {cell, 0, index * layout->inner, 0, layout->table[cell]};
    size_t end = index;
    while (cell < layout->cells && layout->table[cell] == band.table) {
        end = qeil_rans_next(layout->grid, layout->size, end);
        cell++;
    }
    band.cells = cell - band.first_cell;
    band.width = end * layout->inner - band.first;
    return band;
}

QEIL_INLINE void qeil_symbols_of_signed(const int16_t *restrict codes, uint8_t *restrict symbols, size_t n, int family, int escape) {
    const uint16_t last = (uint16_t)(escape < QEIL_RANS_SYMBOLS ? escape : QEIL_RANS_SYMBOLS - 1);
    if (family == 0) {
        for (size_t i = 0; i < n; i++) {
            const uint16_t index = (uint16_t)((uint16_t)((uint16_t)codes[i] << 1) ^ (uint16_t)(codes[i] >> 15));
            symbols[i] = (uint8_t)(index < last ? index : last);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            const uint16_t index = (uint16_t)codes[i];
            symbols[i] = (uint8_t)(index < last ? index : last);
        }
    }
}

QEIL_INLINE void qeil_symbols_of_unsigned(const uint8_t *restrict codes, uint8_t *restrict symbols, size_t n, int escape) {
    const uint8_t last = (uint8_t)(escape < QEIL_RANS_SYMBOLS ? escape : QEIL_RANS_SYMBOLS - 1);
    for (size_t i = 0; i < n; i++) symbols[i] = codes[i] < last ? codes[i] : last;
}

/* A band's symbols, `outer` runs of `width`; what the table does not have becomes `escape`. */
QEIL_CLONES static void qeil_rans_gather(const void *codes, int is_signed, const qeil_rans_layout *layout, const qeil_rans_band *band,
                                         int escape, uint8_t *symbols) {
    const size_t row = layout->size * layout->inner;
    size_t outer = layout->outer, width = band->width;
    if (width == row) width *= outer, outer = 1;
    for (size_t o = 0; o < outer; o++) {
        const size_t at = o * row + band->first;
        if (is_signed) qeil_symbols_of_signed((const int16_t *)codes + at, symbols + o * width, width, layout->family, escape);
        else qeil_symbols_of_unsigned((const uint8_t *)codes + at, symbols + o * width, width, escape);
    }
}

/* The inverse; escapes are left to the caller. */
QEIL_CLONES static void qeil_rans_scatter(const uint8_t *symbols, int is_signed, const qeil_rans_layout *layout,
                                          const qeil_rans_band *band, void *codes) {
    const size_t row = layout->size * layout->inner;
    size_t outer = layout->outer, width = band->width;
    if (width == row) width *= outer, outer = 1;
    for (size_t o = 0; o < outer; o++) {
        const uint8_t *restrict in = symbols + o * width;
        if (!is_signed) {
            memcpy((uint8_t *)codes + o * row + band->first, in, width);
            continue;
        }
        int16_t *restrict out = (int16_t *)codes + o * row + band->first;
        if (layout->family == 0) {
            for (size_t i = 0; i < width; i++) out[i] = (int16_t)((in[i] >> 1) ^ -(in[i] & 1));
        } else {
            for (size_t i = 0; i < width; i++) out[i] = in[i];
        }
    }
}

/* Where in the tensor symbol i of a band lies. */
QEIL_INLINE size_t qeil_rans_place(const qeil_rans_layout *layout, const qeil_rans_band *band, size_t i) {
    return i / band->width * layout->size * layout->inner + band->first + i % band->width;
}

/* The index of a code. */
QEIL_INLINE uint32_t qeil_rans_index(const void *codes, int is_signed, int family, size_t at) {
    if (!is_signed) return ((const uint8_t *)codes)[at];
    const int code = ((const int16_t *)codes)[at];
    return family == 0 ? qeil_zigzag(code) : (uint32_t)code;
}

/* The inverse; 0 where the index is none of a code's. */
QEIL_INLINE int qeil_rans_set_code(void *codes, int is_signed, int family, size_t at, uint32_t index) {
    if (index > (!is_signed ? 255u : family == 0 ? 65534u : 32767u)) return 0;
    if (!is_signed) ((uint8_t *)codes)[at] = (uint8_t)index;
    else ((int16_t *)codes)[at] = (int16_t)(family == 0 ? qeil_unzigzag(index) : (int)index);
    return 1;
}

#endif
