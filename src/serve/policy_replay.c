/* Replaying a log under another policy.
 *
 * One pass over the events in the order in which they arrived; before each, the slates that were
 * shown until then are asked again of the state as it stood. When an event arrived is not logged,
 * only when it happened; the latest time among those that arrived with or before it is the earliest
 * moment that it can have come, so nothing is known too late, and too early only what was sent with
 * a delay. A snapshot is asked only about slates after its last event: of those before it knows the
 * outcome.
 *
 * Probabilities of a place are given what stood above it, as the logged ones are: the funnel is
 * made to put the shown items, place by place, and says how likely each was (funnel.h, `shown`).
 * That is exact for orders with and without chance (temperature, exploring slots). Where candidates
 * themselves are drawn (the model `random`) it is averaged over `draws` runs.
 *
 * Requests' own filters and exclusions are logged, and hold again. Not known, and so not replayed:
 * former attributes of items, items hidden then and back now. One thread, a funnel a slate and
 * draw.
 */
#include "serve/policy_replay.h"

#include "base/mem.h"
#include "base/rng.h"
#include "funnel/perturb.h"
#include "serve/engine_exposed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_BYTES_MAX ((size_t)512 << 20)
#define DRAWS             100

typedef struct rerun {
  wn_engine *engine;
  const wn_policy_replay_options *options;
  wn_own_log *log;
  wn_policy_replay_report *report;
  wn_sessions *sessions;
  wn_exposure *exposure; /* NULL: nothing asks for it */
  wn_arena arena;
  wn_bitset known;   /* items that were there */
  int64_t *known_ms; /* [items] since when */
  uint32_t *by_time; /* items by known_ms */
  uint32_t items, known_len;
  size_t next;      /* slate */
  int64_t now_ms;   /* of the replay */
  bool *kept;       /* [slates] */
  uint64_t sampled; /* ids whose hash is below are asked */
} rerun;

/* --- what was there --- */

static wn_status note_event(void *ctx, const wn_stored_event *event, wn_error *err WN_UNUSED) {
  rerun *r = ctx;
  if (event->item < r->items && event->time_ms < r->known_ms[event->item])
    r->known_ms[event->item] = event->time_ms;
  return WN_OK;
}

static int by_known(const void *a, const void *b, void *ctx) {
  const int64_t *known_ms = ctx;
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  if (known_ms[x] != known_ms[y]) return known_ms[x] < known_ms[y] ? -1 : 1;
  return x < y ? -1 : x > y;
}

/* An item is there from when it was made, met or shown, whatever came first: those of an import
 * were often made long before they were stored. */
static wn_status find_items(rerun *r, wn_error *err) {
  const int64_t *created = wn_catalog_created(r->engine->catalog);
  wn_status status;
  r->items = wn_catalog_count(r->engine->catalog);
  r->known_ms = wn_reallocarray(NULL, r->items + (size_t)1, sizeof *r->known_ms);
  r->by_time = wn_reallocarray(NULL, r->items + (size_t)1, sizeof *r->by_time);
  if (r->known_ms == NULL || r->by_time == NULL || !wn_bitset_init(&r->known, r->items))
    return wn_fail_memory(err);
  for (uint32_t i = 0; i < r->items; i++) {
    r->known_ms[i] = created[i];
    r->by_time[i] = i;
  }
  WN_TRY(wn_store_scan_events(r->engine->store, 0, 0, note_event, r, err));
  for (size_t i = 0; i < r->log->log.rows.len; i++) {
    const wn_logged_row *row = &r->log->log.rows.data[i];
    int64_t shown = r->log->slates.data[row->decision].time_ms;
    if (row->item < r->items && shown < r->known_ms[row->item]) r->known_ms[row->item] = shown;
    r->report->hidden_items += row->item >= r->items ||
                               !wn_bitset_test(wn_catalog_servable(r->engine->catalog), row->item);
  }
  qsort_r(r->by_time, r->items, sizeof *r->by_time, by_known, r->known_ms);
cleanup:
  return status;
}

/* --- one slate --- */

