#ifndef WN_BASE_RNG_H
#define WN_BASE_RNG_H
/* xoshiro256** (Blackman and Vigna 2018) seeded by splitmix64: fast, small, reproducible. */

#include <stdint.h>

typedef struct wn_rng {
  uint64_t s[4];
} wn_rng;

void wn_rng_seed(wn_rng *rng, uint64_t seed);
uint64_t wn_rng_next(wn_rng *rng);
uint64_t wn_rng_below(wn_rng *rng, uint64_t n); /* uniform in 0 … n−1, unbiased; n ≥ 1 */
double wn_rng_double(wn_rng *rng);              /* [0, 1) */
double wn_rng_normal(wn_rng *rng);              /* mean 0, deviation 1 */
uint64_t wn_mix64(uint64_t x);                  /* splitmix64's finaliser: stateless hash */

#endif
