/* A counter-based generator: the draw of element i depends on the seed and i alone, so neither order nor vector width matters. */
#ifndef QEIL_RANDOM_H
#define QEIL_RANDOM_H

#include "multiversion.h"

typedef struct {
    uint32_t first, second;
} qeil_key;

/* A seed of 64 bits, mixed (SplitMix64's finaliser) so that neighbouring seeds give unrelated draws. */
static qeil_key qeil_key_of(uint64_t seed) {
    seed += 0x9e3779b97f4a7c15u;
    seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9u;
    seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebu;
    seed ^= seed >> 31;
    return (qeil_key){(uint32_t)seed, (uint32_t)(seed >> 32)};
}

/* 32 uniform bits: a bijective mix of the index (xor-shifts and multiplications modulo 2^32), keyed before and within. */
QEIL_INLINE uint32_t qeil_random(qeil_key key, uint32_t index) {
    uint32_t z = index ^ key.first;
    z = (z ^ (z >> 16)) * 0x7feb352du;
    z = (z ^ (z >> 15)) + key.second;
    z = (z ^ (z >> 13)) * 0x846ca68bu;
    return z ^ (z >> 16);
}

#endif
