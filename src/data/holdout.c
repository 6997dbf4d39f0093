/* Holding out. Who is drawn and what is taken are hashes of the seed with user and item, so the
 * same seed gives the same part whatever else the data hold and in whatever order they came.
 *
 * Cost: O(interactions + users log users); memory: a second copy of the interactions. */

#include "data/holdout.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_SHARE 5 /* one item in so many */

typedef struct draw {
  uint64_t key;
  uint32_t ix;
} draw;

static int by_key(const void *left, const void *right) {
  const draw *a = left, *b = right;
  if (a->key != b->key) return a->key < b->key ? -1 : 1;
  return (a->ix > b->ix) - (a->ix < b->ix);
}

static int by_ix(const void *left, const void *right) {
  const draw *a = left, *b = right;
  return (a->ix > b->ix) - (a->ix < b->ix);
}

/* Of one row: its positive entries, and how many of the last of them share one time. */
typedef struct row {
  size_t positive, newest;
} row;

static row row_of(const wn_csr *m, uint32_t user) {
  row r = {0, 0};
  int64_t last = 0;
  for (uint64_t p = m->row_ptr[user + 1]; p-- > m->row_ptr[user];) {
    if (!(m->weight[p] > 0)) continue;
    if (r.positive == 0) last = m->time_ms[p];
    r.newest += m->time_ms[p] == last;
    r.positive++;
  }
  return r;
}

static size_t targets_of(row r, uint32_t most) {
  size_t n = r.newest / GROUP_SHARE;
  if (n > most) n = most;
  if (n < 1) n = 1;
  return n < r.positive ? n : r.positive - 1;
}

/* The least keys of `all`, which it frees. */
static wn_status take_users(draw *all, size_t n, const wn_holdout_options *o, wn_holdout *out,
                            wn_error *err) {
  if (o->users_max > 0 && n > o->users_max) {
    qsort(all, n, sizeof *all, by_key);
    n = o->users_max;
    qsort(all, n, sizeof *all, by_ix);
  }
  out->user = wn_reallocarray(NULL, n + 1, sizeof *out->user);
  out->ptr = wn_calloc(n + 1, sizeof *out->ptr);
  for (size_t i = 0; out->user != NULL && i < n; i++) out->user[i] = all[i].ix;
  out->len = n;
  wn_free(all);
  return out->user != NULL && out->ptr != NULL ? WN_OK : wn_fail_memory(err);
}

static wn_status choose_users(const wn_csr *m, const wn_holdout_options *o, wn_holdout *out,
                              wn_error *err) {
  draw *all = wn_reallocarray(NULL, (size_t)m->rows + 1, sizeof *all);
  size_t n = 0;
  if (all == NULL) return wn_fail_memory(err);
  for (uint32_t u = 0; u < m->rows; u++) {
    if (row_of(m, u).positive < 2) continue;
    all[n++] = (draw){wn_mix64(o->seed ^ wn_mix64(u)), u};
  }
  return take_users(all, n, o, out, err);
}

/* The newest entries with the least keys. `scratch` has room for the longest row. */
static void choose_targets(const wn_csr *m, const wn_holdout_options *o, size_t at, draw *scratch,
                           wn_holdout *out) {
  uint32_t user = out->user[at];
  row r = row_of(m, user);
  size_t n = 0, take = targets_of(r, o->targets_max);
  for (uint64_t p = m->row_ptr[user + 1]; n < r.newest; p--) {
    if (!(m->weight[p - 1] > 0)) continue;
    uint32_t item = m->col[p - 1];
    scratch[n++] = (draw){wn_mix64(o->seed ^ wn_mix64((uint64_t)user << 32 | item)), item};
  }
  qsort(scratch, n, sizeof *scratch, by_key);
  qsort(scratch, take, sizeof *scratch, by_ix);
  for (size_t i = 0; i < take; i++) out->target[out->ptr[at] + i] = scratch[i].ix;
  out->ptr[at + 1] = out->ptr[at] + take;
}

static wn_status choose_all_targets(const wn_csr *m, const wn_holdout_options *o, wn_holdout *out,
                                    wn_error *err) {
  size_t most = 1, total = 1;
  for (size_t i = 0; i < out->len; i++) {
    row r = row_of(m, out->user[i]);
    if (r.newest > most) most = r.newest;
    total += targets_of(r, o->targets_max);
  }
  draw *scratch = wn_reallocarray(NULL, most, sizeof *scratch);
  out->target = wn_reallocarray(NULL, total, sizeof *out->target);
  if (scratch == NULL || out->target == NULL) {
    wn_free(scratch);
    return wn_fail_memory(err);
  }
  for (size_t i = 0; i < out->len; i++) choose_targets(m, o, i, scratch, out);
  wn_free(scratch);
  return WN_OK;
}

