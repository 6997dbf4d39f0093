#include "base/vec.h"

#include <stdint.h>

bool wn_vec_reserve_raw(void **data, size_t *cap, size_t need, size_t size) {
  if (need <= *cap) return true;
  size_t grown = *cap < 8 ? 8 : *cap > SIZE_MAX / 2 ? need : *cap * 2;
  if (grown < need) grown = need;
  /* The caller's pointer is a T *, not a void *: memcpy is the access that may alias it. */
  void *old;
  memcpy(&old, (const void *)data, sizeof old);
  void *moved = wn_reallocarray(old, grown, size);
  if (moved == NULL) return false;
  memcpy((void *)data, &moved, sizeof moved);
  *cap = grown;
  return true;
}
