/* xoshiro256** 1.0 and splitmix64: Blackman and Vigna, "Scrambled linear pseudorandom number
 * generators" (2018). Bounded integers: Lemire, "Fast random integer generation in an interval"
 * (2019). Normal: Marsaglia's polar method (1964); the second value of the pair is dropped, so
 * that the state is the four words and nothing else. */
#include "base/rng.h"

#include <math.h>

__extension__ typedef unsigned __int128 uint128;

uint64_t wn_mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return x ^ (x >> 31);
}

void wn_rng_seed(wn_rng *rng, uint64_t seed) {
  for (int i = 0; i < 4; i++) {
    seed += UINT64_C(0x9E3779B97F4A7C15);
    rng->s[i] = wn_mix64(seed);
  }
}

static uint64_t rotate(uint64_t x, int k) {
  return x << k | x >> (64 - k);
}

uint64_t wn_rng_next(wn_rng *rng) {
  uint64_t *s = rng->s;
  uint64_t result = rotate(s[1] * 5, 7) * 9;
  uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

uint64_t wn_rng_below(wn_rng *rng, uint64_t n) {
  uint128 product = (uint128)wn_rng_next(rng) * n;
  if ((uint64_t)product < n) {
    uint64_t biased = (0 - n) % n; /* 2^64 mod n */
    while ((uint64_t)product < biased) product = (uint128)wn_rng_next(rng) * n;
  }
  return (uint64_t)(product >> 64);
}

double wn_rng_double(wn_rng *rng) {
  return (double)(wn_rng_next(rng) >> 11) * 0x1.0p-53;
}

double wn_rng_normal(wn_rng *rng) {
  double u, v, s;
  do {
    u = 2 * wn_rng_double(rng) - 1;
    v = 2 * wn_rng_double(rng) - 1;
    s = u * u + v * v;
  } while (s >= 1 || s == 0);
  return u * sqrt(-2 * log(s) / s);
}
