/* Impressions and what came of them. An event counts for the impression that it names by slate; one
 * that names none, for the latest slate of the same user that showed the item, within a window.
 * Each impression earns at most 1, however many events it has: the reward is a share.
 *
 * Cost: a scan of slates, one of events; 64 bytes an impression and about 200 a slate. */
#include "lab/own_log.h"

#include "base/map64.h"

#include <math.h>
#include <string.h>

#define DAY_MS    (24 * 3600 * 1000LL)
#define ARENA_MAX ((size_t)4 << 30)

void wn_own_log_options_defaults(wn_own_log_options *options) {
  *options = (wn_own_log_options){.until_ms = INT64_MAX, .window_ms = DAY_MS};
}

typedef struct reading {
  const wn_own_log_options *options;
  wn_own_log *out;
  wn_map64 by_id;          /* hash of a slate's id → number + 1 */
  wn_map64 latest;         /* user << 32 | item → row + 1 */
  WN_VEC(size_t) previous; /* of each row: the same user's row of the item before, + 1 */
  bool *earns;             /* by event type */
  uint32_t types;
} reading;

/* --- slates --- */

static bool slate_is_sound(const wn_slate_log *slate) {
  for (size_t i = 0; i < slate->len; i++)
    if (!(slate->propensities[i] > 0 && slate->propensities[i] <= 1)) return false;
  return slate->len > 0;
}

static wn_status add_rows(reading *r, const wn_slate_log *slate, wn_error *err) {
  wn_own_log *out = r->out;
  for (size_t i = 0; i < slate->len; i++) {
    size_t row = out->log.rows.len, before = 0;
    wn_logged_row logged = {.decision = (uint32_t)out->slates.len,
                            .position = (uint32_t)i,
                            .item = slate->items[i],
                            .chosen = WN_NO_IX,
                            .p_log = (double)slate->propensities[i],
                            .p_eval = NAN,
                            .q = NAN,
                            .value = NAN};
    if (slate->user != WN_NO_IX) {
      uint64_t *latest = wn_map64_at(&r->latest, (uint64_t)slate->user << 32 | slate->items[i]);
      if (latest == NULL) return wn_fail_memory(err);
      before = (size_t)*latest;
      *latest = row + 1;
    }
    if (!wn_vec_push(&out->log.rows, logged) || !wn_vec_push(&r->previous, before))
      return wn_fail_memory(err);
  }
  return WN_OK;
}

static wn_status add_slate(void *ctx, const wn_slate_log *slate, wn_error *err) {
  reading *r = ctx;
  wn_own_log *out = r->out;
  if (slate->time_ms >= r->options->until_ms) return WN_OK;
  if (r->options->surface != NULL && !wn_str_is(slate->surface, r->options->surface)) return WN_OK;
  if (!slate_is_sound(slate)) {
    out->bad_propensities += slate->len > 0;
    return WN_OK;
  }
  wn_own_slate own = {.id = wn_arena_str(&out->arena, slate->id),
                      .surface = wn_arena_str(&out->arena, slate->surface),
                      .session = wn_arena_str(&out->arena, slate->session),
                      .user_id = wn_arena_str(&out->arena, slate->user_id),
                      .arms = wn_arena_str(&out->arena, slate->arms),
                      .user = slate->user,
                      .anchor = slate->anchor,
                      .snapshot = slate->snapshot,
                      .policy = slate->policy,
                      .time_ms = slate->time_ms,
                      .first = out->log.rows.len,
                      .len = slate->len,
                      .filter = wn_arena_str(&out->arena, slate->filter),
                      .context = wn_arena_str(&out->arena, slate->context),
                      .request = wn_arena_str(&out->arena, slate->request),
                      .weights = wn_arena_str(&out->arena, slate->weights),
                      .exclude_len = slate->exclude_len};
  if (slate->exclude_len > 0) {
    wn_item_ix *exclude = wn_arena_alloc(&out->arena, slate->exclude_len * sizeof *exclude);
    if (exclude == NULL) return wn_fail_memory(err);
    memcpy(exclude, slate->exclude, slate->exclude_len * sizeof *exclude);
    own.exclude = exclude;
  }
  uint64_t *by_id = wn_map64_at(&r->by_id, wn_hash64(slate->id.ptr, slate->id.len, 0));
  bool lost = slate->filter.ptr != NULL && own.filter.ptr == NULL;
  if (own.id.ptr == NULL || own.surface.ptr == NULL || by_id == NULL || lost)
    return wn_fail_memory(err);
  *by_id = out->slates.len + 1;
  wn_status status = add_rows(r, slate, err);
  if (status != WN_OK) return status;
  return wn_vec_push(&out->slates, own) ? WN_OK : wn_fail_memory(err);
}