static wn_status ask_user(rerun *r, const wn_own_slate *slate, wn_request *request, wn_error *err) {
  wn_pair_list pairs;
  if (slate->user == WN_NO_IX) return WN_OK;
  wn_status status = wn_online_user(r->engine->serving->online, slate->user, slate->time_ms,
                                    &r->arena, &pairs, err);
  if (status != WN_OK) return status;
  wn_seen_entry *seen = wn_arena_alloc(&r->arena, (pairs.len + 1) * sizeof *seen);
  if (seen == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < pairs.len; i++)
    seen[i] = (wn_seen_entry){pairs.data[i].item, pairs.data[i].mask};
  request->seen = seen;
  request->seen_len = pairs.len;
  if (request->surface->flavour == WN_FLAVOUR_FLAT) return WN_OK;
  return wn_engine_history(r->engine, &request->query, pairs, &r->arena, err);
}

/* Whether two requests alike may get two sets of candidates; what ordering draws is exact. */
static bool has_chance(const wn_surface *surface) {
  for (size_t i = 0; i < surface->generators_len; i++)
    if (strcmp(surface->generators[i].model, wn_model_random.name) == 0) return true;
  for (size_t i = 0; i < surface->fallback_len; i++)
    if (strcmp(surface->fallback[i].model, wn_model_random.name) == 0) return true;
  return false;
}

static wn_status draw(rerun *r, const wn_own_slate *slate, wn_request *request, wn_error *err) {
  wn_logged_row *rows = r->log->log.rows.data + slate->first;
  uint32_t draws = r->options->draws > 0          ? r->options->draws
                   : has_chance(request->surface) ? DRAWS
                                                  : 1;
  wn_status status = WN_OK;
  wn_item_ix *shown = wn_arena_alloc(&r->arena, (slate->len + 1) * sizeof *shown);
  if (shown == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < slate->len; i++) {
    rows[i].p_eval = 0;
    shown[i] = rows[i].item;
  }
  request->shown = shown;
  request->shown_len = slate->len;
  for (uint32_t d = 0; d < draws; d++) {
    wn_slate got = {0};
    request->query.seed = wn_hash64(slate->id.ptr, slate->id.len, d);
    WN_TRY(wn_funnel_run(request, &got, err));
    for (size_t i = 0; i < got.len; i++) {
      rows[i].p_eval += (double)got.items[i].propensity / (double)draws;
      if (d == 0) rows[i].chosen = got.items[i].chosen;
      if (d == 0) r->report->short_places += got.items[i].chosen == WN_NO_IX;
    }
  }
  for (size_t i = 0; i < slate->len; i++)
    if (rows[i].p_eval > 1) rows[i].p_eval = 1;
  if (draws > r->report->draws) r->report->draws = draws;
cleanup:
  return status;
}

/* Hers whoever asked, known or not. */
static wn_str name_of_user(const rerun *r, const wn_own_slate *slate) {
  return slate->user != WN_NO_IX ? wn_dict_key(wn_store_users(r->engine->store), slate->user)
                                 : slate->user_id;
}

static wn_status session_of(rerun *r, const wn_own_slate *slate, wn_str *name, wn_error *err) {
  return wn_engine_session_name(slate->session, name_of_user(r, slate), &r->arena, name, err);
}

/* The weights that the user would have had on that day. */
static wn_status perturb(rerun *r, const wn_own_slate *slate, wn_request *request, wn_error *err) {
  wn_buf factors = {0};
  wn_surface *own = wn_arena_alloc(&r->arena, sizeof *own);
  if (own == NULL) return wn_fail_memory(err);
  if (wn_perturb(request->surface, name_of_user(r, slate), slate->time_ms, own, &factors))
    request->surface = own;
  wn_buf_clear(&factors);
  return WN_OK;
}

