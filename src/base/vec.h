#ifndef WN_BASE_VEC_H
#define WN_BASE_VEC_H
/* Growable arrays: WN_VEC(float) scores = {0}; if (!wn_vec_push(&scores, 1.0f)) … */

#include "base/mem.h"
#include <stdbool.h>
#include <string.h>

#define WN_VEC(T)                                                                                  \
  struct {                                                                                         \
    T *data;                                                                                       \
    size_t len;                                                                                    \
    size_t cap;                                                                                    \
  }

/* Makes room for `need` elements of `size` bytes; doubles. False on failure, contents kept. */
bool wn_vec_reserve_raw(void **data, size_t *cap, size_t need, size_t size);

#define wn_vec_reserve(v, need)                                                                    \
  ((need) <= (v)->cap ||                                                                           \
   wn_vec_reserve_raw((void **)&(v)->data, &(v)->cap, (need), sizeof *(v)->data))
#define wn_vec_push(v, x)                                                                          \
  (wn_vec_reserve((v), (v)->len + 1) ? ((v)->data[(v)->len++] = (x), true) : false)
#define wn_vec_clear(v) (wn_free((v)->data), (v)->data = NULL, (v)->len = (v)->cap = 0)

#endif
