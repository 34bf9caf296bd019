/* Camera image -> the tensor a model takes: decode, crop, resize, normalise, convert, in one pass over the image with a few rows of
 * scratch. What does not change from frame to frame is in the plan. */
#ifndef QEIL_IMAGE_PREPARE_H
#define QEIL_IMAGE_PREPARE_H

#include "half.h"
#include "image_resize.h"
#include "image_rows.h"

enum { QEIL_OUT_FLOAT32, QEIL_OUT_FLOAT16, QEIL_OUT_UINT8, QEIL_OUT_INT8 };

typedef struct {
    int format;
    size_t width, height;                            /* of the image */
    size_t crop_x, crop_y, crop_width, crop_height;  /* what is used of it */
    size_t out_width, out_height;                    /* of the tensor */
    size_t rect_x, rect_y, rect_width, rect_height;  /* where the image goes in it; padding around */
    int channels, interleaved, dtype;                /* 1 or 3; NHWC; QEIL_OUT_* */
    int source[3];                                   /* which of the pixel's bytes is output channel c */
    int red;                                         /* which byte is red; blue is 2 - red */
    float scale[3], shift[3], pad;                   /* out = value * scale + shift, per output channel; pad before that */
    int filtered;                                    /* 0: pairs, 1: filters */
    qeil_pair_taps x_pairs, y_pairs;
    qeil_filter_taps x_filter, y_filter;
    /* scratch */
    uint32_t *decoded[2];  /* rows of (width + 2) pixels */
    size_t decoded_row[2];
    float *blend, *pixels, *line;
    uint8_t *ring;
    int32_t *wide, *sums;
} qeil_plan;

#define QEIL_NO_ROW ((size_t)-1)

/* Row y of the crop, where it lies or decoded; the last two decoded rows are kept. */
QEIL_INLINE const uint8_t *qeil_image_row(qeil_plan *plan, const uint8_t *data, size_t step, size_t y) {
    y += plan->crop_y;
    if (qeil_is_direct(plan->format)) return data + y * step + plan->crop_x * (size_t)qeil_pixel_stride(plan->format);
    const size_t slot = y & 1;
    if (plan->decoded_row[slot] != y) {
        qeil_decode_row(plan->format, data, step, plan->width, plan->height, y, plan->crop_x, plan->crop_width, plan->decoded[slot]);
        plan->decoded_row[slot] = y;
    }
    const int offset = plan->format >= QEIL_BAYER_RGGB ? (int)plan->crop_x
                       : plan->format >= QEIL_UYVY      ? (int)(plan->crop_x & 1)
                                                        : 0;
    return (const uint8_t *)(plan->decoded[slot] + offset);
}

QEIL_INLINE void qeil_store_line(const qeil_plan *plan, const float *line, size_t n, uint8_t *out, size_t at, size_t stride) {
    switch (plan->dtype) {
    case QEIL_OUT_FLOAT32: {
        float *to = (float *)out + at;
        if (stride == 1)
            memcpy(to, line, n * sizeof *line);
        else
            for (size_t j = 0; j < n; j++) to[j * stride] = line[j];
        break;
    }
    case QEIL_OUT_FLOAT16: {
        uint16_t *to = (uint16_t *)out + at;
        for (size_t j = 0; j < n; j++) to[j * stride] = qeil_to_half_saturated(line[j]);
        break;
    }
    default: { /* adding 128 keeps ties even and makes the value not negative */
        const float low = plan->dtype == QEIL_OUT_UINT8 ? 0.0f : -128.0f;
        for (size_t j = 0; j < n; j++)
            out[at + j * stride] = (uint8_t)(qeil_round_small(qeil_clamp(line[j], low, low + 255.0f) + 128.0f) - 128u);
    }
    }
}

