/* Picking bytes out of a row with one byte permutation a block: which byte goes where is the same in every row, so that it is worked
 * out once.
 *
 * A block is 64 bytes of output (or twice 64: a twin), each a byte of the row or zero. A step takes all that a block needs from 64
 * consecutive bytes of the row; most blocks take one or two. No step reaches past the row's last byte. */
#ifndef QEIL_IMAGE_PICK_H
#define QEIL_IMAGE_PICK_H

#include <stdlib.h>

#include "multiversion.h"

enum { QEIL_PICKED = 64, QEIL_PICK_ZERO = -1, QEIL_PICK_SECOND = 1 << 24 /* the byte is in the second of two rows */ };

typedef struct {
    uint64_t mask[2]; /* which bytes of the block, and of its twin, this step fills */
    uint32_t offset;  /* of the window */
    int second;       /* in the second row */
} qeil_pick_step;

typedef struct {
    size_t blocks, twins; /* twins: 1, or 2 */
    uint32_t *first;      /* [blocks + 1]: of each block's steps */
    qeil_pick_step *steps;
    uint8_t *indices, *memory; /* of each step, for each byte of its block and its twin the place in the window; one a cache line */
} qeil_picks;

/* Fills at[twins * 64] with the offsets of the bytes that a block is made of. */
typedef void qeil_wanted(const void *context, size_t block, int32_t *at);

/* The steps of one block; written to `steps` unless that is NULL. Rows have lengths[0] and lengths[1] bytes, at least 64. */
static size_t qeil_pick_block(const int32_t *at, size_t twins, const size_t lengths[2], qeil_pick_step *steps, uint8_t *indices) {
    uint8_t left[2 * QEIL_PICKED];
    size_t count = 0, wanted = 0;
    for (size_t k = 0; k < twins * QEIL_PICKED; k++) wanted += left[k] = at[k] != QEIL_PICK_ZERO;
    for (; wanted || count == 0; count++) { /* a block of zeros still has a step */
        int32_t lowest = wanted ? INT32_MAX : 0;
        for (size_t k = 0; k < twins * QEIL_PICKED; k++)
            if (left[k] && at[k] < lowest) lowest = at[k];
        const int32_t second = lowest & QEIL_PICK_SECOND, last = (int32_t)lengths[second != 0] - QEIL_PICKED + second;
        const int32_t offset = lowest < last ? lowest : last;
        qeil_pick_step step = {.offset = (uint32_t)(offset - second), .second = second != 0};
        for (size_t k = 0; k < twins * QEIL_PICKED; k++) {
            if (!left[k] || at[k] < offset || at[k] >= offset + QEIL_PICKED) continue;
            left[k] = 0, wanted--;
            step.mask[k / QEIL_PICKED] |= (uint64_t)1 << k % QEIL_PICKED;
            if (steps) indices[count * twins * QEIL_PICKED + k] = (uint8_t)(at[k] - offset);
        }
        if (steps) steps[count] = step;
    }
    return count;
}

static void qeil_free_picks(qeil_picks *picks) {
    free(picks->first);
    free(picks->steps);
    free(picks->memory);
    memset(picks, 0, sizeof *picks);
}

/* 0, or -1 where there is no memory. */
static int qeil_make_picks(qeil_picks *picks, size_t blocks, size_t twins, const size_t lengths[2], qeil_wanted *wanted,
                           const void *context) {
    int32_t at[2 * QEIL_PICKED];
    size_t steps = 0;
    picks->blocks = blocks, picks->twins = twins;
    picks->first = malloc((blocks + 1) * sizeof *picks->first);
    if (!picks->first) return -1;
    for (size_t b = 0; b < blocks; b++) {
        picks->first[b] = (uint32_t)steps;
        wanted(context, b, at);
        steps += qeil_pick_block(at, twins, lengths, NULL, NULL);
    }
    picks->first[blocks] = (uint32_t)steps;
    picks->steps = malloc(steps * sizeof *picks->steps);
    picks->memory = calloc(steps * twins + 1, QEIL_PICKED);
    if (!picks->steps || !picks->memory) return -1;
    picks->indices = picks->memory + (QEIL_PICKED - (uintptr_t)picks->memory % QEIL_PICKED);
    for (size_t b = 0; b < blocks; b++) {
        wanted(context, b, at);
        qeil_pick_block(at, twins, lengths, picks->steps + picks->first[b], picks->indices + picks->first[b] * twins * QEIL_PICKED);
    }
    return 0;
}

#endif
