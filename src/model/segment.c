/* Popularity per segment, shrunk towards popularity: score(i) = (c_gi + κ·p_i/P) · P/κ, with c_gi
 * the faded count of the item in the user's segment g, p_i that of all users, P the sum of all p_i
 * and κ = `segment_prior` events, by default one for each item with events. This is the posterior
 * mean of a multinomial with a Dirichlet prior of κ events spread as all users' are (Gelman et al.,
 * Bayesian Data Analysis, 3rd ed., 3.4), scaled so that an item nobody of the segment took scores
 * what it does for everybody: a small segment falls back to all by itself, and lists stay full.
 *
 * Counters of a segment are those of the fit; only the sum over all users follows events. Sparse: 8
 * bytes for each (segment, item) that occurred, 2 a user. Fitting: one pass over the pairs, segment
 * by segment. Deterministic; no threads. */

#include "model/segment.h"

#include "base/mem.h"
#include "model/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct fit {
  wn_str name[WN_SEGMENT_ATTRS_MAX];
  size_t names;
  wn_dict *dict; /* values → segment */
  wn_buf key;
  uint16_t *of_user;
  uint32_t users;
} fit;

static wn_status read_names(fit *f, const char *attrs, wn_error *err) {
  for (const char *at = attrs; *at != '\0';) {
    size_t len = strcspn(at, ",");
    wn_str name = {at, len};
    while (name.len > 0 && name.ptr[0] == ' ') name.ptr++, name.len--;
    while (name.len > 0 && name.ptr[name.len - 1] == ' ') name.len--;
    if (name.len == 0 || f->names == WN_SEGMENT_ATTRS_MAX)
      return wn_fail(err, WN_E_ARGUMENT, "segment",
                     "must be up to %d names of user attributes with commas between, is \"%.64s\"",
                     WN_SEGMENT_ATTRS_MAX, attrs);
    f->name[f->names++] = name;
    at += len + (at[len] == ',');
  }
  return WN_OK;
}

static const wn_attr *attr_of(const wn_user_record *user, wn_str name) {
  for (size_t i = 0; i < user->attrs.len; i++)
    if (wn_str_equal(user->attrs.data[i].name, name)) return &user->attrs.data[i];
  return NULL;
}

/* False: the user has no segment. */
static bool make_key(fit *f, const wn_user_record *user) {
  f->key.len = 0;
  for (size_t i = 0; i < f->names; i++) {
    const wn_attr *attr = attr_of(user, f->name[i]);
    if (attr == NULL || attr->kind == WN_ATTR_LIST) return false;
    if (attr->kind == WN_ATTR_STRING) {
      wn_buf_printf(&f->key, "s%.*s\n", WN_STR_ARG(attr->string));
    } else {
      wn_buf_printf(&f->key, "n%.17g\n",
                    attr->kind == WN_ATTR_BOOL ? (double)attr->boolean : attr->number);
    }
  }
  return true;
}

static wn_status note_user(void *ctx, wn_user_ix ix, const wn_user_record *user, wn_error *err) {
  fit *f = ctx;
  uint32_t segment;
  bool added;
  if (ix >= f->users || !make_key(f, user)) return WN_OK;
  if (f->key.failed) return wn_fail_memory(err);
  wn_str key = {f->key.data, f->key.len};
  if (wn_dict_count(f->dict) == WN_SEGMENTS_MAX && wn_dict_find(f->dict, key) == WN_NO_IX)
    return WN_OK;
  if (wn_dict_add(f->dict, key, &segment, &added) != WN_OK) return wn_fail_memory(err);
  f->of_user[ix] = (uint16_t)(segment + 1);
  return WN_OK;
}

static int ascending(const void *left, const void *right) {
  const uint32_t *a = left, *b = right;
  return (*a > *b) - (*a < *b);
}

/* Users of each segment, one after the other: begin[g] … begin[g + 1]. */
static void group_users(const fit *f, uint32_t segments, uint64_t *begin, uint32_t *user) {
  for (uint32_t u = 0; u < f->users; u++) begin[f->of_user[u]]++;
  begin[0] = 0; /* of no segment */
  for (uint32_t g = 0; g < segments; g++) begin[g + 1] += begin[g];
  for (uint32_t u = f->users; u-- > 0;)
    if (f->of_user[u] > 0) user[--begin[f->of_user[u]]] = u;
  for (uint32_t g = 0; g < segments; g++) begin[g] = begin[g + 1];
}

