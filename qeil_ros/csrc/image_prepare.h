/* Camera image -> the tensor a model takes: decode, crop, resize, normalise, convert, in one pass over the image with a few rows of
 * scratch. What does not change from frame to frame is in the plan. */
#ifndef QEIL_IMAGE_PREPARE_H
#define QEIL_IMAGE_PREPARE_H

#include <stdlib.h>

#include "image_avx512.h"
#include "image_resize.h"
#include "image_rows.h"
#include "image_write.h"

typedef struct {
    int format, big_endian;
    size_t width, height;                           /* of the image */
    size_t crop_x, crop_y, crop_width, crop_height; /* what is used of it */
    int filtered;                                   /* 0: pairs, 1: filters */
    qeil_pair_taps x_pairs, y_pairs;
    qeil_filter_taps x_filter, y_filter;
    qeil_output output;
    int32_t *columns; /* YUV: the only columns that are decoded, where not all are; x_pairs then counts among them */
    size_t used;      /* columns in a decoded row */
    int wide;         /* with AVX-512 */
    qeil_wide tables;
    /* scratch */
    uint32_t *decoded[QEIL_BATCH];
    size_t decoded_row[QEIL_BATCH];
    uint8_t *parts, *ring;
    size_t ring_rows, ring_size; /* the ring has rows of bytes or, if wide, batches of four rows as 32-bit words */
    int16_t *blend;
    int32_t *sums, *widened;
} qeil_plan;

#define QEIL_NO_ROW ((size_t)-1)

QEIL_INLINE size_t qeil_round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/* --- making a plan --------------------------------------------------------------------------------------------------- */

/* Decoding is most of the work in a YUV image: only the columns that taps use, where that is a good deal fewer. Without wide
 * permutations the columns are picked one by one, which pays from half on. */
static int qeil_choose_columns(qeil_plan *plan) {
    size_t used = 0;
    plan->used = plan->crop_width;
    if (!qeil_is_yuv(plan->format) || (plan->filtered && !plan->wide)) return 0;
    int32_t *rank = calloc(plan->crop_width, sizeof *rank);
    plan->columns = malloc(plan->crop_width * sizeof *plan->columns);
    if (!rank || !plan->columns) {
        free(rank);
        return -1;
    }
    const size_t n = plan->output.rect_width;
    for (size_t j = 0; j < n && !plan->filtered; j++) rank[plan->x_pairs.first[j]] = rank[plan->x_pairs.second[j]] = 1;
    for (size_t x = 0; x < plan->crop_width; x++)
        if (plan->filtered || rank[x]) {
            plan->columns[used] = (int32_t)(plan->crop_x + x);
            rank[x] = (int32_t)used++;
        }
    if (plan->wide || 2 * used <= plan->crop_width) {
        plan->used = used;
        for (size_t j = 0; j < n && !plan->filtered; j++) {
            plan->x_pairs.first[j] = rank[plan->x_pairs.first[j]];
            plan->x_pairs.second[j] = rank[plan->x_pairs.second[j]];
        }
    } else {
        free(plan->columns);
        plan->columns = NULL;
    }
    free(rank);
    return 0;
}

#ifdef QEIL_HAS_WIDE
/* Rows must have a whole block of bytes to pick from, and weights must be a little less than 2. */
static int qeil_fits_wide(const qeil_plan *plan) {
    if (qeil_is_yuv(plan->format)) {
        if (qeil_row_bytes(plan->format, plan->width) < QEIL_PICKED) return 0;
    } else if (plan->crop_width * (size_t)qeil_pixel_stride(plan->format) < QEIL_PICKED) {
        return 0;
    }
    if (!plan->filtered) return 1;
    const qeil_filter_taps *taps[2] = {&plan->x_filter, &plan->y_filter};
    const size_t samples[2] = {plan->output.rect_width, plan->output.rect_height};
    for (int k = 0; k < 2; k++)
        for (size_t j = 0; j < samples[k] * (size_t)taps[k]->width; j++)
            if (taps[k]->weights[j] > QEIL_MAX_WEIGHT || taps[k]->weights[j] < -QEIL_MAX_WEIGHT) return 0;
    return 1;
}

static int qeil_make_wide(qeil_plan *plan) {
    qeil_wide *wide = &plan->tables;
    const int yuv = qeil_is_yuv(plan->format);
    wide->n = plan->output.rect_width;
    wide->stride = yuv ? 1 : qeil_pixel_stride(plan->format);
    wide->planes = yuv ? 3 : 1;
    wide->plane = qeil_round_up(plan->used, 64);
    const size_t row = qeil_row_bytes(plan->format, plan->width), rows[2] = {row, row};
    const size_t used = yuv ? 3 * wide->plane : plan->crop_width * (size_t)wide->stride, lengths[2] = {used, used};
    if (yuv) {
        const qeil_wide_context context = {.wide = wide, .layout = qeil_layout_of(plan->format), .planar = qeil_is_planar(plan->format),
                                           .columns = plan->columns, .count = plan->used};
        if (qeil_make_picks(&wide->decode, wide->plane / 16, 2, rows, qeil_want_yuv, &context)) return -1;
    }
    if (!plan->filtered) return qeil_make_wide_pairs(wide, lengths, &plan->x_pairs);
    return qeil_make_wide_filter(wide, lengths, &plan->x_filter, &plan->y_filter, plan->output.rect_height);
}
#endif

