/* Events → window → active users → pairs → newest pairs of each user → least counts → weights.
 *
 * Least counts are a core in the sense of Seidman (1983), for two kinds of node: users below
 * user_items_min and items below item_users_min go until none is left that is below. The result
 * does not depend on the order in which they go, and peeling visits each pair at most twice.
 *
 * popularity_alpha multiplies each weight by popᵢ^−α, popᵢ being the number of users with a
 * positive pair among what is left, and then all weights by one number, so that positive weights
 * add up to what they did: strength is compared between items, not lost. (Steck 2011 divides by
 * popularity in the same place.) Models take weights to powers of their own.
 *
 * exposure_power does the same with (shownᵢ + 10)^−β, shownᵢ being how often the item was looked at
 * (model/looks.h): at β = 1
 * what an item earned is counted per time it was shown, which is inverse propensity weighting with
 * an item's share of the impressions as its propensity (Schnabel et al., ICML 2016, section 4;
 * departure: impressions are logged here, so the propensity is counted and not modelled). It
 * answers the question only where each item has a chance to be shown: exploration. The 10 keep one
 * lucky impression from being the best item.
 *
 * Negatives are drawn last (negatives.c). Deterministic; one thread. */
#include "data/dataset_options.h"

#include "base/log.h"
#include "base/mem.h"
#include "data/negatives.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS    86400000.0
#define SHOWN_TOO 10.0 /* impressions that each item has beside its own */
#define AT(field) offsetof(wn_dataset_options, field)

const wn_dataset_key wn_dataset_keys[] = {
    {"window_days", AT(window_days), 0, 36500, false, "events at most so long before the last one"},
    {"active_events", AT(active_events), 0, 1e6, true,
     "users need so many events of positive weight"},
    {"active_days", AT(active_days), 0, 36500, false,
     "… within so many days before the last event; 0: at any time"},
    {"user_items_max", AT(user_items_max), 0, 1e9, true, "newest items of a user that count"},
    {"user_items_min", AT(user_items_min), 0, 1e6, true, "users with fewer items are left out"},
    {"item_users_min", AT(item_users_min), 0, 1e6, true, "items with fewer users are left out"},
    {"popularity_alpha", AT(popularity_alpha), 0, 2, false,
     "weights are divided by the item's number of users to this power"},
    {"exposure_power", AT(exposure_power), 0, 2, false,
     "weights are divided by the item's impressions to this power"},
    {"negatives", AT(negatives), 0, 100, false,
     "items drawn for each positive pair that the user never met, as dislikes"},
    {"negatives_power", AT(negatives_power), 0, 2, false,
     "… by the item's number of users to this power; 0: each alike"},
};
const size_t wn_dataset_keys_len = sizeof wn_dataset_keys / sizeof *wn_dataset_keys;

/* --- options --- */

wn_status wn_dataset_key_put(const wn_dataset_key *key, double value, wn_dataset_options *options,
                             wn_error *err) {
  if (!(value >= key->min && value <= key->max))
    return wn_fail(err, WN_E_ARGUMENT, "dataset", "%s must be %.15g to %.15g, got %.15g", key->name,
                   key->min, key->max, value);
  if (key->whole && value != floor(value))
    return wn_fail(err, WN_E_ARGUMENT, "dataset", "%s must be a whole number, got %.15g", key->name,
                   value);
  memcpy((char *)options + key->offset, &value, sizeof value);
  return WN_OK;
}

wn_status wn_dataset_options_set(wn_dataset_options *options, const char *assignment,
                                 wn_error *err) {
  const char *equals = strchr(assignment, '=');
  char names[256] = "";
  size_t at = 0;
  for (size_t i = 0; i < wn_dataset_keys_len; i++) {
    const wn_dataset_key *key = &wn_dataset_keys[i];
    double value = 0;
    if (at < sizeof names)
      at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "", key->name);
    if (equals == NULL ||
        !wn_str_is((wn_str){assignment, (size_t)(equals - assignment)}, key->name))
      continue;
    if (!wn_parse_double(wn_str_of(equals + 1), &value))
      return wn_fail(err, WN_E_ARGUMENT, "dataset", "%s must be a number, got \"%.40s\"", key->name,
                     equals + 1);
    return wn_dataset_key_put(key, value, options, err);
  }
  return wn_fail(err, WN_E_ARGUMENT, "dataset", "%s \"%.100s\"; the keys are %s",
                 equals == NULL ? "must be KEY=VALUE, got" : "has no such key:", assignment, names);
}