static wn_status ask(rerun *r, const wn_own_slate *slate, const wn_surface *surface,
                     wn_error *err) {
  wn_engine *engine = r->engine;
  wn_status status;
  wn_str session = {0};
  wn_asked_exposure exposure;
  wn_request request = {.surface = surface,
                        .models = &engine->serving->models,
                        .catalog = engine->catalog,
                        .filters = engine->filters,
                        .signals = &engine->serving->signals,
                        .within = &r->known,
                        .n = (uint32_t)slate->len,
                        .query = {.user = slate->user,
                                  .anchor = slate->anchor,
                                  .now_ms = slate->time_ms,
                                  .arena = &r->arena}};
  if (surface->flavour == WN_FLAVOUR_FEED) WN_TRY(session_of(r, slate, &session, err));
  if (session.len > 0) {
    wn_item_list served;
    WN_TRY(wn_sessions_served(r->sessions, session, slate->time_ms, &r->arena, &served, err));
    request.served = served.data;
    request.served_len = served.len;
  }
  if (slate->request.len > 0) {
    wn_attrs *context = wn_arena_alloc(&r->arena, sizeof *context);
    if (context == NULL) WN_TRY(wn_fail_memory(err));
    WN_TRY(wn_attrs_from_json(slate->request, &r->arena, context, err));
    request.query.context = context;
  }
  if (surface->perturb > 0) WN_TRY(perturb(r, slate, &request, err));
  request.filter = slate->filter;
  request.exclude = slate->exclude;
  request.exclude_len = slate->exclude_len;
  request.exposed =
      wn_asked_exposure_of(r->exposure, slate->surface, name_of_user(r, slate), &exposure);
  WN_TRY(ask_user(r, slate, &request, err));
  WN_TRY(draw(r, slate, &request, err));
cleanup:
  return status;
}

/* What the feed did show is its memory, whatever would have been shown. */
static wn_status remember(rerun *r, const wn_own_slate *slate, wn_error *err) {
  wn_str name;
  wn_item_ix *items = wn_arena_alloc(&r->arena, slate->len * sizeof *items);
  if (items == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < slate->len; i++) items[i] = r->log->log.rows.data[slate->first + i].item;
  wn_status status = session_of(r, slate, &name, err);
  if (status != WN_OK || name.len == 0) return status;
  return wn_sessions_add(r->sessions, name, slate->time_ms, items, slate->len, err);
}

/* What was shown counts for what comes after. */
static wn_status expose(rerun *r, const wn_own_slate *slate, wn_error *err) {
  wn_item_ix *items = wn_arena_alloc(&r->arena, (slate->len + 1) * sizeof *items);
  if (items == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < slate->len; i++) items[i] = r->log->log.rows.data[slate->first + i].item;
  const wn_exposed_slate shown = {.id = slate->id,
                                  .surface = slate->surface,
                                  .user = name_of_user(r, slate),
                                  .time_ms = slate->time_ms,
                                  .items = items,
                                  .context = slate->context,
                                  .len = slate->len};
  return wn_exposure_add(r->exposure, &shown, NULL, 0, NULL, err);
}

/* The slates before the log that is replayed, with what answered them until then. */
static wn_status expose_past(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                             size_t len, wn_error *err) {
  rerun *r = ctx;
  size_t known = 0;
  if (slate->time_ms > r->report->data_ms) return WN_OK;
  while (known < len && answers[known].seq <= r->engine->serving->last_seq) known++;
  return wn_exposure_replay(r->exposure, r->engine, slate, answers, known, err);
}

static wn_status begin_exposure(rerun *r, wn_error *err) {
  wn_status status;
  wn_exposure_options options;
  wn_answered_options how;
  bool asks;
  WN_TRY(wn_engine_asks_exposed(r->engine, r->engine->policy, &asks, err));
  if (!asks) return WN_OK;
  wn_exposure_options_defaults(&options);
  options.impressions_max = r->engine->config.server.impressions_remembered;
  r->exposure = wn_exposure_create(&options);
  if (r->exposure == NULL) return wn_fail_memory(err);
  wn_answered_options_defaults(&how);
  status = wn_store_scan_answered(r->engine->store, &how, expose_past, r, err);
cleanup:
  return status;
}

static bool is_asked_for(const rerun *r, const wn_own_slate *slate) {
  if (wn_hash64(slate->id.ptr, slate->id.len, 0) > r->sampled) return false;
  return !r->options->own_only || (slate->policy == r->engine->policy->hash &&
                                   slate->snapshot == r->report->snapshot && slate->arms.len == 0);
}

