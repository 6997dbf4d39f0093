/* See run_file.h. Memory: 24 bytes a line while reading. */
#include "lab/run_file.h"

#include "base/dict.h"
#include "base/mem.h"
#include "base/vec.h"
#include "data/reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
  uint32_t user, item;
  uint32_t id; /* number in `ids`, for the order of equal scores */
  uint32_t line;
  double score;
} entry;

typedef struct reading {
  const char *path;
  const wn_dict *users, *items;
  const wn_split *split;
  wn_dict *ids; /* items as the file names them */
  wn_dict *unknown_users;
  WN_VEC(entry) entries;
  size_t columns; /* of the first line: 2, 3 or 6 */
  long line;
} reading;

static wn_status bad(const reading *r, const char *field, const char *expected, wn_error *err) {
  wn_fail(err, WN_E_FORMAT, field, "expected %s", expected);
  return wn_error_at(err, r->path, r->line, 0);
}

static size_t split_words(wn_str line, wn_str *words, size_t most) {
  bool tabs = memchr(line.ptr, '\t', line.len) != NULL;
  size_t n = 0, i = 0;
  while (i < line.len) {
    while (i < line.len && (line.ptr[i] == '\t' || (!tabs && line.ptr[i] == ' '))) i++;
    size_t begin = i;
    while (i < line.len && line.ptr[i] != '\t' && (tabs || line.ptr[i] != ' ')) i++;
    if (i > begin && n < most) words[n] = (wn_str){line.ptr + begin, i - begin};
    n += i > begin;
  }
  return n;
}

/* A number below 2^31, or an id of the dictionary; WN_NO_IX when the data lack it. */
static wn_status find(const reading *r, const wn_dict *ids, wn_str word, const char *field,
                      uint32_t *ix, wn_error *err) {
  int64_t number;
  if (ids != NULL) {
    *ix = wn_dict_find(ids, word);
    return WN_OK;
  }
  if (!wn_parse_int64(word, &number) || number < 0 || number > INT32_MAX)
    return bad(r, field, "a whole number below 2^31, as in the other files", err);
  *ix = (uint32_t)number;
  return WN_OK;
}

static wn_status add(reading *r, wn_str user, wn_str item, double score, wn_error *err) {
  entry e = {.score = score, .line = (uint32_t)r->line};
  bool added;
  wn_status status;
  WN_TRY(find(r, r->users, user, "user", &e.user, err));
  WN_TRY(find(r, r->items, item, "item", &e.item, err));
  if (wn_dict_add(r->ids, item, &e.id, &added) != WN_OK) WN_TRY(wn_fail_memory(err));
  if (e.user >= r->split->users) {
    uint32_t ix;
    return wn_dict_add(r->unknown_users, user, &ix, &added) == WN_OK ? WN_OK : wn_fail_memory(err);
  }
  if (e.item >= r->split->items) e.item = WN_NO_IX - 1 - e.id; /* beyond any catalogue, distinct */
  if (!wn_vec_push(&r->entries, e)) WN_TRY(wn_fail_memory(err));
cleanup:
  return status;
}

static wn_status take_line(reading *r, wn_str line, wn_run_file *out, wn_error *err) {
  wn_str w[6];
  double score = NAN;
  size_t n = split_words(line, w, 6);
  if (r->columns == 0 && (n == 2 || n == 3 || n == 6)) {
    r->columns = n;
    if (n == 6)
      snprintf(out->name, sizeof out->name, "%.*s", (int)(w[5].len > 63 ? 63 : w[5].len), w[5].ptr);
  }
  if (r->columns == 0 || n != r->columns)
    return bad(r, "",
               "`user item`, `user item score` or `user Q0 item rank score tag`, the same on every "
               "line",
               err);
  if (n > 2 && (!wn_parse_double(w[n == 6 ? 4 : 2], &score) || !isfinite(score)))
    return bad(r, "score", "a finite number", err);
  return add(r, w[0], w[n == 6 ? 2 : 1], score, err);
}

static int best_first(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  if (!isnan(x->score) && x->score != y->score) return x->score > y->score ? -1 : 1;
  if (!isnan(x->score) && x->id != y->id) return x->id < y->id ? -1 : 1;
  return (x->line > y->line) - (x->line < y->line);
}

typedef struct named {
  wn_str name;
  uint32_t id;
} named;

static int by_name_descending(const void *a, const void *b) {
  wn_str x = ((const named *)a)->name, y = ((const named *)b)->name;
  int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
  return order != 0 ? -order : (x.len < y.len) - (x.len > y.len);
}

