#ifndef WN_BASE_HALF_H
#define WN_BASE_HALF_H
/* IEEE 754 binary16 as it lies in files. */

#include <stdint.h>
#include <string.h>

/* Exact, infinities and NaN included. A subnormal's bits count units of 2^−24. */
static inline float wn_half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u,
           mantissa = half & 0x3ffu, bits;
  if (exponent == 0) {
    float small = (float)mantissa * 0x1p-24f;
    return sign != 0 ? -small : small;
  }
  bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  float out;
  memcpy(&out, &bits, sizeof out);
  return out;
}

#endif
