/* Attributes from JSON, to JSON and back: what was read is what was written. */
#include "base/mem.h"
#include "base/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "fuzz_base_attrs: %s\n", what);
  abort();
}

static bool attr_equal(const wn_attr *a, const wn_attr *b) {
  if (a->kind != b->kind || !wn_str_equal(a->name, b->name)) return false;
  switch (a->kind) {
  case WN_ATTR_BOOL: return a->boolean == b->boolean;
  case WN_ATTR_NUMBER: return memcmp(&a->number, &b->number, sizeof a->number) == 0;
  case WN_ATTR_STRING: return wn_str_equal(a->string, b->string);
  case WN_ATTR_LIST: break;
  }
  if (a->list_len != b->list_len) return false;
  for (size_t i = 0; i < a->list_len; i++) {
    if (!wn_str_equal(a->list[i], b->list[i])) return false;
  }
  return true;
}

/* Names are C strings here: a JSON key cannot hold NUL. */
static const wn_attr *find(const wn_attrs *attrs, wn_str name) {
  for (size_t i = 0; i < attrs->len; i++) {
    if (wn_str_equal(attrs->data[i].name, name)) return &attrs->data[i];
  }
  return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_arena arena;
  wn_attrs first, second;
  wn_buf once = {0}, twice = {0};
  wn_error err;
  wn_arena_init(&arena, 64 << 20);
  wn_str text = {(const char *)data, size};
  if (wn_attrs_from_json(text, &arena, &first, &err) == WN_OK) {
    wn_attrs_to_json(&first, &once);
    require(!once.failed, "to_json failed");
    wn_status status = wn_attrs_from_json((wn_str){once.data, once.len}, &arena, &second, &err);
    require(status == WN_OK, "what to_json wrote was refused");
    require(first.len == second.len, "another number of attributes");
    for (size_t i = 0; i < first.len; i++) {
      const wn_attr *other = find(&second, first.data[i].name);
      require(other != NULL && attr_equal(&first.data[i], other), "an attribute changed");
    }
    wn_attrs_to_json(&second, &twice);
    require(wn_str_equal((wn_str){once.data, once.len}, (wn_str){twice.data, twice.len}),
            "to_json is not canonical");
    wn_item_record item = {.id = WN_STR("i"), .attrs = first};
    (void)!wn_item_check(&item, &err);
  } else {
    require(err.message[0] != '\0' && wn_utf8_valid(wn_str_of(err.message)), "a bad message");
  }
  wn_buf_clear(&once);
  wn_buf_clear(&twice);
  wn_arena_clear(&arena);
  return 0;
}