/* Ids become their places in descending order of the names. */
static wn_status rank_ids(reading *r, wn_error *err) {
  uint32_t count = wn_dict_count(r->ids);
  named *order = wn_reallocarray(NULL, (size_t)count + 1, sizeof *order);
  uint32_t *place = wn_reallocarray(NULL, (size_t)count + 1, sizeof *place);
  if (order != NULL && place != NULL) {
    for (uint32_t i = 0; i < count; i++) order[i] = (named){wn_dict_key(r->ids, i), i};
    qsort(order, count, sizeof *order, by_name_descending);
    for (uint32_t i = 0; i < count; i++) place[order[i].id] = i;
    for (size_t i = 0; i < r->entries.len; i++)
      r->entries.data[i].id = place[r->entries.data[i].id];
  }
  bool done = order != NULL && place != NULL;
  wn_free(order);
  wn_free(place);
  return done ? WN_OK : wn_fail_memory(err);
}

static int by_user_item(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  if (x->item != y->item) return x->item < y->item ? -1 : 1;
  return (x->line > y->line) - (x->line < y->line);
}

/* The first line of each pair stays. */
static uint64_t drop_repeated(reading *r) {
  size_t n = 0;
  qsort(r->entries.data, r->entries.len, sizeof(entry), by_user_item);
  for (size_t i = 0; i < r->entries.len; i++) {
    const entry *e = &r->entries.data[i];
    if (n > 0 && r->entries.data[n - 1].user == e->user && r->entries.data[n - 1].item == e->item)
      continue;
    r->entries.data[n++] = *e;
  }
  uint64_t dropped = r->entries.len - n;
  r->entries.len = n;
  return dropped;
}

static wn_status fill(reading *r, wn_run_file *out, wn_error *err) {
  wn_user_items *lists = &out->given.lists;
  size_t n;
  out->repeated = r->entries.len > 0 ? drop_repeated(r) : 0;
  n = r->entries.len;
  wn_status status = rank_ids(r, err);
  if (status != WN_OK) return status;
  if (n > 0) qsort(r->entries.data, n, sizeof(entry), best_first);
  out->given.users = r->split->users;
  lists->ptr = wn_calloc((size_t)r->split->users + 1, sizeof *lists->ptr);
  lists->item = wn_reallocarray(NULL, n + 1, sizeof *lists->item);
  if (r->columns > 2) lists->weight = wn_reallocarray(NULL, n + 1, sizeof *lists->weight);
  if (lists->ptr == NULL || lists->item == NULL || (r->columns > 2 && lists->weight == NULL))
    return wn_fail_memory(err);
  for (size_t i = 0; i < n; i++) {
    const entry *e = &r->entries.data[i];
    bool same_user = i > 0 && e[-1].user == e->user;
    lists->ptr[e->user + 1]++;
    lists->item[i] = e->item;
    out->items_unknown += e->item >= r->split->items;
    if (lists->weight != NULL)
      lists->weight[i] = !same_user                ? 0
                         : e[-1].score == e->score ? lists->weight[i - 1]
                                                   : lists->weight[i - 1] - 1;
  }
  for (uint32_t u = 0; u < r->split->users; u++) lists->ptr[u + 1] += lists->ptr[u];
  return WN_OK;
}

wn_status wn_run_file_read(const char *path, const wn_dict *users, const wn_dict *items,
                           const wn_split *split, wn_run_file *out, wn_error *err) {
  reading r = {.path = path, .users = users, .items = items, .split = split};
  const char *slash = strrchr(path, '/');
  wn_input *input = NULL;
  wn_status status;
  memset(out, 0, sizeof *out);
  snprintf(out->name, sizeof out->name, "%s", slash != NULL ? slash + 1 : path);
  r.ids = wn_dict_create();
  r.unknown_users = wn_dict_create();
  if (r.ids == NULL || r.unknown_users == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_input_open(path, &input, err));
  for (;;) {
    wn_str line;
    r.line++;
    WN_TRY(wn_input_line(input, &line, err));
    if (line.ptr == NULL) break;
    if (wn_str_trim(line).len == 0) continue;
    out->lines++;
    WN_TRY(take_line(&r, line, out, err));
  }
  if (out->lines == 0) WN_TRY(wn_fail(err, WN_E_FORMAT, "run", "%s has no recommendations", path));
  out->users_unknown = wn_dict_count(r.unknown_users);
  WN_TRY(fill(&r, out, err));
  out->given.name = out->name;
cleanup:
  wn_input_close(input);
  wn_dict_free(r.ids);
  wn_dict_free(r.unknown_users);
  wn_vec_clear(&r.entries);
  if (status != WN_OK) wn_run_file_clear(out);
  return status;
}

void wn_run_file_clear(wn_run_file *run) {
  wn_free(run->given.lists.ptr);
  wn_free(run->given.lists.item);
  wn_free(run->given.lists.weight);
  memset(run, 0, sizeof *run);
}
