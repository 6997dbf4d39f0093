/* Filter expressions: whatever parses prints to what parses to the same text again, and its
 * bitmap over a small catalogue agrees with the item-by-item twin, before and after the round
 * trip. */
#include "base/mem.h"
#include "funnel/expr.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ITEMS = 40 };

#define CHECK(what)                                                                                \
  do {                                                                                             \
    if (!(what)) {                                                                                 \
      fprintf(stderr, "%s does not hold\n", #what);                                                \
      abort();                                                                                     \
    }                                                                                              \
  } while (0)

/* Attributes a (string), b (number), c (list), d (bool) and e (any), each missing now and then. */
static void put(wn_catalog *catalog, wn_dict *ids, uint32_t i) {
  static const char *const words[] = {"x", "y", "", "games", "\xC3\xA9"};
  char id[8];
  uint32_t ix;
  bool added;
  wn_str list[2] = {wn_str_of(words[i % 5]), wn_str_of(words[i % 3])};
  wn_attr all[] = {
      {.name = WN_STR("a"), .kind = WN_ATTR_STRING, .string = wn_str_of(words[i % 5])},
      {.name = WN_STR("b"), .kind = WN_ATTR_NUMBER, .number = (double)(i % 7) - 2},
      {.name = WN_STR("c"), .kind = WN_ATTR_LIST, .list = list, .list_len = i % 3},
      {.name = WN_STR("d"), .kind = WN_ATTR_BOOL, .boolean = i % 2 == 0},
      {.name = WN_STR("e"),
       .kind = (wn_attr_kind)(i % 4),
       .boolean = true,
       .number = 1,
       .string = WN_STR("x"),
       .list = list,
       .list_len = 2},
  };
  wn_attr attrs[5];
  size_t len = 0;
  for (uint32_t k = 0; k < 5; k++) {
    if ((i + k) % 6 != 0) attrs[len++] = all[k];
  }
  snprintf(id, sizeof id, "i%u", i);
  CHECK(wn_dict_add(ids, wn_str_of(id), &ix, &added) == WN_OK && ix == i);
  wn_item_record record = {.id = wn_str_of(id),
                           .title = i % 4 == 0 ? (wn_str){0} : wn_str_of(words[i % 5]),
                           .attrs = {attrs, len},
                           .created_ms = (int64_t)(i % 5) * 1000};
  CHECK(wn_catalog_put(catalog, i, &record, NULL) == WN_OK);
}

static const wn_catalog *small_catalog(void) {
  static wn_catalog *catalog;
  static wn_dict *ids;
  if (catalog != NULL) return catalog;
  ids = wn_dict_create();
  catalog = wn_catalog_create(ids);
  CHECK(ids != NULL && catalog != NULL);
  for (uint32_t i = 0; i < ITEMS; i++) put(catalog, ids, i);
  return catalog;
}

static void check_matches(const wn_expr *expr, const wn_expr *back) {
  const wn_catalog *catalog = small_catalog();
  wn_bitset out;
  CHECK(wn_bitset_init(&out, ITEMS));
  CHECK(wn_expr_eval(expr, catalog, &out, NULL) == WN_OK);
  for (uint32_t i = 0; i < ITEMS; i++) {
    CHECK(wn_bitset_test(&out, i) == wn_expr_test(expr, catalog, i));
    CHECK(wn_bitset_test(&out, i) == wn_expr_test(back, catalog, i));
  }
  wn_bitset_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_error err = {0};
  wn_expr *expr = NULL, *back = NULL;
  wn_buf first = {0}, second = {0};
  wn_str text = {(const char *)data, size};
  if (wn_expr_parse(text, "filter", &expr, &err) != WN_OK) {
    CHECK(expr == NULL && err.status == WN_E_ARGUMENT && err.message[0] != '\0');
    CHECK(err.line <= (long)size + 1 && err.column <= (long)size + 1);
    return 0;
  }
  wn_expr_print(expr, &first);
  wn_status status = wn_expr_parse((wn_str){first.data, first.len}, "filter", &back, &err);
  if (status != WN_OK) { /* the canonical form may be longer than a filter may be, nothing else */
    CHECK(first.len > WN_EXPR_BYTES_MAX);
  } else {
    wn_expr_print(back, &second);
    CHECK(wn_str_equal((wn_str){first.data, first.len}, (wn_str){second.data, second.len}));
    check_matches(expr, back);
  }
  wn_buf_clear(&first);
  wn_buf_clear(&second);
  wn_expr_free(expr);
  wn_expr_free(back);
  return 0;
}