bool wn_dataset_options_none(const wn_dataset_options *options) {
  for (size_t i = 0; i < wn_dataset_keys_len; i++) {
    double value;
    memcpy(&value, (const char *)options + wn_dataset_keys[i].offset, sizeof value);
    /* these two say nothing by themselves */
    if (value != 0 && wn_dataset_keys[i].offset != AT(active_days) &&
        wn_dataset_keys[i].offset != AT(negatives_power))
      return false;
  }
  return true;
}

/* --- the report --- */

typedef struct count_name {
  const char *key, *text;
  size_t offset;
} count_name;
#define COUNT(field) offsetof(wn_dataset_report, field)
static const count_name counts[] = {
    {"events", "events", COUNT(events)},
    {"events_old", "events before the window", COUNT(events_old)},
    {"users_inactive", "inactive users", COUNT(users_inactive)},
    {"events_inactive", "events of inactive users", COUNT(events_inactive)},
    {"users_over", "users over the cap", COUNT(users_over)},
    {"pairs_over", "pairs over the cap", COUNT(pairs_over)},
    {"users_rare", "users with too few items", COUNT(users_rare)},
    {"items_rare", "items with too few users", COUNT(items_rare)},
    {"pairs_rare", "pairs of these", COUNT(pairs_rare)},
    {"negatives", "negatives", COUNT(negatives)},
    {"users", "users", COUNT(users)},
    {"items", "items", COUNT(items)},
    {"pairs", "pairs", COUNT(pairs)},
};
#define COUNTS (sizeof counts / sizeof *counts)
#define LEFT   4 /* the last ones: what is drawn and what is left */

static uint64_t count_at(const wn_dataset_report *report, size_t i) {
  uint64_t value;
  memcpy(&value, (const char *)report + counts[i].offset, sizeof value);
  return value;
}

void wn_dataset_report_to_json(const wn_dataset_report *report, wn_json *json) {
  wn_json_object(json);
  for (size_t i = 0; i < COUNTS; i++) {
    wn_json_key(json, counts[i].key);
    wn_json_int(json, (int64_t)count_at(report, i));
  }
  wn_json_end_object(json);
}

void wn_dataset_report_print(const wn_dataset_report *report, wn_buf *out) {
  wn_buf_printf(out, "fitted on %llu pairs of %llu users and %llu items",
                (unsigned long long)report->pairs, (unsigned long long)report->users,
                (unsigned long long)report->items);
  const char *before = "; left out: ";
  for (size_t i = 1; i < COUNTS - LEFT; i++) {
    if (count_at(report, i) == 0) continue;
    wn_buf_printf(out, "%s%llu %s", before, (unsigned long long)count_at(report, i),
                  counts[i].text);
    before = ", ";
  }
  if (report->negatives > 0)
    wn_buf_printf(out, "; %llu negatives drawn", (unsigned long long)report->negatives);
}

/* --- events --- */

typedef struct span {
  int64_t last_ms;
  uint64_t last_seq;
  uint32_t users, items;
} span;

static span span_of(const wn_pairs_input *in) {
  span s = {.last_ms = INT64_MIN, .users = in->users, .items = in->items};
  for (size_t i = 0; i < in->count; i++) {
    const wn_event *e = &in->events[i];
    if (e->time_ms > s.last_ms) s.last_ms = e->time_ms;
    if (e->seq > s.last_seq) s.last_seq = e->seq;
    if (e->user != WN_NO_IX && e->user >= s.users) s.users = e->user + 1;
    if (e->item != WN_NO_IX && e->item >= s.items) s.items = e->item + 1;
  }
  return s;
}

/* The first moment that lies at most `days` before `last_ms`. */
static int64_t moment_before(int64_t last_ms, double days) {
  double at = (double)last_ms - days * DAY_MS;
  return at <= -9.2e18 ? INT64_MIN : (int64_t)ceil(at);
}

