/* What every kernel shares: version dispatch, unaligned loads, restrict.
 *
 * QEIL_CLONES compiles a function for several x86-64 levels; the loader picks one at run time. Helpers that such a function calls
 * must be QEIL_INLINE, so that they are compiled for its level too. On Arm the baseline has NEON already. All versions give the
 * same bytes: integer arithmetic, and floating point without contraction (-ffp-contract=off) or reassociation (no -ffast-math). */
#ifndef QEIL_MULTIVERSION_H
#define QEIL_MULTIVERSION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "qeil_ros must not be compiled with -ffast-math: its bytes would depend on the machine"
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "qeil_ros supports little-endian machines only"
#endif

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(QEIL_NO_CLONES)
#if __GNUC__ >= 12
#define QEIL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif __GNUC__ >= 8
#define QEIL_CLONES __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#endif
#endif
#ifndef QEIL_CLONES
#define QEIL_CLONES
#endif

#define QEIL_INLINE static inline __attribute__((always_inline, unused))

QEIL_INLINE uint32_t qeil_bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

QEIL_INLINE float qeil_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Nearest integer, ties to even, of 0 <= value < 2^22: the low bits of value + 2^23. */
QEIL_INLINE uint32_t qeil_round_small(float value) {
    return qeil_bits_of(value + 8388608.0f) & 0x3fffffu;
}

QEIL_INLINE float qeil_clamp(float value, float low, float high) { /* NaN gives low */
    value = value > low ? value : low;
    return value < high ? value : high;
}

#endif