static bool is_target(const wn_holdout *h, size_t at, uint32_t item) {
  for (uint64_t i = h->ptr[at]; i < h->ptr[at + 1]; i++)
    if (h->target[i] == item) return true;
  return false;
}

/* An empty copy of `from`'s sizes with room for all of its entries. */
static wn_status make_room(const wn_csr *from, wn_csr *to, wn_error *err) {
  *to = (wn_csr){.rows = from->rows, .cols = from->cols};
  to->row_ptr = wn_calloc((size_t)from->rows + 1, sizeof *to->row_ptr);
  to->col = wn_reallocarray(NULL, (size_t)from->nnz + 1, sizeof *to->col);
  to->weight = wn_reallocarray(NULL, (size_t)from->nnz + 1, sizeof *to->weight);
  to->time_ms = wn_reallocarray(NULL, (size_t)from->nnz + 1, sizeof *to->time_ms);
  to->type = from->type != NULL ? wn_malloc((size_t)from->nnz + 1) : NULL;
  return to->row_ptr != NULL && to->col != NULL && to->weight != NULL && to->time_ms != NULL &&
                 (from->type == NULL || to->type != NULL)
             ? WN_OK
             : wn_fail_memory(err);
}

static void copy_entry(const wn_csr *from, uint64_t at, wn_csr *to) {
  to->col[to->nnz] = from->col[at];
  to->weight[to->nnz] = from->weight[at];
  if (to->type != NULL) to->type[to->nnz] = from->type[at];
  to->time_ms[to->nnz++] = from->time_ms[at];
}

static wn_status copy_rest(const wn_csr *from, wn_holdout *h, wn_error *err) {
  wn_csr *to = &h->rest.by_user;
  wn_status status = make_room(from, to, err);
  if (status != WN_OK) return status;
  size_t at = 0; /* the next of the drawn users */
  for (uint32_t u = 0; u < from->rows; u++) {
    bool drawn = at < h->len && h->user[at] == u;
    for (uint64_t p = from->row_ptr[u]; p < from->row_ptr[u + 1]; p++)
      if (!drawn || !is_target(h, at, from->col[p])) copy_entry(from, p, to);
    to->row_ptr[u + 1] = to->nnz;
    at += drawn;
  }
  return wn_csr_transpose(to, &h->rest.by_item, err);
}

wn_status wn_dataset_sample(const wn_dataset *data, double share, uint64_t seed, wn_dataset *out,
                            wn_error *err) {
  const wn_csr *from = &data->by_user;
  wn_status status;
  *out = *data;
  memset(&out->by_user, 0, sizeof out->by_user);
  memset(&out->by_item, 0, sizeof out->by_item);
  WN_TRY(make_room(from, &out->by_user, err));
  for (uint32_t u = 0; u < from->rows; u++) {
    bool stays = (double)(wn_mix64(seed ^ wn_mix64(u)) >> 11) * 0x1p-53 < share;
    for (uint64_t p = from->row_ptr[u]; stays && p < from->row_ptr[u + 1]; p++)
      copy_entry(from, p, &out->by_user);
    out->by_user.row_ptr[u + 1] = out->by_user.nnz;
  }
  WN_TRY(wn_csr_transpose(&out->by_user, &out->by_item, err));
cleanup:
  if (status != WN_OK) wn_dataset_clear(out);
  return status;
}

wn_status wn_dataset_before(const wn_dataset *data, int64_t cut_ms, wn_dataset *out,
                            wn_error *err) {
  const wn_csr *from = &data->by_user;
  wn_status status;
  *out = *data;
  memset(&out->by_user, 0, sizeof out->by_user);
  memset(&out->by_item, 0, sizeof out->by_item);
  WN_TRY(make_room(from, &out->by_user, err));
  out->now_ms = data->first_ms;
  for (uint32_t u = 0; u < from->rows; u++) {
    for (uint64_t p = from->row_ptr[u]; p < from->row_ptr[u + 1]; p++) {
      if (from->time_ms[p] >= cut_ms) break;
      if (from->time_ms[p] > out->now_ms) out->now_ms = from->time_ms[p];
      copy_entry(from, p, &out->by_user);
    }
    out->by_user.row_ptr[u + 1] = out->by_user.nnz;
  }
  WN_TRY(wn_csr_transpose(&out->by_user, &out->by_item, err));
cleanup:
  if (status != WN_OK) wn_dataset_clear(out);
  return status;
}

wn_status wn_holdout_make(const wn_dataset *data, const wn_holdout_options *options,
                          wn_holdout *out, wn_error *err) {
  wn_status status;
  *out = (wn_holdout){.rest = *data};
  memset(&out->rest.by_user, 0, sizeof out->rest.by_user);
  memset(&out->rest.by_item, 0, sizeof out->rest.by_item);
  WN_TRY(choose_users(&data->by_user, options, out, err));
  WN_TRY(choose_all_targets(&data->by_user, options, out, err));
  WN_TRY(copy_rest(&data->by_user, out, err));
cleanup:
  if (status != WN_OK) wn_holdout_clear(out);
  return status;
}