int64_t wn_dataset_since(const wn_pairs_input *in, const wn_dataset_options *options) {
  if (in->count == 0 || options->window_days == 0) return INT64_MIN;
  return moment_before(span_of(in).last_ms, options->window_days);
}

#define MET (1u << 31) /* beside a count: the user has events in the window */

/* Positive events of each user since `since`; wrong events count nobody (pairs reports them). */
static void count_active(const wn_pairs_input *in, int64_t since, uint32_t *active) {
  for (size_t i = 0; i < in->count; i++) {
    const wn_event *e = &in->events[i];
    if (e->user == WN_NO_IX || e->time_ms < since) continue;
    float weight = wn_signal_weight(in->signals, e->type, (double)e->value, e->time_ms, e->time_ms);
    active[e->user] += weight > 0 && active[e->user] < MET - 1;
  }
}

/* Copies the events of the window's active users; `active` counts their users, or is NULL. */
static size_t copy_kept(const wn_pairs_input *in, int64_t since, uint32_t *active,
                        const wn_dataset_options *options, wn_event *out,
                        wn_dataset_report *report) {
  size_t kept = 0;
  for (size_t i = 0; i < in->count; i++) {
    const wn_event *e = &in->events[i];
    if (e->time_ms < since) {
      report->events_old++;
    } else if (active != NULL && e->user != WN_NO_IX &&
               (active[e->user] & ~MET) < options->active_events) {
      report->events_inactive++;
      active[e->user] |= MET;
    } else {
      out[kept++] = *e;
    }
  }
  return kept;
}

/* Window and active users: in->events becomes *copy. */
static wn_status choose_events(wn_pairs_input *in, const span *s, const wn_dataset_options *options,
                               wn_event **copy, wn_dataset_report *report, wn_error *err) {
  uint32_t *active = NULL;
  wn_status status = WN_OK;
  if (in->count == 0 || (options->window_days == 0 && options->active_events == 0)) return WN_OK;
  int64_t window = wn_dataset_since(in, options);
  *copy = wn_reallocarray(NULL, in->count, sizeof **copy);
  if (*copy == NULL) WN_TRY(wn_fail_memory(err));
  if (options->active_events > 0) {
    int64_t since =
        options->active_days > 0 ? moment_before(s->last_ms, options->active_days) : INT64_MIN;
    active = wn_calloc((size_t)s->users + 1, sizeof *active);
    if (active == NULL) WN_TRY(wn_fail_memory(err));
    count_active(in, since > window ? since : window, active);
  }
  in->count = copy_kept(in, window, active, options, *copy, report);
  in->events = *copy;
  for (size_t u = 0; active != NULL && u < s->users; u++)
    report->users_inactive += (active[u] & MET) != 0;
cleanup:
  wn_free(active);
  return status;
}

/* --- pairs --- */

/* `keep[p]` says which entries stay; rows keep their order. */
static void compact(wn_csr *m, const uint8_t *keep) {
  uint64_t at = 0;
  for (uint32_t u = 0; u < m->rows; u++) {
    uint64_t begin = m->row_ptr[u];
    m->row_ptr[u] = at;
    for (uint64_t p = begin; p < m->row_ptr[u + 1]; p++) {
      if (!keep[p]) continue;
      m->col[at] = m->col[p];
      m->weight[at] = m->weight[p];
      if (m->type != NULL) m->type[at] = m->type[p];
      m->time_ms[at++] = m->time_ms[p];
    }
  }
  m->row_ptr[m->rows] = at;
  m->nnz = at;
}

static void cap_rows(const wn_csr *m, double most, uint8_t *keep, wn_dataset_report *report) {
  for (uint32_t u = 0; most > 0 && u < m->rows; u++) {
    uint64_t begin = m->row_ptr[u], len = m->row_ptr[u + 1] - begin;
    if ((double)len <= most) continue;
    uint64_t over = len - (uint64_t)most;
    memset(keep + begin, 0, (size_t)over);
    report->users_over++;
    report->pairs_over += over;
  }
}

/* One side of the graph of positive pairs: rows with too low a degree fall. */
typedef struct side {
  const wn_csr *rows;
  uint32_t *degree; /* UINT32_MAX: fallen */
  double least;
  uint64_t fallen;
} side;

