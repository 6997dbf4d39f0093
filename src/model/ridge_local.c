/* One target of local ridge: EASE (Steck 2019) with the target's sources restricted to its nearest
 * neighbours S, so that the weights are sparse and the targets independent:
 *     S = the k items i with the largest K[i][j]/√G[i][i], i ≠ j;   w = (G_SS + Λ)⁻¹ K_Sj,
 *     Λ = λI + p/(1 − p)·diag(G_SS),
 * the second part being what it would come to if each source were dropped from a row with
 * probability p (Steck 2020, "Autoencoders that don't overfit towards the Identity").
 *
 * G is not needed for that. K's column j is summed over the rows of the users who have j. G_SS is
 * summed over the users' lists of S's members: a user who has m of them adds m² / 2 pairs, which
 * are found by a chain of the members already met, one chain a user. So a system costs the lists
 * of its members and the pairs in them, and no memory that outlives it. Only where lists are long
 * it pays to have G at hand: for two items of the head the fit keeps it (ridge_fit.c).
 *
 * The parts are steps over single entries, because an event's share of work is less than one
 * target (ridge_live.c). k³/6 multiplications for Cholesky. Sums go by members and users
 * ascending: the same bits whoever calls. */
#include "model/ridge.h"

#include "base/mem.h"
#include "base/simd/simd.h"
#include "model/linalg.h"

#include <float.h>
#include <string.h>

bool wn_ridge_local_init(wn_ridge_local *l, uint32_t users, uint32_t items, uint32_t k) {
  *l = (wn_ridge_local){.k = k};
  l->sum = wn_calloc((size_t)items + 1, sizeof *l->sum);
  l->touched = wn_calloc((size_t)items + 1, sizeof *l->touched);
  l->last = wn_calloc((size_t)users + 1, sizeof *l->last);
  l->best = wn_calloc(k, sizeof *l->best);
  l->A = wn_calloc((size_t)k * k, sizeof *l->A);
  l->x = wn_calloc(k, sizeof *l->x);
  l->work = wn_calloc(k, sizeof *l->work);
  return l->sum && l->touched && l->last && l->best && l->A && l->x && l->work;
}

void wn_ridge_local_clear(wn_ridge_local *l) {
  void *all[] = {l->sum, l->touched, l->last, l->best, l->A, l->x, l->work};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
  wn_vec_clear(&l->nodes);
  memset(l, 0, sizeof *l);
}

static inline void add_source(wn_ridge_local *l, uint32_t item, float x) {
  if (!(x > 0)) return; /* underflow; `touched` must name no item twice */
  if (l->sum[item] == 0) l->touched[l->touched_len++] = item;
  l->sum[item] += x;
}

void wn_ridge_local_source(wn_ridge_local *l, const wn_ridge_rows *rows, uint32_t j,
                           wn_ridge_cell owner) {
  wn_ridge_row row = wn_ridge_row_of(rows, owner.ix);
  float x = row.share * owner.value;
  if (row.clock == NULL) {
    for (uint32_t q = 0; q < row.len; q++) {
      if (row.cell[q].ix != j) add_source(l, row.cell[q].ix, x * row.cell[q].value);
    }
    return;
  }
  uint32_t at = wn_ridge_place(&row, j);
  for (uint32_t q = at < row.len ? at : 0; q-- > 0;) {
    double gone = row.clock[at].at - row.clock[q].at;
    if (gone >= WN_RIDGE_REACH) break;
    if (row.clock[q].next > at) continue; /* of the same time */
    add_source(l, row.cell[q].ix, x * row.cell[q].value * (float)exp(-gone));
  }
}

float wn_ridge_local_mass(const wn_ridge_local *l) {
  double sum = 0;
  for (uint32_t t = 0; t < l->touched_len; t++) sum += (double)l->sum[l->touched[t]];
  return (float)fmin(sum, (double)FLT_MAX);
}

static bool goes_before(const wn_ridge_head *head, uint32_t a, uint32_t b) {
  bool x = head != NULL && head->number[a] != WN_NO_IX,
       y = head != NULL && head->number[b] != WN_NO_IX;
  return x != y ? y : a < b;
}

static void put_in_order(wn_scored *best, size_t n, const wn_ridge_head *head) {
  for (size_t gap = n / 2; gap > 0; gap /= 2) {
    for (size_t i = gap; i < n; i++) {
      wn_scored x = best[i];
      size_t j = i;
      for (; j >= gap && goes_before(head, x.ix, best[j - gap].ix); j -= gap)
        best[j] = best[j - gap];
      best[j] = x;
    }
  }
}

