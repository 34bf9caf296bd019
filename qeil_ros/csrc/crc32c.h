/* CRC-32C (Castagnoli): the processor's instruction where there is one, found at run time; else slicing by eight tables.
 *
 * The instruction has a latency of three cycles, so long buffers are cut into three streams whose checksums advance together and
 * are then joined: appending k zero bytes to a message is a linear map of its checksum, kept as four tables of 256 words. */
#ifndef QEIL_CRC32C_H
#define QEIL_CRC32C_H

#include "multiversion.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <nmmintrin.h>
#define QEIL_CRC_X86 1
#elif defined(__aarch64__) && defined(__linux__) && defined(__GNUC__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#define QEIL_CRC_ARM 1
#endif

#define QEIL_CRC_POLYNOMIAL 0x82f63b78u
#define QEIL_CRC_STRIDE 1024 /* bytes of one of the three streams */

static uint32_t qeil_crc_table[8][256];
static uint32_t qeil_crc_skip[4][256]; /* QEIL_CRC_STRIDE zero bytes */

static uint32_t qeil_crc_bytes(uint32_t crc, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) crc = qeil_crc_table[0][(crc ^ data[i]) & 255] ^ (crc >> 8);
    return crc;
}

static uint32_t qeil_crc_portable(uint32_t crc, const uint8_t *data, size_t size) {
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; k++) crc ^= qeil_crc_table[7 - k][(word >> (8 * k)) & 255];
    }
    return qeil_crc_bytes(crc, data, size);
}

static uint32_t qeil_crc_advance(uint32_t crc) {
    return qeil_crc_skip[0][crc & 255] ^ qeil_crc_skip[1][(crc >> 8) & 255] ^ qeil_crc_skip[2][(crc >> 16) & 255] ^
           qeil_crc_skip[3][crc >> 24];
}

#if defined(QEIL_CRC_X86) || defined(QEIL_CRC_ARM)
#ifdef QEIL_CRC_X86
#define QEIL_CRC_TARGET __attribute__((target("sse4.2")))
#define QEIL_CRC_WORD(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#else
#define QEIL_CRC_TARGET __attribute__((target("+crc")))
#define QEIL_CRC_WORD(crc, word) __crc32cd((crc), (word))
#endif

QEIL_CRC_TARGET static uint32_t qeil_crc_instruction(uint32_t crc, const uint8_t *data, size_t size) {
    uint64_t a, b, c;
    for (; size >= 3 * QEIL_CRC_STRIDE; size -= 3 * QEIL_CRC_STRIDE, data += 3 * QEIL_CRC_STRIDE) {
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < QEIL_CRC_STRIDE; i += 8) {
            memcpy(&a, data + i, 8);
            memcpy(&b, data + i + QEIL_CRC_STRIDE, 8);
            memcpy(&c, data + i + 2 * QEIL_CRC_STRIDE, 8);
            crc = QEIL_CRC_WORD(crc, a);
            second = QEIL_CRC_WORD(second, b);
            third = QEIL_CRC_WORD(third, c);
        }
        crc = qeil_crc_advance(qeil_crc_advance(crc) ^ second) ^ third;
    }
    for (; size >= 8; size -= 8, data += 8) {
        memcpy(&a, data, 8);
        crc = QEIL_CRC_WORD(crc, a);
    }
    return qeil_crc_bytes(crc, data, size);
}
#endif

static uint32_t (*qeil_crc_chosen)(uint32_t, const uint8_t *, size_t) = qeil_crc_portable;

/* Call once, before the first checksum. */
static void qeil_crc_init(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int k = 0; k < 8; k++) crc = crc & 1 ? (crc >> 1) ^ QEIL_CRC_POLYNOMIAL : crc >> 1;
        qeil_crc_table[0][i] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++) {
            uint32_t before = qeil_crc_table[k - 1][i];
            qeil_crc_table[k][i] = qeil_crc_table[0][before & 255] ^ (before >> 8);
        }
    static const uint8_t zeros[QEIL_CRC_STRIDE];
    for (int k = 0; k < 4; k++)
        for (uint32_t i = 0; i < 256; i++)
            qeil_crc_skip[k][i] = qeil_crc_portable(i << (8 * k), zeros, QEIL_CRC_STRIDE);
#if defined(QEIL_CRC_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2")) qeil_crc_chosen = qeil_crc_instruction;
#elif defined(QEIL_CRC_ARM)
    if (getauxval(AT_HWCAP) & HWCAP_CRC32) qeil_crc_chosen = qeil_crc_instruction;
#endif
}

static uint32_t qeil_crc32c(uint32_t crc, const uint8_t *data, size_t size) {
    return ~qeil_crc_chosen(~crc, data, size);
}

static uint32_t qeil_crc32c_portable(uint32_t crc, const uint8_t *data, size_t size) {
    return ~qeil_crc_portable(~crc, data, size);
}

#endif
