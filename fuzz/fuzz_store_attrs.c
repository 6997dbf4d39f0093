/* The store's quick reader of its own attribute form beside the general one: what the quick one
 * accepts, the general one must accept and read alike. */
#include "store/backend.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_attr(const wn_attr *a, const wn_attr *b) {
  bool same = a->kind == b->kind && a->boolean == b->boolean && a->list_len == b->list_len &&
              memcmp(&a->number, &b->number, sizeof a->number) == 0 &&
              wn_str_equal(a->string, b->string);
  for (size_t i = 0; same && i < a->list_len; i++) same = wn_str_equal(a->list[i], b->list[i]);
  return same;
}

static const wn_attr *find(const wn_attrs *attrs, wn_str name) {
  for (size_t i = 0; i < attrs->len; i++) {
    if (wn_str_equal(attrs->data[i].name, name)) return &attrs->data[i];
  }
  return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_arena arena;
  wn_attrs quick, general;
  wn_error err;
  wn_str json = {(const char *)data, size};
  wn_arena_init(&arena, (size_t)64 << 20);
  if (size > 0 && wn_attrs_from_canonical(json, &arena, &quick)) {
    if (wn_attrs_from_json(json, &arena, &general, &err) != WN_OK) abort();
    if (quick.len != general.len) abort();
    for (size_t i = 0; i < quick.len; i++) {
      const wn_attr *other = find(&general, quick.data[i].name);
      if (other == NULL || !same_attr(&quick.data[i], other)) abort();
    }
  }
  wn_arena_clear(&arena);
  return 0;
}
