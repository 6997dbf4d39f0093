/* User vectors from what is known of users before they take anything: a ridge regression of ALS's
 * user factors on the values of users' attributes.
 *
 * Source: as als_attr.c, the other way round: M = (XᵀPX + λI)⁻¹XᵀPW, x(new) = Mᵀa. X: one row a
 * user with events, 1 for each value of an attribute ("gender" is "F", "genres" has "Drama";
 * numbers count as values, too: who wants bins makes them) and 1 for everybody, whose row of M is
 * what users are on the whole; W: those users' factors; P = min(events, 50).
 *
 * Values that fewer than two users with events have are left out, and of more than TERMS_MAX the
 * rarest. A value is known by a 64-bit hash of name, kind and value, so that a snapshot needs no
 * texts. A user of whom no value is known has no vector: what everybody takes, others say better.
 *
 * Cost: a scan of the users, a sort of their values, attr_ridge.c; a query d multiply-adds a value.
 * Memory: 16 bytes a value of a user while it runs; 8 + 4·d a distinct value. Deterministic,
 * whatever the number of threads and the order of the scan. */
#include "model/als.h"

#include "base/mem.h"
#include "base/simd/simd.h"
#include "base/vec.h"
#include "model/attr_ridge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TERMS_MAX  ((size_t)1 << 16)
#define EVENTS_MAX 50
#define EVERYBODY  0 /* no value hashes to it */

typedef struct entry {
  uint64_t hash;
  wn_user_ix user;
} entry;

typedef struct fit {
  const wn_dataset *data;
  WN_VEC(entry) entries;
  WN_VEC(uint64_t) terms; /* ascending, EVERYBODY first */
  uint64_t *ptr;
  uint32_t *term, *of;
  float *x, *weight;
  uint32_t rows;
} fit;

static uint64_t hash_of(wn_str name, char kind, const void *value, size_t len) {
  uint64_t h = wn_hash64(value, len, wn_hash64(name.ptr, name.len, (uint64_t)kind));
  return h != EVERYBODY ? h : 1;
}

/* Calls `each` for every value; false from it stops. */
static bool each_value(const wn_attrs *attrs, bool (*each)(void *ctx, uint64_t hash), void *ctx) {
  bool more = true;
  for (size_t i = 0; i < attrs->len && more; i++) {
    const wn_attr *a = &attrs->data[i];
    double number = a->kind == WN_ATTR_BOOL ? (double)a->boolean : a->number + 0.0;
    if (a->kind == WN_ATTR_STRING) {
      more = each(ctx, hash_of(a->name, 's', a->string.ptr, a->string.len));
    } else if (a->kind == WN_ATTR_LIST) {
      for (size_t k = 0; k < a->list_len && more; k++)
        more = each(ctx, hash_of(a->name, 's', a->list[k].ptr, a->list[k].len));
    } else {
      more =
          each(ctx, hash_of(a->name, a->kind == WN_ATTR_BOOL ? 'b' : 'n', &number, sizeof number));
    }
  }
  return more;
}

/* ---- fitting ---- */

typedef struct noting {
  fit *f;
  wn_user_ix user;
} noting;

static bool note(void *ctx, uint64_t hash) {
  noting *n = ctx;
  return wn_vec_push(&n->f->entries, ((entry){hash, n->user}));
}

static wn_status note_user(void *ctx, wn_user_ix ix, const wn_user_record *user, wn_error *err) {
  fit *f = ctx;
  if (ix >= f->data->by_user.rows || wn_als_item_events(&f->data->by_user, ix) == 0) return WN_OK;
  return each_value(&user->attrs, note, &(noting){f, ix}) ? WN_OK : wn_fail_memory(err);
}

static int by_value(const void *left, const void *right) {
  const entry *a = left, *b = right;
  if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
  return (a->user > b->user) - (a->user < b->user);
}

static int by_user(const void *left, const void *right) {
  const entry *a = left, *b = right;
  if (a->user != b->user) return a->user < b->user ? -1 : 1;
  return (a->hash > b->hash) - (a->hash < b->hash);
}

/* Sorted by value; entries that are there twice go. */
static void drop_repeats(fit *f) {
  size_t n = 0;
  for (size_t i = 0; i < f->entries.len; i++)
    if (n == 0 || by_value(&f->entries.data[n - 1], &f->entries.data[i]) != 0)
      f->entries.data[n++] = f->entries.data[i];
  f->entries.len = n;
}

/* Values that `least` users or more have, ascending; how many there are. `keep`: into terms. */
static size_t count_terms(fit *f, size_t least, bool keep) {
  size_t terms = 0;
  for (size_t i = 0, end; i < f->entries.len; i = end) {
    for (end = i; end < f->entries.len && f->entries.data[end].hash == f->entries.data[i].hash;)
      end++;
    if (end - i < least) continue;
    if (keep) f->terms.data[f->terms.len++] = f->entries.data[i].hash;
    terms++;
  }
  return terms;
}

static wn_status choose_terms(fit *f, wn_error *err) {
  size_t least = 2, terms;
  if (f->entries.len > 0) qsort(f->entries.data, f->entries.len, sizeof *f->entries.data, by_value);
  drop_repeats(f);
  while ((terms = count_terms(f, least, false)) > TERMS_MAX) least++;
  if (!wn_vec_reserve(&f->terms, terms + 1)) return wn_fail_memory(err);
  f->terms.data[f->terms.len++] = EVERYBODY;
  (void)count_terms(f, least, true);
  return WN_OK;
}