typedef struct peel {
  side side[2];    /* users, items */
  uint64_t *stack; /* fallen, while their pairs still count for the other side */
  size_t len;
} peel;

static void fall(peel *p, unsigned which, uint32_t row) {
  side *s = &p->side[which];
  if (s->degree[row] == UINT32_MAX || s->degree[row] >= s->least) return;
  if (s->rows->row_ptr[row + 1] > s->rows->row_ptr[row]) s->fallen++;
  s->degree[row] = UINT32_MAX;
  p->stack[p->len++] = (uint64_t)row << 1 | which;
}

static void peel_all(peel *p) {
  for (unsigned which = 0; which < 2; which++) {
    side *s = &p->side[which];
    for (uint32_t r = 0; r < s->rows->rows; r++) {
      for (uint64_t i = s->rows->row_ptr[r]; i < s->rows->row_ptr[r + 1]; i++)
        s->degree[r] += wn_csr_weight(s->rows, i) > 0;
    }
  }
  for (unsigned which = 0; which < 2; which++)
    for (uint32_t r = 0; r < p->side[which].rows->rows; r++) fall(p, which, r);
  while (p->len > 0) {
    uint64_t top = p->stack[--p->len];
    unsigned which = top & 1;
    const wn_csr *rows = p->side[which].rows;
    uint32_t *other = p->side[!which].degree, row = (uint32_t)(top >> 1);
    for (uint64_t i = rows->row_ptr[row]; i < rows->row_ptr[row + 1]; i++) {
      if (!(wn_csr_weight(rows, i) > 0) || other[rows->col[i]] == UINT32_MAX) continue;
      other[rows->col[i]]--;
      fall(p, !which, rows->col[i]);
    }
  }
}

/* Replaces the transpose after by_user has changed. */
static wn_status transpose_again(wn_dataset *data, wn_error *err) {
  wn_csr_clear(&data->by_item);
  return wn_csr_transpose(&data->by_user, &data->by_item, err);
}

static wn_status least_counts(wn_dataset *data, const wn_dataset_options *options, uint8_t *keep,
                              wn_dataset_report *report, wn_error *err) {
  const wn_csr *m = &data->by_user;
  size_t nodes = (size_t)data->users + data->items;
  wn_status status = WN_OK;
  peel p = {.side = {{.rows = m, .least = options->user_items_min},
                     {.rows = &data->by_item, .least = options->item_users_min}}};
  p.side[0].degree = wn_calloc(nodes + 1, sizeof(uint32_t));
  p.stack = wn_reallocarray(NULL, nodes + 1, sizeof *p.stack);
  if (p.side[0].degree == NULL || p.stack == NULL) WN_TRY(wn_fail_memory(err));
  p.side[1].degree = p.side[0].degree + data->users;
  peel_all(&p);
  report->users_rare = p.side[0].fallen;
  report->items_rare = p.side[1].fallen;
  for (uint32_t u = 0; u < data->users; u++)
    for (uint64_t i = m->row_ptr[u]; i < m->row_ptr[u + 1]; i++)
      if (p.side[0].degree[u] == UINT32_MAX || p.side[1].degree[m->col[i]] == UINT32_MAX) {
        keep[i] = 0;
        report->pairs_rare++;
      }
  if (report->pairs_rare > 0) {
    compact(&data->by_user, keep);
    WN_TRY(transpose_again(data, err));
  }
cleanup:
  wn_free(p.side[0].degree);
  wn_free(p.stack);
  return status;
}

static wn_status choose_pairs(wn_dataset *data, const wn_dataset_options *options,
                              wn_dataset_report *report, wn_error *err) {
  wn_status status = WN_OK;
  uint8_t *keep = wn_malloc((size_t)data->by_user.nnz + 1);
  if (keep == NULL) return wn_fail_memory(err);
  memset(keep, 1, (size_t)data->by_user.nnz + 1);
  cap_rows(&data->by_user, options->user_items_max, keep, report);
  if (report->pairs_over > 0) {
    compact(&data->by_user, keep);
    WN_TRY(transpose_again(data, err));
    memset(keep, 1, (size_t)data->by_user.nnz + 1);
  }
  if (options->user_items_min > 0 || options->item_users_min > 0)
    WN_TRY(least_counts(data, options, keep, report, err));
cleanup:
  wn_free(keep);
  return status;
}