/* One row of resized pixels, normalised, into row y of the tensor's rectangle. */
QEIL_CLONES static void qeil_write_row(const qeil_plan *plan, const float *restrict pixels, size_t y, uint8_t *out) {
    const size_t n = plan->rect_width, row = (plan->rect_y + y) * plan->out_width + plan->rect_x;
    const size_t plane = plan->out_width * plan->out_height, channels = (size_t)plan->channels;
    const int grey = qeil_pixel_stride(plan->format) == 1;
    float *restrict line = plan->line;
    for (size_t c = 0; c < channels; c++) {
        const float scale = plan->scale[c], shift = plan->shift[c];
        if (grey) {
            for (size_t j = 0; j < n; j++) line[j] = pixels[j] * scale + shift;
        } else if (channels == 3) {
            const float *from = pixels + plan->source[c];
            for (size_t j = 0; j < n; j++) line[j] = from[4 * j] * scale + shift;
        } else { /* ITU-R BT.601 luma */
            const float *red = pixels + plan->red, *blue = pixels + 2 - plan->red, *green = pixels + 1;
            for (size_t j = 0; j < n; j++)
                line[j] = (red[4 * j] * 0.299f + green[4 * j] * 0.587f + blue[4 * j] * 0.114f) * scale + shift;
        }
        if (plan->interleaved)
            qeil_store_line(plan, line, n, out, row * channels + c, channels);
        else
            qeil_store_line(plan, line, n, out, c * plane + row, 1);
    }
}

static void qeil_pad(const qeil_plan *plan, uint8_t *out) {
    const size_t plane = plan->out_width * plan->out_height, channels = (size_t)plan->channels;
    if (plan->rect_width == plan->out_width && plan->rect_height == plan->out_height) return;
    for (size_t c = 0; c < channels; c++) {
        for (size_t j = 0; j < plan->out_width; j++) plan->line[j] = plan->pad * plan->scale[c] + plan->shift[c];
        for (size_t y = 0; y < plan->out_height; y++)
            if (plan->interleaved)
                qeil_store_line(plan, plan->line, plan->out_width, out, y * plan->out_width * channels + c, channels);
            else
                qeil_store_line(plan, plan->line, plan->out_width, out, c * plane + y * plan->out_width, 1);
    }
}

static void qeil_prepare_pairs(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out) {
    const int stride = qeil_pixel_stride(plan->format);
    for (size_t y = 0; y < plan->rect_height; y++) {
        const uint8_t *top = qeil_image_row(plan, data, step, (size_t)plan->y_pairs.first[y]);
        const uint8_t *bottom = plan->y_pairs.weight[y] == 0.0f
                                    ? top
                                    : qeil_image_row(plan, data, step, (size_t)plan->y_pairs.second[y]);
        qeil_resize_pairs(top, bottom, plan->y_pairs.weight[y], plan->crop_width, stride, plan->x_pairs.first, plan->x_pairs.second,
                          plan->x_pairs.weight, plan->rect_width, plan->blend, plan->pixels);
        qeil_write_row(plan, plan->pixels, y, out);
    }
}

static void qeil_prepare_filtered(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out) {
    const int stride = qeil_pixel_stride(plan->format);
    const size_t ring = (size_t)plan->y_filter.width, size = plan->rect_width * (stride == 1 ? 1 : 4);
    size_t next = (size_t)plan->y_filter.start[0]; /* the first row that is not in the ring yet */
    for (size_t y = 0; y < plan->rect_height; y++) {
        const int32_t start = plan->y_filter.start[y], count = plan->y_filter.count[y];
        if (next < (size_t)start) next = (size_t)start;
        for (; next < (size_t)(start + count); next++)
            qeil_filter_row(qeil_image_row(plan, data, step, next), plan->crop_width, stride, plan->x_filter.start,
                            plan->x_filter.count, plan->x_filter.weights, plan->x_filter.width, plan->rect_width, plan->wide,
                            plan->sums, plan->ring + next % ring * size);
        qeil_filter_column(plan->ring, ring, size, start, count, plan->y_filter.weights + y * ring, plan->sums, plan->pixels);
        qeil_write_row(plan, plan->pixels, y, out);
    }
}

static void qeil_prepare(qeil_plan *plan, const uint8_t *data, size_t step, uint8_t *out) {
    plan->decoded_row[0] = plan->decoded_row[1] = QEIL_NO_ROW;
    qeil_pad(plan, out);
    if (plan->filtered)
        qeil_prepare_filtered(plan, data, step, out);
    else
        qeil_prepare_pairs(plan, data, step, out);
}

#endif