void wn_ridge_local_choose(wn_ridge_local *l, const float *diagonal, const wn_ridge_head *head) {
  wn_topk top;
  wn_topk_init(&top, l->best, l->k);
  for (uint32_t t = 0; t < l->touched_len; t++) {
    uint32_t i = l->touched[t];
    if (diagonal[i] > 0) wn_topk_push(&top, i, l->sum[i] / sqrtf(diagonal[i]));
  }
  l->len = l->tail = (uint32_t)wn_topk_sort(&top);
  put_in_order(l->best, l->len, head);
  while (head != NULL && l->tail > 0 && head->number[l->best[l->tail - 1].ix] != WN_NO_IX)
    l->tail--;
  memset(l->A, 0, (size_t)l->len * l->len * sizeof *l->A);
  for (uint32_t p = 0; p < l->len; p++) l->x[p] = l->sum[l->best[p].ix];
}

bool wn_ridge_local_meet(wn_ridge_local *l, const wn_ridge_rows *rows, uint32_t p,
                         wn_ridge_cell owner) {
  uint32_t before = l->last[owner.ix], at = 0;
  if (before == 0 && p >= l->tail) return true;
  wn_ridge_row row = wn_ridge_row_of(rows, owner.ix);
  if (row.clock != NULL) {
    at = wn_ridge_place(&row, l->best[p].ix);
    if (at == row.len) return true;
  }
  if (!wn_vec_reserve(&l->nodes, l->nodes.len + 1)) return false;
  l->nodes.data[l->nodes.len++] = (wn_ridge_node){owner.ix, before, p, at, owner.value};
  l->last[owner.ix] = (uint32_t)l->nodes.len;
  return true;
}

/* The members in one user's row, the last of S first. */
typedef struct party {
  uint32_t len, head; /* the first `head` are head items */
  const wn_ridge_node *node[WN_RIDGE_K_MAX];
} party;

static void gather(const wn_ridge_local *l, uint32_t user, party *out) {
  out->len = out->head = 0;
  for (uint32_t b = l->last[user]; b != 0 && out->len < WN_RIDGE_K_MAX;) {
    const wn_ridge_node *node = out->node[out->len++] = &l->nodes.data[b - 1];
    out->head += node->member >= l->tail;
    b = node->before;
  }
}

static void join_ordered(wn_ridge_local *l, const wn_ridge_row *row, const party *in) {
  for (uint32_t a = 0; a < in->len; a++) {
    const wn_ridge_node *x = in->node[a];
    float *A = l->A + (size_t)x->member * l->len, value = row->share * x->value;
    for (uint32_t b = a > in->head ? a : in->head; b < in->len; b++) {
      const wn_ridge_node *y = in->node[b];
      if (x->at >= row->len || y->at >= row->len) continue; /* the row changed meanwhile */
      A[y->member] += value * y->value * wn_ridge_together(row, x->at, y->at);
    }
  }
}

static void join_few(wn_ridge_local *l, float share, const party *in) {
  uint32_t member[WN_RIDGE_K_MAX];
  float value[WN_RIDGE_K_MAX];
  for (uint32_t a = 0; a < in->len; a++) {
    member[a] = in->node[a]->member;
    value[a] = in->node[a]->value;
  }
  for (uint32_t a = 0; a < in->len; a++) {
    float *A = l->A + (size_t)member[a] * l->len, x = share * value[a];
    for (uint32_t b = a > in->head ? a : in->head; b < in->len; b++) A[member[b]] += x * value[b];
  }
}

static void join_many(wn_ridge_local *l, float share, const party *in) {
  memset(l->work, 0, l->len * sizeof *l->work);
  for (uint32_t a = 0; a < in->len; a++) l->work[in->node[a]->member] = in->node[a]->value;
  wn_simd()->syr(share, l->work, l->len, l->A, l->len);
}

uint32_t wn_ridge_local_join(wn_ridge_local *l, const wn_ridge_rows *rows, size_t n) {
  if (l->nodes.data[n].before != 0) return 0;
  party in;
  gather(l, l->nodes.data[n].user, &in);
  wn_ridge_row row = wn_ridge_row_of(rows, l->nodes.data[n].user);
  if (row.clock != NULL) {
    join_ordered(l, &row, &in);
  } else if (in.head == 0 && 3 * in.len > l->len) {
    join_many(l, row.share, &in);
  } else {
    join_few(l, row.share, &in);
  }
  return in.len;
}

void wn_ridge_local_solve(wn_ridge_local *l, const wn_ridge_penalty *penalty) {
  size_t n = l->len;
  float lambda = (float)penalty->lambda, own = (float)(1 / (1 - penalty->dropout));
  for (size_t p = 0; p < n; p++) l->A[p * n + p] = l->A[p * n + p] * own + lambda;
  wn_cholesky(l->A, n, n, lambda, l->work);
  wn_cholesky_solve(l->A, n, n, l->x);
}

void wn_ridge_local_reset(wn_ridge_local *l) {
  for (uint32_t t = 0; t < l->touched_len; t++) l->sum[l->touched[t]] = 0;
  for (size_t b = 0; b < l->nodes.len; b++) l->last[l->nodes.data[b].user] = 0;
  l->touched_len = l->len = l->tail = 0;
  l->nodes.len = 0;
}