/* --- rewards --- */

static const wn_own_slate *slate_named(const reading *r, wn_str id) {
  const uint64_t *at = wn_map64_find(&r->by_id, wn_hash64(id.ptr, id.len, 0));
  const wn_own_slate *slate = at != NULL ? &r->out->slates.data[*at - 1] : NULL;
  return slate != NULL && wn_str_equal(slate->id, id) ? slate : NULL;
}

/* The row of `item` in the slate; NULL: it did not show it. */
static wn_logged_row *row_in(const reading *r, const wn_own_slate *slate, wn_item_ix item) {
  for (size_t i = slate->first; i < slate->first + slate->len; i++)
    if (r->out->log.rows.data[i].item == item) return &r->out->log.rows.data[i];
  return NULL;
}

static wn_logged_row *row_by_window(const reading *r, const wn_stored_event *event) {
  const uint64_t *latest = wn_map64_find(&r->latest, (uint64_t)event->user << 32 | event->item);
  for (size_t row = latest != NULL ? (size_t)*latest : 0; row != 0;
       row = r->previous.data[row - 1]) {
    wn_logged_row *shown = &r->out->log.rows.data[row - 1];
    int64_t age = event->time_ms - r->out->slates.data[shown->decision].time_ms;
    if (age >= 0) return age <= r->options->window_ms ? shown : NULL;
  }
  return NULL;
}

static wn_status add_outcome(void *ctx, const wn_stored_event *event, wn_error *err WN_UNUSED) {
  reading *r = ctx;
  wn_own_log *out = r->out;
  wn_str slate = event->slate;
  if (event->time_ms < r->options->since_ms) return WN_OK;
  if (event->type >= r->types || !r->earns[event->type]) return WN_OK;
  const wn_own_slate *named = slate.len > 0 ? slate_named(r, slate) : NULL;
  wn_logged_row *row = slate.len == 0  ? row_by_window(r, event)
                       : named != NULL ? row_in(r, named, event->item)
                                       : NULL;
  if (row == NULL) {
    out->elsewhere++;
    return WN_OK;
  }
  row->reward = 1;
  *(slate.len > 0 ? &out->by_slate : &out->by_window) += 1;
  return WN_OK;
}

static wn_status choose_rewards(reading *r, wn_store *store, const wn_signals *signals,
                                wn_error *err) {
  const wn_dict *types = wn_store_types(store);
  r->types = wn_dict_count(types);
  r->earns = wn_calloc(r->types + (size_t)1, sizeof *r->earns);
  if (r->earns == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < r->options->rewards_len; i++) {
    uint32_t type = wn_dict_find(types, wn_str_of(r->options->rewards[i]));
    if (type == WN_NO_IX)
      return wn_fail(err, WN_E_NOT_FOUND, "reward", "the log has no event of type `%s`",
                     r->options->rewards[i]);
    r->earns[type] = true;
  }
  for (uint32_t t = 0; r->options->rewards_len == 0 && t < r->types; t++)
    r->earns[t] = wn_signal_weight(signals, t, NAN, 0, 0) > 0;
  return WN_OK;
}

wn_status wn_own_log_read(wn_store *store, const wn_signals *signals,
                          const wn_own_log_options *options, wn_own_log *out, wn_error *err) {
  reading r = {.options = options, .out = out};
  wn_status status;
  *out = (wn_own_log){0};
  wn_arena_init(&out->arena, ARENA_MAX);
  out->log.items = (wn_dict *)(uintptr_t)wn_store_items(store);
  out->log.borrowed = true;
  wn_map64_init(&r.by_id);
  wn_map64_init(&r.latest);
  WN_TRY(choose_rewards(&r, store, signals, err));
  WN_TRY(wn_store_scan_slates(store, options->since_ms, false, add_slate, &r, err));
  if (out->slates.len == 0)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "", "no impressions in that time%s: a server logs them",
                   options->surface != NULL ? " on that surface" : ""));
  WN_TRY(wn_store_scan_events(store, 0, 0, add_outcome, &r, err));
  WN_TRY(wn_logged_finish(&out->log, err));
cleanup:
  wn_map64_clear(&r.by_id);
  wn_map64_clear(&r.latest);
  wn_vec_clear(&r.previous);
  wn_free(r.earns);
  if (status != WN_OK) wn_own_log_clear(out);
  return status;
}

void wn_own_log_clear(wn_own_log *log) {
  wn_logged_clear(&log->log);
  wn_vec_clear(&log->slates);
  wn_arena_clear(&log->arena);
}
