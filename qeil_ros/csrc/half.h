/* IEEE binary16 <-> binary32 with integer operations only, so that every compiler vectorises it and every machine agrees. */
#ifndef QEIL_HALF_H
#define QEIL_HALF_H

#include "multiversion.h"

QEIL_INLINE float qeil_from_half(uint16_t half) {
    uint32_t magnitude = half & 0x7fffu;
    uint32_t normal = (magnitude << 13) + (112u << 23);
    uint32_t special = (magnitude << 13) | 0x7f800000u;
    /* a subnormal is magnitude * 2^-24: 0.5 + magnitude * 2^-24 is exact, and so is taking 0.5 away again */
    uint32_t subnormal = qeil_bits_of(qeil_float_of(0x3f000000u | magnitude) - 0.5f);
    uint32_t bits = magnitude < 0x0400u ? subnormal : normal;
    bits = magnitude >= 0x7c00u ? special : bits;
    return qeil_float_of(bits | ((uint32_t)(half & 0x8000u) << 16));
}

/* Round to nearest, ties to even; magnitudes that would round past 65504 saturate there. The value is finite. */
QEIL_INLINE uint16_t qeil_to_half_saturated(float value) {
    uint32_t bits = qeil_bits_of(value);
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t limited = magnitude > 0x477fe000u ? 0x477fe000u : magnitude;
    uint32_t normal = (limited - (112u << 23) + 0x0fffu + ((limited >> 13) & 1u)) >> 13;
    /* below 2^-14 the half is a multiple of 2^-24: adding 0.5 rounds to just that */
    uint32_t subnormal = qeil_bits_of(qeil_float_of(limited) + 0.5f) - 0x3f000000u;
    uint32_t half = limited < 0x38800000u ? subnormal : normal;
    return (uint16_t)(half | ((bits >> 16) & 0x8000u));
}

#endif