static wn_status next_slate(rerun *r, wn_error *err) {
  const wn_own_slate *slate = &r->log->slates.data[r->next];
  wn_policy_replay_report *report = r->report;
  const wn_surface *surface = wn_surfaces_find(&r->engine->policy->surfaces, slate->surface);
  wn_status status = WN_OK;
  wn_arena_reset(&r->arena);
  while (r->known_len < r->items && r->known_ms[r->by_time[r->known_len]] <= slate->time_ms)
    wn_bitset_set(&r->known, r->by_time[r->known_len++]);
  if (surface == NULL) {
    report->no_surface++;
  } else if (slate->user != WN_NO_IX && wn_engine_user_gone(r->engine, slate->user)) {
    report->gone++;
  } else if (!is_asked_for(r, slate)) {
    report->not_drawn++;
  } else {
    WN_TRY(ask(r, slate, surface, err));
    r->kept[r->next] = true;
    report->slates++;
  }
  if (surface != NULL && surface->flavour == WN_FLAVOUR_FEED) WN_TRY(remember(r, slate, err));
  if (r->exposure != NULL) WN_TRY(expose(r, slate, err));
  r->next++;
  if (r->next % 64 == 0 && !wn_progress_at(r->options->progress, "replaying", (double)r->next,
                                           (double)r->log->slates.len, "slates"))
    WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
cleanup:
  return status;
}

/* --- the pass --- */

static wn_status slates_until(rerun *r, int64_t time_ms, wn_error *err) {
  wn_status status = WN_OK;
  while (status == WN_OK && r->next < r->log->slates.len &&
         r->log->slates.data[r->next].time_ms <= time_ms)
    status = next_slate(r, err);
  return status;
}

static wn_status each_event(void *ctx, const wn_stored_event *event, wn_error *err) {
  rerun *r = ctx;
  if (event->time_ms > r->now_ms) r->now_ms = event->time_ms;
  wn_status status = slates_until(r, r->now_ms, err);
  if (status == WN_OK && r->exposure != NULL &&
      wn_signal_weight(&r->engine->serving->signals, event->type, event->value, event->time_ms,
                       event->time_ms) > 0)
    wn_exposure_answer(r->exposure, event->slate,
                       wn_dict_key(wn_store_users(r->engine->store), event->user), event->item,
                       event->time_ms);
  return status == WN_OK ? wn_serving_event(r->engine, r->engine->serving, event, err) : status;
}

static wn_status each_item(void *ctx, wn_item_ix ix, uint64_t rev WN_UNUSED,
                           const wn_item_record *item, wn_error *err) {
  rerun *r = ctx;
  if (item->status == WN_ITEM_DELETED) return WN_OK;
  return wn_models_update_item(&r->engine->serving->models, ix, item, err);
}

/* The engine's state becomes the snapshot's, without any event after it. */
static wn_status go_back(rerun *r, wn_error *err) {
  char path[4096];
  wn_engine *engine = r->engine;
  wn_snapshot *snapshot = NULL;
  wn_serving *serving = NULL;
  uint64_t number = r->options->snapshot;
  wn_status status;
  if (number == 0) number = engine->serving->about.number;
  if (number == 0)
    return wn_fail(err, WN_E_NOT_FOUND, "snapshot", "none is trained yet: run winnow train");
  WN_TRY(
      wn_snapshot_open(wn_snapshot_path(engine->dir, number, path, sizeof path), &snapshot, err));
  WN_TRY(wn_serving_create(engine, snapshot, &serving, err));
  wn_serving_forget_erased(engine, serving);
  wn_serving_free(engine->serving);
  engine->serving = serving;
  r->report->snapshot = number;
  r->report->data_ms = serving->about.data_ms;
  WN_TRY(wn_store_scan_items(engine->store, serving->about.item_rev, each_item, r, err));
cleanup:
  return status;
}

/* Generators that the judged surfaces name and the snapshot does not have. */
static void note_missing(rerun *r) {
  const wn_surfaces *surfaces = &r->engine->policy->surfaces;
  char *out = r->report->missing_models;
  for (size_t s = 0; s < surfaces->len; s++) {
    if (r->options->log.surface != NULL &&
        strcmp(r->options->log.surface, surfaces->data[s].name) != 0)
      continue;
    for (size_t g = 0; g < surfaces->data[s].generators_len; g++) {
      const char *name = surfaces->data[s].generators[g].model;
      size_t len = strlen(out);
      if (wn_models_find(&r->engine->serving->models, name) != NULL || strstr(out, name) != NULL)
        continue;
      snprintf(out + len, sizeof r->report->missing_models - len, "%s%s", len > 0 ? ", " : "",
               name);
    }
  }
}