typedef struct counting {
  const wn_dataset *data;
  const wn_decay *decay;
  double *sum;    /* [items] of the segment */
  uint32_t *item; /* [pairs] */
  float *count;   /* [pairs] */
  uint64_t len;
} counting;

static void add_user(counting *c, uint32_t user) {
  const wn_csr *m = &c->data->by_user;
  for (uint64_t p = m->row_ptr[user]; p < m->row_ptr[user + 1]; p++) {
    if (!(m->weight[p] > 0)) continue;
    double age = (double)m->time_ms[p] - c->decay->landmark_ms, h = c->decay->half_life_ms;
    double w = (double)m->weight[p] * (h > 0 ? exp2(age / h) : 1);
    if (!(w > 0)) continue; /* faded beyond what a double holds */
    if (!(c->sum[m->col[p]] > 0)) c->item[c->len++] = m->col[p];
    c->sum[m->col[p]] += w;
  }
}

/* The segment's items, from `begin` on, get their counts. */
static void finish_segment(counting *c, uint64_t begin) {
  uint64_t kept = begin;
  qsort(c->item + begin, c->len - begin, sizeof *c->item, ascending);
  for (uint64_t i = begin; i < c->len; i++) {
    float count = (float)fmin(c->sum[c->item[i]], 1e30);
    c->sum[c->item[i]] = 0;
    if (!(count > 0)) continue;
    c->item[kept] = c->item[i];
    c->count[kept++] = count;
  }
  c->len = kept;
}

/* P/κ */
static double lift_of(const wn_decay *decay, double prior) {
  double sum = 0, items = 0;
  for (uint32_t i = 0; i < decay->items; i++) {
    sum += decay->count[i];
    items += decay->count[i] > 0;
  }
  return sum / (prior > 0 ? prior : fmax(items, 1));
}

static wn_status count_all(const fit *f, counting *c, wn_segments *out, wn_error *err) {
  uint32_t segments = wn_dict_count(f->dict);
  size_t pairs = (size_t)c->data->by_user.nnz;
  wn_status status = WN_OK;
  uint64_t *ptr = out->owned[1] = wn_calloc((size_t)segments + 1, sizeof *ptr);
  c->item = out->owned[2] = wn_calloc(pairs + 1, sizeof *c->item);
  c->count = out->owned[3] = wn_calloc(pairs + 1, sizeof *c->count);
  c->sum = wn_calloc((size_t)c->data->items + 1, sizeof *c->sum);
  uint64_t *begin = wn_calloc((size_t)segments + 2, sizeof *begin);
  uint32_t *user = wn_calloc((size_t)f->users + 1, sizeof *user);
  if (ptr == NULL || c->item == NULL || c->count == NULL || c->sum == NULL || begin == NULL ||
      user == NULL)
    WN_TRY(wn_fail_memory(err));
  group_users(f, segments, begin, user);
  for (uint32_t g = 0, at = 0; g < segments; g++) {
    for (; at < f->users && f->of_user[user[at]] == g + 1; at++) add_user(c, user[at]);
    finish_segment(c, ptr[g]);
    ptr[g + 1] = c->len;
  }
  out->ptr = ptr;
  out->item = c->item;
  out->count = c->count;
cleanup:
  wn_free(c->sum);
  wn_free(begin);
  wn_free(user);
  return status;
}

