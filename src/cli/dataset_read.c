#include "cli/dataset_read.h"

#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

wn_status wn_dataset_read_feature(const char *path, const wn_dict *ids, uint32_t len, double *value,
                                  wn_error *err) {
  wn_input *input = NULL;
  wn_status status;
  WN_TRY(wn_input_open(path, &input, err));
  for (long number = 1;; number++) {
    wn_str line;
    int64_t ix = -1;
    double x;
    WN_TRY(wn_input_line(input, &line, err));
    if (line.ptr == NULL) break;
    if (wn_str_trim(line).len == 0) continue;
    size_t cut = line.len;
    while (cut > 0 && line.ptr[cut - 1] != '\t' && line.ptr[cut - 1] != ' ') cut--;
    wn_str id = wn_str_trim((wn_str){line.ptr, cut}), text = {line.ptr + cut, line.len - cut};
    bool good = id.len > 0 && wn_parse_double(text, &x);
    if (good && ids == NULL) good = wn_parse_int64(id, &ix) && ix >= 0;
    if (!good) {
      wn_fail(err, WN_E_FORMAT, "feature", "expected `id value`");
      status = wn_error_at(err, path, number, 0);
      goto cleanup;
    }
    if (ids != NULL) ix = wn_dict_find(ids, id);
    if (ix < len) value[ix] = x;
  }
cleanup:
  wn_input_close(input);
  return status;
}

typedef struct shown_pair {
  uint32_t user, item;
} shown_pair;
typedef struct shown_list {
  WN_VEC(shown_pair) pairs;
  uint32_t users, items;
} shown_list;

static wn_status add_slate(void *ctx, const wn_slate_log *slate, wn_error *err) {
  shown_list *list = ctx;
  for (size_t i = 0; slate->user < list->users && i < slate->len; i++)
    if (slate->items[i] < list->items &&
        !wn_vec_push(&list->pairs, ((shown_pair){slate->user, slate->items[i]})))
      return wn_fail_memory(err);
  return WN_OK;
}

static int by_pair(const void *a, const void *b) {
  const shown_pair *x = a, *y = b;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

wn_status wn_dataset_read_shown(wn_store *store, const wn_split *split, wn_user_items *out,
                                wn_error *err) {
  shown_list list = {.users = split->users, .items = split->items};
  wn_status status;
  if (store == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "negatives", "shown needs --data: impressions are there");
  WN_TRY(wn_store_scan_slates(store, 0, false, add_slate, &list, err));
  if (list.pairs.len == 0)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "negatives", "shown: the log has no impressions"));
  out->ptr = wn_calloc((size_t)list.users + 1, sizeof *out->ptr);
  out->item = wn_reallocarray(NULL, list.pairs.len + 1, sizeof *out->item);
  if (out->ptr == NULL || out->item == NULL) WN_TRY(wn_fail_memory(err));
  qsort(list.pairs.data, list.pairs.len, sizeof(shown_pair), by_pair);
  for (size_t i = 0; i < list.pairs.len; i++) {
    out->item[i] = list.pairs.data[i].item;
    out->ptr[list.pairs.data[i].user + 1]++;
  }
  for (uint32_t u = 0; u < list.users; u++) out->ptr[u + 1] += out->ptr[u];
cleanup:
  wn_vec_clear(&list.pairs);
  return status;
}