/* ---- by time ---- */

static int by_time(const void *left, const void *right) {
  const int64_t *a = left, *b = right;
  return (*a > *b) - (*a < *b);
}

static wn_status cut_of(const wn_csr *m, double share, int64_t *cut_ms, wn_error *err) {
  int64_t *times = wn_reallocarray(NULL, (size_t)m->nnz + 1, sizeof *times);
  size_t n = 0;
  if (times == NULL) return wn_fail_memory(err);
  for (uint64_t p = 0; p < m->nnz; p++)
    if (m->weight[p] > 0) times[n++] = m->time_ms[p];
  qsort(times, n, sizeof *times, by_time);
  size_t at = (size_t)((1 - share) * (double)n);
  *cut_ms = n > 0 ? times[at < n ? at : n - 1] : 0;
  wn_free(times);
  return WN_OK;
}

/* Positive items from the cut on, into `out`, or their number alone. */
static size_t later_items(const wn_csr *m, uint32_t user, int64_t cut_ms, draw *out) {
  size_t n = 0;
  for (uint64_t p = m->row_ptr[user + 1]; p > m->row_ptr[user] && m->time_ms[p - 1] >= cut_ms; p--)
    if (m->weight[p - 1] > 0) {
      if (out != NULL) out[n].ix = m->col[p - 1];
      n++;
    }
  return n;
}

static wn_status choose_later_users(const wn_csr *m, int64_t cut_ms, const wn_holdout_options *o,
                                    wn_holdout *out, wn_error *err) {
  draw *all = wn_reallocarray(NULL, (size_t)m->rows + 1, sizeof *all);
  size_t n = 0;
  if (all == NULL) return wn_fail_memory(err);
  for (uint32_t u = 0; u < m->rows; u++)
    if (later_items(m, u, cut_ms, NULL) > 0 && row_of(&out->rest.by_user, u).positive > 0)
      all[n++] = (draw){wn_mix64(o->seed ^ wn_mix64(u)), u};
  return take_users(all, n, o, out, err);
}

static wn_status choose_later_targets(const wn_csr *m, int64_t cut_ms, const wn_holdout_options *o,
                                      wn_holdout *out, wn_error *err) {
  size_t most = 1, total = 1;
  for (size_t i = 0; i < out->len; i++) {
    size_t n = later_items(m, out->user[i], cut_ms, NULL);
    most = n > most ? n : most;
    total += n < o->targets_max ? n : o->targets_max;
  }
  draw *scratch = wn_reallocarray(NULL, most, sizeof *scratch);
  out->target = wn_reallocarray(NULL, total, sizeof *out->target);
  for (size_t i = 0; scratch != NULL && out->target != NULL && i < out->len; i++) {
    size_t n = later_items(m, out->user[i], cut_ms, scratch);
    size_t take = n < o->targets_max ? n : o->targets_max;
    for (size_t k = 0; k < n; k++)
      scratch[k].key = wn_mix64(o->seed ^ wn_mix64((uint64_t)out->user[i] << 32 | scratch[k].ix));
    qsort(scratch, n, sizeof *scratch, by_key);
    qsort(scratch, take, sizeof *scratch, by_ix);
    for (size_t k = 0; k < take; k++) out->target[out->ptr[i] + k] = scratch[k].ix;
    out->ptr[i + 1] = out->ptr[i] + take;
  }
  bool good = scratch != NULL && out->target != NULL;
  wn_free(scratch);
  return good ? WN_OK : wn_fail_memory(err);
}

wn_status wn_holdout_later(const wn_dataset *data, double share, const wn_holdout_options *options,
                           wn_holdout *out, wn_error *err) {
  int64_t cut_ms = 0;
  wn_status status;
  memset(out, 0, sizeof *out);
  WN_TRY(cut_of(&data->by_user, share, &cut_ms, err));
  WN_TRY(wn_dataset_before(data, cut_ms, &out->rest, err));
  WN_TRY(choose_later_users(&data->by_user, cut_ms, options, out, err));
  WN_TRY(choose_later_targets(&data->by_user, cut_ms, options, out, err));
cleanup:
  if (status != WN_OK) wn_holdout_clear(out);
  return status;
}

void wn_holdout_clear(wn_holdout *holdout) {
  wn_dataset_clear(&holdout->rest);
  wn_free(holdout->user);
  wn_free(holdout->ptr);
  wn_free(holdout->target);
  memset(holdout, 0, sizeof *holdout);
}
