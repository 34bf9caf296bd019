/* The rans coder of docs/bitstream.md: codes of a tensor <-> payload. Several headers, one idea each: rans_model (probabilities),
 * rans_lanes (states and words), rans_layout (what the payload says of itself), rans_scan (order), rans_choose (the encoder's choices). */
#ifndef QEIL_RANS_H
#define QEIL_RANS_H

#include "rans_choose.h"

typedef struct { /* one for each coder object: about 2 MB, of which small tensors touch little */
    qeil_rans_layout layout;
    qeil_rans_choice choice;
    qeil_rans_notes notes;
    size_t escapes;
} qeil_rans_work;

/* The least code; escapes cannot carry INT16_MIN. */
QEIL_CLONES static int16_t qeil_rans_least(const int16_t *codes, size_t n) {
    int16_t least = 0;
    for (size_t i = 0; i < n; i++) least = codes[i] < least ? codes[i] : least;
    return least;
}

/* Symbols of a band that its table has only by the escape. */
QEIL_CLONES static size_t qeil_rans_escapes(const uint8_t *symbols, size_t n, int escape) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += symbols[i] == escape;
    return count;
}

/* Encode, first half: chooses, fills `symbols` in coded order, and returns the words that the payload needs at most. */
static size_t qeil_rans_prepare(qeil_rans_work *work, const void *codes, int is_signed, int negative, size_t n, uint8_t *symbols) {
    qeil_rans_layout *layout = &work->layout;
    qeil_rans_choose(&work->choice, layout, codes, is_signed, negative, symbols);
    size_t done = 0, index = 0;
    work->escapes = 0;
    work->notes.count = 0;
    qeil_rans_note_layout(&work->notes, layout);
    if (qeil_rans_band_at(layout, 0, 0).cells == layout->cells &&
        work->choice.symbols <= qeil_rans_table(layout, layout->table[0])->escape)
        return n + work->notes.count; /* one band without escapes: its symbols are there already */
    for (size_t cell = 0; cell < layout->cells;) {
        const qeil_rans_band band = qeil_rans_band_at(layout, cell, index);
        const qeil_rans_model *model = qeil_rans_table(layout, band.table);
        const size_t count = band.width * layout->outer;
        qeil_rans_gather(codes, is_signed, layout, &band, model->escape, symbols + done);
        if (model->escape < QEIL_RANS_SYMBOLS) work->escapes += qeil_rans_escapes(symbols + done, count, model->escape);
        done += count;
        index = (band.first + band.width) / layout->inner;
        cell += band.cells;
    }
    return n + 3 * work->escapes + work->notes.count;
}

/* Encode, second half: writes backwards from `end`, where there is room for the words, 2 bytes more and the states; returns the
 * payload's first byte. */
static uint8_t *qeil_rans_write(qeil_rans_work *work, const void *codes, int is_signed, size_t n, const uint8_t *symbols, uint8_t *end) {
    const qeil_rans_layout *layout = &work->layout;
    qeil_rans_notes *notes = &work->notes;
    const size_t layout_notes = notes->count;
    qeil_rans_writer writer;
    qeil_rans_begin(&writer, qeil_rans_lanes(n), end);
    for (int pass = work->escapes == 0; pass < 2; pass++) { /* escapes, then symbols: the decoder meets them the other way round */
        size_t left = n, cell = layout->cells;
        while (cell > 0) {
            size_t first = cell - 1;
            while (first > 0 && layout->table[first - 1] == layout->table[cell - 1]) first--;
            size_t index = 0; /* where cell `first` begins */
            if (layout->grid >= QEIL_RANS_EVEN) index = first << (layout->grid - QEIL_RANS_EVEN);
            else for (size_t c = 0; c < first; c++) index = qeil_rans_next(layout->grid, layout->size, index);
            const qeil_rans_band band = qeil_rans_band_at(layout, first, index);
            const qeil_rans_model *model = qeil_rans_table(layout, band.table);
            const size_t count = band.width * layout->outer;
            left -= count;
            if (pass == 1) {
                qeil_rans_encode(&writer, model, symbols + left, count, left);
            } else if (model->escape < QEIL_RANS_SYMBOLS) {
                for (size_t i = count; i-- > 0;) {
                    if ((i + 1) % 256 == 0 && qeil_rans_escapes(symbols + left + i - 255, 256, model->escape) == 0) {
                        i -= 255;
                        continue;
                    }
                    if (symbols[left + i] != model->escape) continue;
                    notes->count = layout_notes;
                    const size_t place = qeil_rans_place(layout, &band, i);
                    const uint32_t index_of = qeil_rans_index(codes, is_signed, layout->family, place);
                    qeil_rans_note_number(notes, index_of - (uint32_t)model->escape);
                    while (notes->count > layout_notes) {
                        const qeil_rans_interval *interval = &notes->interval[--notes->count];
                        qeil_rans_put(&writer, interval->start, interval->frequency);
                    }
                }
            }
            cell = first;
        }
    }
    while (notes->count > 0) {
        const qeil_rans_interval *interval = &notes->interval[--notes->count];
        qeil_rans_put(&writer, interval->start, interval->frequency);
    }
    return qeil_rans_flush(&writer, end);
}

/* Why a payload is refused. */
enum { QEIL_RANS_OK, QEIL_RANS_STATES, QEIL_RANS_LAYOUT, QEIL_RANS_WORDS, QEIL_RANS_ESCAPE, QEIL_RANS_END };

/* Payload to codes; `symbols` is scratch for all of them. Reads nothing outside the payload, writes nothing outside the codes. */
static int qeil_rans_read(qeil_rans_work *work, const uint8_t *payload, size_t size, int is_signed, const size_t *shape,
                          int dimensions, size_t n, uint8_t *symbols, void *codes) {
    qeil_rans_layout *layout = &work->layout;
    qeil_rans_reader reader;
    if (!qeil_rans_open(&reader, qeil_rans_lanes(n), payload, size)) return QEIL_RANS_STATES;
    if (!qeil_rans_read_layout(&reader, layout, shape, dimensions)) return QEIL_RANS_LAYOUT;
    if (!is_signed && layout->family == 0) return QEIL_RANS_LAYOUT;
    for (int pass = 0; pass < 2; pass++) {
        size_t done = 0, index = 0;
        for (size_t cell = 0; cell < layout->cells;) {
            const qeil_rans_band band = qeil_rans_band_at(layout, cell, index);
            const qeil_rans_model *model = qeil_rans_table(layout, band.table);
            const size_t count = band.width * layout->outer;
            if (pass == 0) {
                if (!qeil_rans_decode(&reader, model, symbols + done, count, done)) return QEIL_RANS_WORDS;
                qeil_rans_scatter(symbols + done, is_signed, layout, &band, codes);
            } else if (model->escape < QEIL_RANS_SYMBOLS && model->frequency[model->escape]) {
                const uint8_t *at = symbols + done, *end = at + count;
                while ((at = memchr(at, model->escape, (size_t)(end - at))) != NULL) {
                    const int32_t number = qeil_rans_number(&reader);
                    const size_t place = qeil_rans_place(layout, &band, (size_t)(at - (symbols + done)));
                    if (number < 0) return QEIL_RANS_WORDS;
                    if (!qeil_rans_set_code(codes, is_signed, layout->family, place, (uint32_t)(model->escape + number)))
                        return QEIL_RANS_ESCAPE;
                    if (++at == end) break;
                }
            }
            done += count;
            index = (band.first + band.width) / layout->inner;
            cell += band.cells;
        }
    }
    return qeil_rans_close(&reader) ? QEIL_RANS_OK : QEIL_RANS_END;
}

#endif