/* Everything that follows from the geometry and the taps; `portable` does without wide vectors. 0, or -1 where there is no memory. */
static int qeil_finish_plan(qeil_plan *plan, int portable) {
    const size_t n = plan->output.rect_width, stride = (size_t)qeil_pixel_stride(plan->format), bytes = stride == 1 ? 1 : 4;
#ifdef QEIL_HAS_WIDE
    plan->wide = !portable && qeil_can_wide() && qeil_fits_wide(plan);
#else
    (void)portable;
#endif
    if (qeil_choose_columns(plan)) return -1;
#ifdef QEIL_HAS_WIDE
    if (plan->wide && qeil_make_wide(plan)) return -1;
#endif
    const int planes = plan->wide && qeil_is_yuv(plan->format);
    plan->output.lanes = stride == 1 || planes ? 1 : plan->wide && plan->filtered ? 3 : 4;
    plan->output.apart = stride == 1 ? 0 : planes ? plan->tables.apart : 1;
    const size_t values = planes ? 3 * plan->tables.apart : n * (size_t)plan->output.lanes;
    const float unit = plan->filtered ? 1.0f : 1.0f / (1 << QEIL_PAIR_BITS);
    for (int c = 0; c < plan->output.channels; c++) plan->output.gain[c] = plan->output.scale[c] * unit;
    if (plan->filtered && plan->wide) {
        plan->ring_rows = plan->tables.batches;
        plan->ring_size = qeil_round_up(values + 32, 16);
        plan->ring = calloc(plan->ring_rows * plan->ring_size, sizeof(uint32_t));
    } else if (plan->filtered) {
        plan->ring_rows = qeil_round_up((size_t)plan->y_filter.width + 2 * QEIL_BATCH, QEIL_BATCH);
        plan->ring_size = qeil_round_up(n * bytes, 16);
        plan->ring = calloc(plan->ring_rows, plan->ring_size);
        plan->widened = calloc(plan->crop_width * 8 * bytes + 8, sizeof *plan->widened);
        if (!plan->widened) return -1;
    } else {
        plan->blend = calloc(plan->used * stride + 4, sizeof *plan->blend);
        if (!plan->blend) return -1;
    }
    if (plan->filtered && !plan->ring) return -1;
    for (int k = 0; k < QEIL_BATCH; k++) {
        plan->decoded[k] = calloc(plan->width + 64, sizeof *plan->decoded[k]);
        if (!plan->decoded[k]) return -1;
    }
    plan->parts = calloc(plan->used, 3);
    plan->sums = calloc(n * 20 + values + 64, sizeof *plan->sums);
    plan->output.line = calloc(plan->output.width * (size_t)plan->output.channels, sizeof(float));
    return plan->parts && plan->sums && plan->output.line ? 0 : -1;
}

static void qeil_free_plan(qeil_plan *plan) {
    void *const owned[] = {plan->x_pairs.first, plan->x_pairs.second, plan->x_pairs.weight, plan->y_pairs.first, plan->y_pairs.second,
                           plan->y_pairs.weight, plan->x_filter.start, plan->x_filter.count, plan->x_filter.weights,
                           plan->y_filter.start, plan->y_filter.count, plan->y_filter.weights, plan->columns, plan->tables.memory,
                           plan->tables.down, plan->parts, plan->ring, plan->blend, plan->sums, plan->widened, plan->output.line};
    for (size_t k = 0; k < sizeof owned / sizeof *owned; k++) free(owned[k]);
    for (int k = 0; k < QEIL_BATCH; k++) free(plan->decoded[k]);
    qeil_free_picks(&plan->tables.decode);
    qeil_free_picks(&plan->tables.resize);
}

/* --- one image ------------------------------------------------------------------------------------------------------- */

QEIL_INLINE const uint8_t *qeil_direct_row(const qeil_plan *plan, const uint8_t *data, size_t step, size_t y) {
    return data + (plan->crop_y + y) * step + plan->crop_x * (size_t)qeil_pixel_stride(plan->format);
}