/* --- weights --- */

/* Multiplies weights by their item's factor, and all by what keeps the sum of the positive ones. */
static wn_status correct(wn_dataset *data, const double *factor, wn_error *err) {
  wn_csr *m = &data->by_user;
  double before = 0, after = 0;
  for (uint64_t p = 0; p < m->nnz; p++) {
    if (!(m->weight[p] > 0)) continue;
    before += (double)m->weight[p];
    after += (double)m->weight[p] * factor[m->col[p]];
  }
  double scale = after > 0 ? before / after : 1;
  for (uint64_t p = 0; p < m->nnz; p++)
    m->weight[p] = (float)((double)m->weight[p] * factor[m->col[p]] * scale);
  return transpose_again(data, err);
}

static wn_status correct_popularity(wn_dataset *data, double alpha, wn_error *err) {
  wn_csr *m = &data->by_user;
  double *factor = wn_calloc((size_t)data->items + 1, sizeof *factor);
  if (factor == NULL) return wn_fail_memory(err);
  for (uint64_t p = 0; p < m->nnz; p++) factor[m->col[p]] += m->weight[p] > 0;
  for (uint32_t i = 0; i < data->items; i++) factor[i] = factor[i] > 1 ? pow(factor[i], -alpha) : 1;
  wn_status status = correct(data, factor, err);
  wn_free(factor);
  return status;
}

static wn_status correct_exposure(wn_dataset *data, const wn_pairs_input *in, double power,
                                  wn_error *err) {
  if (in->shown == NULL) {
    wn_log(WN_LOG_WARN, "dataset: exposure_power: no impressions here, weights stay");
    return WN_OK;
  }
  double *factor = wn_calloc((size_t)data->items + 1, sizeof *factor);
  if (factor == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < data->items; i++)
    factor[i] = pow(SHOWN_TOO + (i < in->shown_len ? (double)in->shown[i] : 0), -power);
  wn_status status = correct(data, factor, err);
  data->per_look = true;
  wn_free(factor);
  return status;
}

/* --- all of it --- */

static void count_left(const wn_dataset *data, wn_dataset_report *report) {
  const wn_csr *sides[] = {&data->by_user, &data->by_item};
  uint64_t *count[] = {&report->users, &report->items};
  for (size_t s = 0; s < 2; s++)
    for (uint32_t r = 0; r < sides[s]->rows; r++)
      *count[s] += sides[s]->row_ptr[r + 1] > sides[s]->row_ptr[r];
  report->pairs = data->by_user.nnz;
}

wn_status wn_dataset_prepare(const wn_pairs_input *in, const wn_dataset_options *options,
                             wn_dataset *out, wn_dataset_report *report, wn_error *err) {
  wn_dataset_report unread;
  wn_event *copy = NULL;
  wn_pairs_input chosen = *in;
  wn_status status;
  span s = span_of(in);
  if (report == NULL) report = &unread;
  *report = (wn_dataset_report){.events = in->count};
  memset(out, 0, sizeof *out);
  if (in->count > 0 && chosen.now_ms == 0) chosen.now_ms = s.last_ms;
  chosen.users = s.users;
  chosen.items = s.items;
  WN_TRY(choose_events(&chosen, &s, options, &copy, report, err));
  WN_TRY(wn_dataset_from(&chosen, out, err));
  out->last_seq = s.last_seq;
  WN_TRY(choose_pairs(out, options, report, err));
  if (options->popularity_alpha > 0)
    WN_TRY(correct_popularity(out, options->popularity_alpha, err));
  if (options->exposure_power > 0) WN_TRY(correct_exposure(out, in, options->exposure_power, err));
  count_left(out, report);
  if (options->negatives > 0) {
    WN_TRY(wn_negatives_add(&out->by_user, options->negatives, options->negatives_power,
                            &report->negatives, err));
    WN_TRY(transpose_again(out, err));
  }
cleanup:
  wn_free(copy);
  if (status != WN_OK) wn_dataset_clear(out);
  return status;
}