static wn_status count_before(void *ctx, const wn_slate_log *slate, wn_error *err WN_UNUSED) {
  rerun *r = ctx;
  const char *surface = r->options->log.surface;
  if (surface == NULL || wn_str_is(slate->surface, surface))
    r->report->before += slate->time_ms <= r->report->data_ms;
  return WN_OK;
}

static wn_status read_log(rerun *r, wn_error *err) {
  wn_own_log_options how = r->options->log;
  wn_engine *engine = r->engine;
  wn_status status;
  WN_TRY(wn_store_scan_slates(engine->store, how.since_ms, false, count_before, r, err));
  if (how.since_ms <= r->report->data_ms) how.since_ms = r->report->data_ms + 1;
  status = wn_own_log_read(engine->store, &engine->serving->signals, &how, r->log, err);
  if (status == WN_E_NOT_FOUND && r->report->before > 0)
    status = wn_fail(err, WN_E_NOT_FOUND, "snapshot",
                     "all %" PRIu64 " slates of that time were shown before the last event that "
                     "snapshot %" PRIu64 " learned from: it knows what came of them. Name an "
                     "earlier --snapshot",
                     r->report->before, r->report->snapshot);
cleanup:
  return status;
}

/* Slates that were not asked leave the log. */
static wn_status keep_asked(rerun *r, wn_error *err) {
  wn_logged *log = &r->log->log;
  size_t kept = 0;
  for (size_t i = 0; i < log->rows.len; i++)
    if (r->kept[log->rows.data[i].decision]) log->rows.data[kept++] = log->rows.data[i];
  log->rows.len = kept;
  if (kept == 0)
    return wn_fail(err, WN_E_NOT_FOUND, "surface",
                   "no logged slate can be replayed: %" PRIu64 " are of surfaces that the "
                   "configuration lacks, %" PRIu64 " of deleted users",
                   r->report->no_surface, r->report->gone);
  return wn_logged_finish(log, err);
}

wn_status wn_policy_replay(wn_engine *engine, const wn_policy_replay_options *options,
                           wn_own_log *out, wn_policy_replay_report *report, wn_error *err) {
  rerun r = {.engine = engine, .options = options, .log = out, .report = report};
  wn_sessions_options sessions;
  wn_status status;
  *out = (wn_own_log){0};
  *report = (wn_policy_replay_report){0};
  wn_arena_init(&r.arena, REQUEST_BYTES_MAX);
  wn_sessions_options_defaults(&sessions);
  sessions.ttl_ms = (int64_t)engine->config.server.session_minutes * 60000;
  r.sessions = wn_sessions_create(&sessions);
  if (r.sessions == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(go_back(&r, err));
  note_missing(&r);
  WN_TRY(begin_exposure(&r, err));
  WN_TRY(read_log(&r, err));
  WN_TRY(find_items(&r, err));
  r.kept = wn_calloc(out->slates.len, sizeof *r.kept);
  if (r.kept == NULL) WN_TRY(wn_fail_memory(err));
  r.sampled = UINT64_MAX;
  if (options->slates_max > 0 && options->slates_max < out->slates.len)
    r.sampled = (uint64_t)((double)UINT64_MAX * options->slates_max / (double)out->slates.len);
  r.now_ms = report->data_ms;
  WN_TRY(wn_store_scan_events(engine->store, engine->serving->last_seq, 0, each_event, &r, err));
  WN_TRY(slates_until(&r, INT64_MAX, err));
  WN_TRY(keep_asked(&r, err));
cleanup:
  wn_sessions_free(r.sessions);
  wn_exposure_free(r.exposure);
  wn_arena_clear(&r.arena);
  wn_bitset_clear(&r.known);
  wn_free(r.known_ms);
  wn_free(r.by_time);
  wn_free(r.kept);
  if (status != WN_OK) wn_own_log_clear(out);
  return status;
}
