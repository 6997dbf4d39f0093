#ifndef WN_BASE_SHA256_H
#define WN_BASE_SHA256_H
/* SHA-256 of short texts: keys at rest. */

#include "base/str.h"

#define WN_SHA256_BYTES 32

void wn_sha256(wn_str text, uint8_t out[WN_SHA256_BYTES]);
/* Takes the same time whatever the bytes are. */
bool wn_equal_constant_time(const void *a, const void *b, size_t len);
/* Lower-case digits and a NUL: 2 × len + 1 bytes. */
void wn_hex(const void *bytes, size_t len, char *out);

#endif
