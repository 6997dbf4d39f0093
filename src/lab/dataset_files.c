/* See dataset_files.h. Negatives are drawn with a seed of each user and test item, so that a
 * user's do not depend on the others; a draw that hits what the user has is made again, at most 20
 * times a place. */
#include "lab/dataset_files.h"

#include "base/mem.h"
#include "base/rng.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TRIES 20

static FILE *open_file(const char *folder, const char *name, wn_error *err) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  if (file == NULL) wn_fail_errno(err, "out", "cannot write %s", path);
  return file;
}

static wn_status close_file(FILE *file, const char *name, wn_error *err) {
  bool good = !ferror(file);
  if (fclose(file) == 0 && good) return WN_OK;
  return wn_fail_errno(err, "out", "cannot write %s", name);
}

static void put_line(FILE *file, uint32_t user, uint32_t item, double weight, int64_t time_ms) {
  fprintf(file, "%" PRIu32 "\t%" PRIu32 "\t%.9g\t%.15g\n", user, item, weight,
          (double)time_ms / 1000);
}

static wn_status write_train(const char *folder, const wn_dataset *data, wn_dataset_written *out,
                             wn_error *err) {
  FILE *file = open_file(folder, "train.tsv", err);
  const wn_csr *m = &data->by_user;
  if (file == NULL) return WN_E_IO;
  for (uint32_t u = 0; u < m->rows; u++)
    for (uint64_t p = m->row_ptr[u]; p < m->row_ptr[u + 1]; p++) {
      if (m->weight[p] <= 0) continue;
      put_line(file, u, m->col[p], (double)m->weight[p], m->time_ms[p]);
      out->train_pairs++;
    }
  return close_file(file, "train.tsv", err);
}

static ptrdiff_t find(const wn_user_items *rows, uint32_t user, uint32_t item) {
  uint64_t begin = rows->ptr[user];
  return wn_ascending_find(rows->item + begin, (size_t)(rows->ptr[user + 1] - begin), item);
}

/* A relevant pair at its last event's time. */
static wn_status write_test(const char *folder, const wn_dataset_files *f, wn_dataset_written *out,
                            wn_error *err) {
  const wn_split *s = f->split;
  int64_t *last = wn_calloc((size_t)s->test.ptr[s->users] + 1, sizeof *last);
  if (last == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < f->test.len; i++) {
    const wn_event *e = &f->test.data[i];
    ptrdiff_t at = find(&s->test, e->user, e->item);
    if (at < 0) continue;
    int64_t *time = &last[s->test.ptr[e->user] + (uint64_t)at];
    if (e->time_ms > *time) *time = e->time_ms;
  }
  FILE *file = open_file(folder, "test.tsv", err);
  for (uint32_t u = 0; file != NULL && u < s->users; u++)
    for (uint64_t p = s->test.ptr[u]; p < s->test.ptr[u + 1]; p++) {
      put_line(file, u, s->test.item[p], (double)s->test.weight[p], last[p]);
      out->test_pairs++;
    }
  wn_free(last);
  return file != NULL ? close_file(file, "test.tsv", err) : WN_E_IO;
}

static bool is_free(const wn_split *s, uint32_t user, uint32_t item, const uint32_t *had,
                    size_t n) {
  for (size_t i = 0; i < n; i++)
    if (had[i] == item) return false;
  return find(&s->seen, user, item) < 0 && find(&s->test, user, item) < 0;
}

/* Draws up to files->negatives_len items into `out`. */
static size_t draw(const wn_dataset_files *f, uint32_t user, uint32_t test_item, uint32_t *out) {
  const wn_split *s = f->split;
  size_t n = 0;
  wn_rng rng;
  wn_rng_seed(&rng, wn_mix64(f->seed ^ wn_mix64(user)) ^ test_item);
  if (f->negatives == WN_NEGATIVES_SHOWN) {
    for (uint64_t p = f->shown->ptr[user]; p < f->shown->ptr[user + 1] && n < f->negatives_len; p++)
      if (is_free(s, user, f->shown->item[p], out, n)) out[n++] = f->shown->item[p];
    return n;
  }
  for (size_t tries = 0; n < f->negatives_len && tries < TRIES * (size_t)f->negatives_len;
       tries++) {
    uint32_t item = f->negatives == WN_NEGATIVES_UNIFORM
                        ? (uint32_t)wn_rng_below(&rng, s->items)
                        : s->train[wn_rng_below(&rng, s->train_len)].item;
    if (is_free(s, user, item, out, n)) out[n++] = item;
  }
  return n;
}

static wn_status write_negatives(const char *folder, const wn_dataset_files *f,
                                 wn_dataset_written *out, wn_error *err) {
  const wn_split *s = f->split;
  uint32_t *items = wn_reallocarray(NULL, (size_t)f->negatives_len + 1, sizeof *items);
  FILE *file = items != NULL ? open_file(folder, "negatives.txt", err) : NULL;
  if (items == NULL) return wn_fail_memory(err);
  for (uint32_t u = 0; file != NULL && u < s->users; u++)
    for (uint64_t p = s->test.ptr[u]; p < s->test.ptr[u + 1]; p++) {
      size_t n = draw(f, u, s->test.item[p], items);
      out->users_without_negatives += n == 0 && p == s->test.ptr[u];
      if (n == 0) continue;
      fprintf(file, "(%" PRIu32 ",%" PRIu32 ")", u, s->test.item[p]);
      for (size_t i = 0; i < n; i++) fprintf(file, "\t%" PRIu32, items[i]);
      fputc('\n', file);
      out->negative_lines++;
    }
  wn_free(items);
  return file != NULL ? close_file(file, "negatives.txt", err) : WN_E_IO;
}

static wn_status write_names(const char *folder, const char *name, const wn_dict *ids,
                             uint32_t count, wn_error *err) {
  FILE *file = open_file(folder, name, err);
  if (file == NULL) return WN_E_IO;
  for (uint32_t i = 0; i < count; i++) {
    wn_str id = wn_dict_key(ids, i);
    fprintf(file, "%" PRIu32 "\t%.*s\n", i, (int)id.len, id.ptr != NULL ? id.ptr : "");
  }
  return close_file(file, name, err);
}

wn_status wn_dataset_files_write(const char *folder, const wn_dataset_files *f,
                                 wn_dataset_written *out, wn_error *err) {
  wn_status status;
  memset(out, 0, sizeof *out);
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    return wn_fail_errno(err, "out", "cannot make the folder %s", folder);
  WN_TRY(write_train(folder, f->dataset, out, err));
  WN_TRY(write_test(folder, f, out, err));
  if (f->negatives != WN_NEGATIVES_NONE) WN_TRY(write_negatives(folder, f, out, err));
  if (f->users != NULL) WN_TRY(write_names(folder, "users.tsv", f->users, f->split->users, err));
  if (f->items != NULL) WN_TRY(write_names(folder, "items.tsv", f->items, f->split->items, err));
cleanup:
  return status;
}