static uint32_t term_of(const uint64_t *terms, size_t len, uint64_t hash) {
  size_t low = 0;
  while (low < len) {
    size_t mid = low + (len - low) / 2;
    if (terms[mid] < hash)
      low = mid + 1;
    else
      len = mid;
  }
  return (uint32_t)low;
}

/* Rows of users with a known value, ascending. */
static void gather(fit *f) {
  size_t at = 0;
  qsort(f->entries.data, f->entries.len, sizeof *f->entries.data, by_user);
  for (size_t i = 0; i < f->entries.len; i++) {
    const entry *e = &f->entries.data[i];
    uint32_t term = term_of(f->terms.data, f->terms.len, e->hash);
    if (term == f->terms.len || f->terms.data[term] != e->hash) continue;
    if (f->rows == 0 || f->of[f->rows - 1] != e->user) {
      uint32_t events = wn_als_item_events(&f->data->by_user, e->user);
      f->weight[f->rows] = (float)(events < EVENTS_MAX ? events : EVENTS_MAX);
      f->of[f->rows++] = e->user;
      f->term[at++] = EVERYBODY;
    }
    f->term[at++] = term;
    f->ptr[f->rows] = at;
  }
  for (size_t i = 0; i < at; i++) f->x[i] = 1;
}

static wn_status solve(fit *f, const wn_fit_env *env, double lambda, wn_als *als,
                       const float *factors, wn_error *err) {
  size_t room = 2 * f->entries.len + 1, d = als->head.d;
  wn_status status = WN_OK;
  uint64_t *terms = wn_als_own(als, f->terms.len, sizeof *terms);
  float *m = wn_als_own(als, f->terms.len * d, sizeof *m);
  f->ptr = wn_calloc(f->entries.len + 1, sizeof *f->ptr);
  f->term = wn_calloc(room, sizeof *f->term);
  f->of = wn_calloc(room, sizeof *f->of);
  f->x = wn_calloc(room, sizeof *f->x);
  f->weight = wn_calloc(room, sizeof *f->weight);
  if (terms == NULL || m == NULL || f->ptr == NULL || f->term == NULL || f->of == NULL ||
      f->x == NULL || f->weight == NULL)
    return wn_fail_memory(err);
  gather(f);
  const wn_attr_ridge ridge = {.rows = f->rows,
                               .terms = (uint32_t)f->terms.len,
                               .ptr = f->ptr,
                               .term = f->term,
                               .x = f->x,
                               .weight = f->weight,
                               .of = f->of,
                               .target = factors,
                               .d = d,
                               .lambda = lambda};
  WN_TRY(wn_attr_ridge_solve(&ridge, "attributes of users", env->pool, m, err));
  memcpy(terms, f->terms.data, f->terms.len * sizeof *terms);
  als->user_term = terms;
  als->user_attr = m;
  als->head.user_terms = (uint32_t)f->terms.len;
cleanup:
  return status;
}

wn_status wn_als_users_fit(const wn_dataset *data, const wn_fit_env *env, double lambda,
                           wn_als *als, const float *factors, wn_error *err) {
  fit f = {.data = data};
  wn_status status = WN_OK;
  if (data->users_source.scan == NULL || !(lambda > 0)) return WN_OK;
  WN_TRY(data->users_source.scan(data->users_source.ctx, note_user, &f, err));
  WN_TRY(choose_terms(&f, err));
  if (f.terms.len > 1) WN_TRY(solve(&f, env, lambda, als, factors, err));
cleanup:
  wn_vec_clear(&f.entries);
  wn_vec_clear(&f.terms);
  wn_free(f.ptr);
  wn_free(f.term);
  wn_free(f.of);
  wn_free(f.x);
  wn_free(f.weight);
  return status;
}

/* ---- asking ---- */

typedef struct summing {
  const wn_als *als;
  float *out;
  bool any;
} summing;

static bool add_value(void *ctx, uint64_t hash) {
  summing *s = ctx;
  size_t d = s->als->head.d;
  uint32_t term = term_of(s->als->user_term, s->als->head.user_terms, hash);
  if (term == s->als->head.user_terms || s->als->user_term[term] != hash) return true;
  wn_simd()->axpy(1, s->als->user_attr + term * d, s->out, d);
  s->any = true;
  return true;
}

bool wn_als_user_vector(const wn_als *als, const wn_attrs *attrs, float *out) {
  summing s = {als, out, false};
  if (attrs == NULL || als->head.user_terms == 0) return false;
  memcpy(out, als->user_attr, als->head.d * sizeof *out); /* everybody's */
  (void)each_value(attrs, add_value, &s);
  return s.any;
}

wn_status wn_als_users_validate(const wn_als *als, wn_error *err) {
  const uint32_t terms = als->head.user_terms;
  if (terms > 0 && als->user_term[0] != EVERYBODY)
    return wn_fail(err, WN_E_CORRUPT, "als/user_term", "must begin with everybody's");
  for (uint32_t t = 1; t < terms; t++)
    if (als->user_term[t] <= als->user_term[t - 1])
      return wn_fail(err, WN_E_CORRUPT, "als/user_term", "must ascend");
  return wn_check_finite("als/user_attr", als->user_attr, terms * (uint64_t)als->head.d, err);
}