/* Row y of the crop, where it lies or decoded; the last few decoded rows are kept. `next`: a row that will be wanted soon. */
QEIL_INLINE const uint8_t *qeil_image_row(qeil_plan *plan, const uint8_t *data, size_t step, size_t y, size_t next) {
    if (qeil_is_direct(plan->format)) return qeil_direct_row(plan, data, step, y);
    y += plan->crop_y, next += plan->crop_y;
    const size_t slot = y % QEIL_BATCH;
    uint32_t *row = plan->decoded[slot];
    const uint8_t *decoded = (const uint8_t *)(row + (plan->columns ? 0 : qeil_decoded_offset(plan->format, plan->crop_x)));
    if (plan->decoded_row[slot] == y) return decoded;
    plan->decoded_row[slot] = y;
    const uint8_t *luma = data + y * step, *chroma = qeil_chroma_row(plan->format, data, step, plan->height, y);
#ifdef QEIL_HAS_WIDE
    if (plan->columns && plan->wide) {
        const uint8_t *rows[2] = {luma, chroma};
        const uint8_t *soon[2] = {data + next * step, qeil_chroma_row(plan->format, data, step, plan->height, next)};
        qeil_wide_decode(&plan->tables, rows, soon, (uint8_t *)row);
        return decoded;
    }
#endif
    if (plan->columns)
        qeil_decode_columns(plan->format, luma, chroma, plan->columns, plan->used, plan->parts, row);
    else
        qeil_decode_row(plan->format, plan->big_endian, data, step, plan->width, plan->height, y, plan->crop_x, plan->crop_width, row);
    return decoded;
}

static void qeil_prepare_pairs(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out) {
    const int32_t *first = plan->y_pairs.first, *second = plan->y_pairs.second;
    for (size_t y = 0; y < plan->output.rect_height; y++) {
        const size_t next = y + 1 < plan->output.rect_height ? y + 1 : y;
        const int16_t down = plan->y_pairs.weight[y];
        const uint8_t *top = qeil_image_row(plan, data, step, (size_t)first[y], (size_t)first[next]), *bottom = top;
        if (down) bottom = qeil_image_row(plan, data, step, (size_t)second[y], (size_t)second[next]);
#ifdef QEIL_HAS_WIDE
        if (plan->wide) {
            const uint8_t *soon[2] = {top, bottom};
            if (qeil_is_direct(plan->format)) {
                soon[0] = qeil_direct_row(plan, data, step, (size_t)first[next]);
                soon[1] = qeil_direct_row(plan, data, step, (size_t)second[next]);
            }
            qeil_wide_pairs(&plan->tables, top, bottom, soon, down, plan->sums);
        }
#endif
        if (!plan->wide)
            qeil_resize_pairs(top, bottom, down, plan->used, qeil_pixel_stride(plan->format), &plan->x_pairs, plan->output.rect_width,
                              plan->blend, plan->sums);
        qeil_write_row(&plan->output, plan->sums, y, out);
    }
}

/* Rows 4 * batch .. 4 * batch + 3 of the crop, filtered, to their place in the ring; past the last row it is repeated. */
static void qeil_filter_batch(qeil_plan *plan, const uint8_t *data, size_t step, size_t batch) {
    const uint8_t *rows[QEIL_BATCH];
    const size_t last = plan->crop_height - 1;
    for (size_t r = 0; r < QEIL_BATCH; r++) {
        const size_t y = QEIL_BATCH * batch + r, next = y + QEIL_BATCH;
        rows[r] = qeil_image_row(plan, data, step, y < last ? y : last, next < last ? next : last);
    }
#ifdef QEIL_HAS_WIDE
    if (plan->wide) {
        qeil_wide_filter_rows(&plan->tables, rows, (uint32_t *)plan->ring + batch % plan->ring_rows * plan->ring_size);
        return;
    }
#endif
    uint8_t *to[QEIL_BATCH];
    for (size_t r = 0; r < QEIL_BATCH; r++) to[r] = plan->ring + (QEIL_BATCH * batch + r) % plan->ring_rows * plan->ring_size;
    qeil_filter_rows(rows, plan->crop_width, qeil_pixel_stride(plan->format), &plan->x_filter, plan->output.rect_width,
                     plan->widened, plan->sums, to);
}

static void qeil_prepare_filtered(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out) {
    size_t next = (size_t)plan->y_filter.start[0] / QEIL_BATCH; /* the first batch that is not in the ring yet */
    for (size_t y = 0; y < plan->output.rect_height; y++) {
        const size_t start = (size_t)plan->y_filter.start[y], count = (size_t)plan->y_filter.count[y];
        if (next < start / QEIL_BATCH) next = start / QEIL_BATCH;
        for (; next * QEIL_BATCH < start + count; next++) qeil_filter_batch(plan, data, step, next);
#ifdef QEIL_HAS_WIDE
        if (plan->wide)
            qeil_wide_filter_column(&plan->tables, (const uint32_t *)plan->ring, plan->ring_rows, plan->ring_size,
                                    start / QEIL_BATCH % plan->ring_rows, y, plan->sums);
#endif
        if (!plan->wide)
            qeil_filter_column(plan->ring, plan->ring_rows, plan->ring_size, start, count,
                               plan->y_filter.weights + y * (size_t)plan->y_filter.width, plan->sums);
        qeil_write_row(&plan->output, plan->sums, y, out);
    }
}

static void qeil_prepare(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out) {
    for (int k = 0; k < QEIL_BATCH; k++) plan->decoded_row[k] = QEIL_NO_ROW;
    qeil_pad(&plan->output, out);
    if (plan->filtered)
        qeil_prepare_filtered(plan, data, step, out);
    else
        qeil_prepare_pairs(plan, data, step, out);
}

#endif
