/* Sampled negatives: pairs of users and items that never met, as dislikes.
 *
 * For each pair of positive weight its user gets `negatives` items that she has no pair with, drawn
 * with chances that go with the item's number of users to the power `negatives_power`, each once,
 * at minus the mean positive weight. They stand first in her row, at the time of its oldest pair:
 * what orders rows by time, takes the newest of them or skips dislikes does not see them. Draws
 * that meet her own items are repeated, TRIES times; a user who has nearly all gets fewer.
 *
 * A function of the data alone (each user's draws are hashed from her number). Time n·(negatives ·
 * log items); memory the rows once more and 8 bytes an item. One thread. */
#include "data/negatives.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"

#include <math.h>
#include <string.h>

#define TRIES 16
#define SEED  UINT64_C(0x6e65676174697665)

typedef struct drawing {
  const wn_csr *m;
  double *upto;   /* [items] sums of the chances */
  uint32_t *mark; /* [items] the last user who has it, or drew it, + 1 */
  double each, weight;
  WN_VEC(uint32_t) drawn; /* of the user at hand */
} drawing;

static double chances_of(drawing *d, double power) {
  const wn_csr *m = d->m;
  double sum = 0;
  for (uint64_t p = 0; p < m->nnz; p++) d->upto[m->col[p]] += m->weight[p] > 0;
  for (uint32_t i = 0; i < m->cols; i++)
    d->upto[i] = sum += d->upto[i] > 0 ? pow(d->upto[i], power) : 0;
  return sum;
}

static uint32_t item_at(const drawing *d, double where) {
  uint32_t low = 0, high = d->m->cols - 1;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (d->upto[mid] > where)
      high = mid;
    else
      low = mid + 1;
  }
  return low;
}

static bool draw_user(drawing *d, uint32_t user, double sum) {
  const wn_csr *m = d->m;
  wn_rng rng;
  double wanted = 0;
  wn_rng_seed(&rng, SEED ^ wn_mix64(user));
  d->drawn.len = 0;
  for (uint64_t p = m->row_ptr[user]; p < m->row_ptr[user + 1]; p++) {
    d->mark[m->col[p]] = user + 1;
    if (m->weight[p] > 0) wanted += d->each;
  }
  for (uint64_t n = (uint64_t)wanted, tries = TRIES * n; n > 0 && tries > 0; tries--) {
    uint32_t item = item_at(d, wn_rng_double(&rng) * sum);
    if (d->mark[item] == user + 1) continue;
    d->mark[item] = user + 1;
    if (!wn_vec_push(&d->drawn, item)) return false;
    n--;
  }
  return true;
}

/* The row with what was drawn before it. */
static void add_row(const drawing *d, uint32_t user, wn_csr *out) {
  const wn_csr *m = d->m;
  uint64_t at = out->row_ptr[user], begin = m->row_ptr[user], len = m->row_ptr[user + 1] - begin;
  for (size_t i = 0; i < d->drawn.len; i++, at++) {
    out->col[at] = d->drawn.data[i];
    out->weight[at] = (float)-d->weight;
    out->time_ms[at] = m->time_ms[begin];
    if (m->type != NULL) out->type[at] = m->type[begin];
  }
  if (len > 0) {
    memcpy(out->col + at, m->col + begin, len * sizeof *m->col);
    memcpy(out->weight + at, m->weight + begin, len * sizeof *m->weight);
    memcpy(out->time_ms + at, m->time_ms + begin, len * sizeof *m->time_ms);
    if (m->type != NULL) memcpy(out->type + at, m->type + begin, len);
  }
  out->row_ptr[user + 1] = out->nnz = at + len;
}

static wn_status allocate(const wn_csr *m, uint64_t room, wn_csr *out, wn_error *err) {
  size_t n = (size_t)room + 1;
  *out = (wn_csr){.rows = m->rows, .cols = m->cols};
  out->row_ptr = wn_calloc((size_t)m->rows + 1, sizeof *out->row_ptr);
  out->col = wn_reallocarray(NULL, n, sizeof *out->col);
  out->weight = wn_reallocarray(NULL, n, sizeof *out->weight);
  out->time_ms = wn_reallocarray(NULL, n, sizeof *out->time_ms);
  if (m->type != NULL) out->type = wn_malloc(n);
  bool good = out->row_ptr != NULL && out->col != NULL && out->weight != NULL &&
              out->time_ms != NULL && (m->type == NULL || out->type != NULL);
  return good ? WN_OK : wn_fail_memory(err);
}

wn_status wn_negatives_add(wn_csr *by_user, double each, double power, uint64_t *added,
                           wn_error *err) {
  const wn_csr *m = by_user;
  drawing d = {.m = m, .each = each};
  wn_csr out = {0};
  wn_status status = WN_OK;
  uint64_t positive = 0;
  *added = 0;
  for (uint64_t p = 0; p < m->nnz; p++) {
    if (!(m->weight[p] > 0)) continue;
    d.weight += (double)m->weight[p];
    positive++;
  }
  if (positive == 0) return WN_OK;
  d.weight /= (double)positive;
  d.upto = wn_calloc((size_t)m->cols + 1, sizeof *d.upto);
  d.mark = wn_calloc((size_t)m->cols + 1, sizeof *d.mark);
  if (d.upto == NULL || d.mark == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(allocate(m, m->nnz + (uint64_t)(each * (double)positive), &out, err));
  double sum = chances_of(&d, power);
  for (uint32_t u = 0; u < m->rows; u++) {
    if (!draw_user(&d, u, sum)) WN_TRY(wn_fail_memory(err));
    add_row(&d, u, &out);
  }
  *added = out.nnz - m->nnz;
  wn_csr_clear(by_user);
  *by_user = out;
  out = (wn_csr){0};
cleanup:
  wn_csr_clear(&out);
  wn_vec_clear(&d.drawn);
  wn_free(d.upto);
  wn_free(d.mark);
  return status;
}