wn_status wn_segments_fit(const wn_dataset *data, const char *attrs, double prior,
                          const wn_decay *decay, wn_segments *out, wn_error *err) {
  fit f = {.users = data->users};
  counting c = {.data = data, .decay = decay};
  wn_status status;
  memset(out, 0, sizeof *out);
  WN_TRY(read_names(&f, attrs, err));
  if (f.names == 0 || data->users_source.scan == NULL) return WN_OK;
  f.dict = wn_dict_create();
  f.of_user = out->owned[0] = wn_calloc((size_t)f.users + 1, sizeof *f.of_user);
  if (f.dict == NULL || f.of_user == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(data->users_source.scan(data->users_source.ctx, note_user, &f, err));
  WN_TRY(count_all(&f, &c, out, err));
  out->of_user = f.of_user;
  out->head = (wn_segments_head){.users = f.users,
                                 .items = decay->items,
                                 .len = wn_dict_count(f.dict),
                                 .pairs = c.len,
                                 .lift = lift_of(decay, prior),
                                 .landmark_ms = decay->landmark_ms};
cleanup:
  wn_dict_free(f.dict);
  wn_buf_clear(&f.key);
  if (status != WN_OK) wn_segments_clear(out);
  return status;
}

void wn_segments_clear(wn_segments *segments) {
  for (size_t i = 0; i < 4; i++) wn_free(segments->owned[i]);
  memset(segments, 0, sizeof *segments);
}

uint32_t wn_segment_of(const wn_segments *s, wn_user_ix user) {
  uint32_t segment = user < s->head.users ? s->of_user[user] : 0;
  return segment > 0 && s->ptr[segment] > s->ptr[segment - 1] ? segment : 0;
}

wn_status wn_segments_save(const wn_segments *s, wn_snapshot_writer *writer, wn_error *err) {
  wn_status status = WN_OK;
  const wn_segments_head *h = &s->head;
  if (h->len == 0) return WN_OK;
  WN_TRY(wn_snapshot_write(writer, "popular/segments", h, sizeof *h, err));
  WN_TRY(wn_snapshot_write(writer, "popular/segment_of", s->of_user, h->users * sizeof *s->of_user,
                           err));
  WN_TRY(wn_snapshot_write(writer, "popular/segment_ptr", s->ptr,
                           ((size_t)h->len + 1) * sizeof *s->ptr, err));
  WN_TRY(
      wn_snapshot_write(writer, "popular/segment_item", s->item, h->pairs * sizeof *s->item, err));
  WN_TRY(wn_snapshot_write(writer, "popular/segment_count", s->count, h->pairs * sizeof *s->count,
                           err));
cleanup:
  return status;
}

wn_status wn_segments_validate(const wn_segments *s, wn_error *err) {
  for (uint32_t u = 0; u < s->head.users; u++)
    if (s->of_user[u] > s->head.len)
      return wn_fail(err, WN_E_CORRUPT, "popular/segment_of", "a segment that is not there");
  for (uint32_t g = 0; g < s->head.len; g++)
    for (uint64_t i = s->ptr[g]; i + 1 < s->ptr[g + 1]; i++)
      if (s->item[i] >= s->item[i + 1])
        return wn_fail(err, WN_E_CORRUPT, "popular/segment_item", "must ascend");
  for (uint64_t i = 0; i < s->head.pairs; i++)
    if (!(s->count[i] > 0) || !isfinite(s->count[i]))
      return wn_fail(err, WN_E_CORRUPT, "popular/segment_count", "must be above 0");
  return WN_OK;
}

wn_status wn_segments_map(const wn_snapshot *snapshot, wn_segments *out, wn_error *err) {
  wn_status status = WN_OK;
  const void *head, *of_user;
  uint64_t pairs;
  memset(out, 0, sizeof *out);
  if (!wn_snapshot_has(snapshot, "popular/segments")) return WN_OK;
  WN_TRY(wn_section_array(snapshot, "popular/segments", sizeof out->head, 1, &head, err));
  wn_segments s = {.head = *(const wn_segments_head *)head};
  const wn_segments_head *h = &s.head;
  if (h->len == 0 || h->len > WN_SEGMENTS_MAX || h->items >= WN_NO_IX || !(h->lift >= 0) ||
      !isfinite(h->lift) || !isfinite(h->landmark_ms) || h->reserved != 0)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "popular/segments", "values are out of range"));
  WN_TRY(
      wn_section_array(snapshot, "popular/segment_of", sizeof *s.of_user, h->users, &of_user, err));
  s.of_user = of_user;
  WN_TRY(wn_section_offsets(snapshot, "popular/segment_ptr", h->len, &s.ptr, &pairs, err));
  if (pairs != h->pairs)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "popular/segment_ptr", "must end at the number of pairs"));
  WN_TRY(wn_section_indexes(snapshot, "popular/segment_item", pairs, h->items, &s.item, err));
  WN_TRY(wn_section_numbers(snapshot, "popular/segment_count", pairs, &s.count, err));
  WN_TRY(wn_segments_validate(&s, err));
  *out = s;
cleanup:
  return status;
}
