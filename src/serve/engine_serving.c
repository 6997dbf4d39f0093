/* The state that hangs on a snapshot: building it, replaying the log into it, swapping it.
 *
 * A swap builds the new state beside the old one while requests and commits go on, replays the
 * log into it until little is left, and then, holding the lock alone, replays the remainder (up
 * to the last event that the old state has seen) and exchanges the pointers. Events carry their
 * position, and a state ignores what it has already: so each is counted once, whether the scan
 * or the commit hook brought it. Items that changed since the snapshot cost one scan of all items,
 * at the beginning; meanwhile the hook notes which ones change, and those are read one by one.
 * Going back to an older snapshot is the same path.
 *
 * Deleted users: their events are gone from the log, but a snapshot trained before still holds
 * them. Such base rows are voided. Should a user be deleted while a state is being built, the scan
 * may have read events that are gone now: the state is thrown away and built again. */

#include "serve/engine_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REMAINDER_EVENTS 256 /* replayed under the exclusive lock: one or two milliseconds */
#define REMAINDER_ITEMS  16  /* read back under it */
#define ITEM_BYTES_MAX   (8u << 20)
#define CATCH_UP_ROUNDS  20
#define BUILDS_MAX       5

void wn_serving_free(wn_serving *serving) {
  if (serving == NULL) return;
  wn_online_free(serving->online);
  wn_models_clear(&serving->models);
  wn_retrieval_free(serving->retrieval);
  wn_snapshot_unref(serving->snapshot);
  wn_free(serving);
}

/* Type numbers of the signals = those of the store. More types than signals can hold keep
 * weight 1 (signals.h); that is said once. */
static void serving_bind(wn_engine *engine, wn_serving *serving) {
  wn_error why = {0};
  char text[600];
  serving->types_bound = wn_dict_count(wn_store_types(engine->store));
  if (wn_signals_bind(&serving->signals, engine->store, &why) != WN_OK &&
      !atomic_exchange(&engine->types_told, true))
    wn_log(WN_LOG_WARN, "event types: %s", wn_error_format(&why, text, sizeof text));
}

static wn_status check_fits(const wn_engine *engine, const wn_snapshot_about *about,
                            wn_error *err) {
  uint32_t users = wn_dict_count(wn_store_users(engine->store));
  uint32_t items = wn_dict_count(wn_store_items(engine->store));
  if (about->users <= users && about->items <= items) return WN_OK;
  return wn_fail(err, WN_E_CORRUPT, "about",
                 "the snapshot knows %" PRIu32 " users and %" PRIu32
                 " items, the store only %" PRIu32 " and %" PRIu32
                 ": it belongs to a later state of the store",
                 about->users, about->items, users, items);
}

wn_status wn_serving_create(wn_engine *engine, wn_snapshot *snapshot, wn_serving **out,
                            wn_error *err) {
  wn_status status = WN_OK;
  wn_history_base base = {0};
  *out = NULL;
  wn_serving *serving = wn_calloc(1, sizeof *serving);
  if (serving == NULL) {
    wn_snapshot_unref(snapshot);
    return wn_fail_memory(err);
  }
  serving->snapshot = snapshot;
  serving->signals = engine->config.signals;
  serving_bind(engine, serving);
  if (snapshot != NULL) {
    serving->about = *wn_snapshot_about_of(snapshot);
    WN_TRY(check_fits(engine, &serving->about, err));
    WN_TRY(wn_models_map(snapshot, &serving->models, err));
    WN_TRY(wn_history_map(snapshot, &base, err));
  } else {
    WN_TRY(wn_models_empty(&serving->models, err));
  }
  serving->online = wn_online_create(&serving->signals, &base, serving->about.data_ms);
  if (serving->online == NULL) WN_TRY(wn_fail_memory(err));
  size_t bytes_max = (size_t)((double)engine->config.server.state_mb * (1 << 20));
  wn_online_bound(serving->online, engine->dir, bytes_max);
  wn_models_bound(&serving->models, engine->dir, bytes_max);
  serving->last_seq = serving->about.last_seq;
  *out = serving;
  serving = NULL;
cleanup:
  wn_serving_free(serving);
  return status;
}

void wn_serving_forget_erased(const wn_engine *engine, wn_serving *serving) {
  size_t i = 0;
  uint64_t user, seq;
  while (wn_map64_next(&engine->erased, &i, &user, &seq)) {
    if (serving->about.last_seq > seq) continue;
    wn_online_forget(serving->online, (wn_user_ix)user);
    wn_models_forget(&serving->models, (wn_user_ix)user);
  }
}

wn_status wn_serving_event(wn_engine *engine, wn_serving *serving, const wn_stored_event *event,
                           wn_error *err) {
  if (event->seq <= serving->last_seq) return WN_OK;
  serving->last_seq = event->seq;
  if (event->type >= serving->types_bound) serving_bind(engine, serving);
  wn_event e = {.user = event->user,
                .item = event->item,
                .type = event->type,
                .value = (float)event->value,
                .time_ms = event->time_ms,
                .seq = event->seq};
  float weight = wn_signal_weight(&serving->signals, e.type, event->value, e.time_ms, e.time_ms);
  wn_models_update(&serving->models, &e, weight);
  return wn_online_apply(serving->online, &e, err);
}

typedef struct replay {
  wn_engine *engine;
  wn_serving *serving;
} replay;

static wn_status replay_event(void *ctx, const wn_stored_event *event, wn_error *err) {
  replay *r = ctx;
  r->serving->replayed++;
  return wn_serving_event(r->engine, r->serving, event, err);
}

static wn_status replay_item(void *ctx, wn_item_ix ix, uint64_t rev WN_UNUSED,
                             const wn_item_record *item, wn_error *err) {
  replay *r = ctx;
  /* What models still know of a deleted item is never shown: the catalogue decides. */
  if (item->status == WN_ITEM_DELETED) return WN_OK;
  return wn_models_update_item(&r->serving->models, ix, item, err);
}

static wn_status catch_up_events(wn_engine *engine, wn_serving *serving, uint64_t upto,
                                 wn_error *err) {
  replay r = {engine, serving};
  if (upto != 0 && upto <= serving->last_seq) return WN_OK;
  return wn_store_scan_events(engine->store, serving->last_seq, upto, replay_event, &r, err);
}

static wn_status catch_up_items(wn_engine *engine, wn_serving *serving, wn_error *err) {
  replay r = {engine, serving};
  return wn_store_scan_items(engine->store, serving->about.item_rev, replay_item, &r, err);
}

wn_status wn_serving_catch_up(wn_engine *engine, wn_serving *serving, wn_error *err) {
  wn_status status = catch_up_events(engine, serving, 0, err);
  return status == WN_OK ? catch_up_items(engine, serving, err) : status;
}

wn_status wn_serving_at(wn_engine *engine, uint64_t number, uint64_t seq, wn_serving **out,
                        wn_error *err) {
  char path[4096];
  wn_snapshot *snapshot = NULL;
  wn_serving *serving = NULL;
  wn_status status = WN_OK;
  *out = NULL;
  if (number > 0)
    WN_TRY(
        wn_snapshot_open(wn_snapshot_path(engine->dir, number, path, sizeof path), &snapshot, err));
  WN_TRY(wn_serving_create(engine, snapshot, &serving, err));
  wn_serving_forget_erased(engine, serving);
  if (seq > serving->last_seq) WN_TRY(catch_up_events(engine, serving, seq, err));
  WN_TRY(catch_up_items(engine, serving, err));
  *out = serving;
  serving = NULL;
cleanup:
  wn_serving_free(serving);
  return status;
}

wn_current_mark wn_engine_current_mark(const wn_engine *engine) {
  char path[4096];
  struct stat st;
  snprintf(path, sizeof path, "%s/snapshots/CURRENT", engine->dir);
  if (stat(path, &st) != 0) return (wn_current_mark){0};
  return (wn_current_mark){.present = true,
                           .device = st.st_dev,
                           .inode = st.st_ino,
                           .size = st.st_size,
                           .changed = st.st_mtim};
}

static bool mark_equal(const wn_current_mark *a, const wn_current_mark *b) {
  return a->present == b->present && a->device == b->device && a->inode == b->inode &&
         a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
         a->changed.tv_nsec == b->changed.tv_nsec;
}

/* 0: no snapshot is current. */
static wn_status current_number(const wn_engine *engine, uint64_t *number, wn_error *err) {
  wn_snapshot_entry *entries = NULL;
  size_t count = 0;
  *number = 0;
  wn_status status = wn_snapshot_list(engine->dir, false, &entries, &count, err);
  for (size_t i = 0; status == WN_OK && i < count; i++)
    if (entries[i].current) *number = entries[i].number;
  wn_free(entries);
  return status;
}

wn_status wn_engine_open_snapshot(const wn_engine *engine, uint64_t number, wn_snapshot **out,
                                  wn_error *err) {
  char path[4096];
  wn_status status =
      wn_snapshot_open(wn_snapshot_path(engine->dir, number, path, sizeof path), out, err);
  if (status != WN_OK) return status;
  const char *uuid = wn_snapshot_about_of(*out)->store_uuid;
  if (strcmp(uuid, wn_store_uuid(engine->store)) == 0) return WN_OK;
  wn_snapshot_unref(*out);
  *out = NULL;
  return wn_fail(err, WN_E_CORRUPT, "store_uuid", "the snapshot belongs to another store (%s)",
                 uuid);
}

void wn_engine_note_item(wn_engine *engine, wn_item_ix ix) {
  if (!engine->building || wn_vec_push(&engine->changed_items, ix)) return;
  engine->changed_lost = true;
}

/* Under the exclusive lock. */
static void note_items(wn_engine *engine, bool on) {
  engine->building = on;
  engine->changed_lost = false;
  wn_vec_clear(&engine->changed_items);
}

typedef WN_VEC(wn_item_ix) item_vec;

static wn_status bring_items(wn_swap *swap, const wn_item_ix *items, size_t len, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t i = 0; i < len; i++) {
    wn_item_record item;
    wn_arena_reset(&swap->arena);
    status = wn_store_get_item(swap->engine->store, items[i], &swap->arena, &item, err);
    if (status == WN_OK)
      status = wn_models_update_item(&swap->serving->models, items[i], &item, err);
    if (status == WN_E_NOT_FOUND) status = WN_OK; /* deleted again */
    if (status != WN_OK) return status;
  }
  return status;
}

/* What came since the last round, without the lock. *left: what is still to be brought in. */
static wn_status catch_up_round(wn_swap *swap, size_t *left, wn_error *err) {
  wn_status status = WN_OK;
  wn_engine *engine = swap->engine;
  pthread_rwlock_wrlock(&engine->lock);
  uint64_t upto = engine->applied_seq;
  item_vec items = {engine->changed_items.data, engine->changed_items.len,
                    engine->changed_items.cap};
  engine->changed_items.data = NULL;
  engine->changed_items.len = engine->changed_items.cap = 0;
  pthread_rwlock_unlock(&engine->lock);
  WN_TRY(bring_items(swap, items.data, items.len, err));
  WN_TRY(catch_up_events(engine, swap->serving, upto, err));
  pthread_rwlock_rdlock(&engine->lock);
  uint64_t last = swap->serving->last_seq;
  uint64_t events = engine->applied_seq > last ? engine->applied_seq - last : 0;
  *left = engine->changed_items.len * REMAINDER_EVENTS / REMAINDER_ITEMS + (size_t)events;
  pthread_rwlock_unlock(&engine->lock);
cleanup:
  wn_vec_clear(&items);
  return status;
}

wn_status wn_swap_build(wn_swap *swap, wn_snapshot *snapshot, wn_error *err) {
  wn_status status = WN_OK;
  wn_engine *engine = swap->engine;
  wn_retrieval *retrieval;
  size_t left = SIZE_MAX;
  wn_arena_init(&swap->arena, ITEM_BYTES_MAX);
  WN_TRY(wn_serving_create(engine, wn_snapshot_ref(snapshot), &swap->serving, err));
  wn_serving_index(engine, swap->serving, &retrieval);
  wn_serving_attach(swap->serving, retrieval);
  pthread_rwlock_wrlock(&engine->lock);
  note_items(engine, true);
  swap->erased_count = engine->erased_count;
  uint64_t upto = engine->applied_seq;
  wn_serving_forget_erased(engine, swap->serving);
  pthread_rwlock_unlock(&engine->lock);
  /* The one scan of all items; from here on changed ones are noted. */
  WN_TRY(catch_up_events(engine, swap->serving, upto, err));
  WN_TRY(catch_up_items(engine, swap->serving, err));
  for (int i = 0; i < CATCH_UP_ROUNDS && left > REMAINDER_EVENTS; i++)
    WN_TRY(catch_up_round(swap, &left, err));
cleanup:
  return status;
}

wn_status wn_swap_finish(wn_swap *swap, bool *swapped, wn_error *err) {
  wn_status status = WN_OK;
  wn_engine *engine = swap->engine;
  pthread_rwlock_wrlock(&engine->lock);
  *swapped = engine->erased_count == swap->erased_count && !engine->changed_lost;
  if (*swapped && engine->changed_items.len > 0)
    status = bring_items(swap, engine->changed_items.data, engine->changed_items.len, err);
  if (*swapped && status == WN_OK && engine->applied_seq > swap->serving->last_seq)
    status = catch_up_events(engine, swap->serving, engine->applied_seq, err);
  *swapped = *swapped && status == WN_OK;
  if (*swapped) {
    wn_serving **place = swap->pin ? &engine->pinned[engine->pinned_len++] : &engine->serving,
               *old = *place;
    *place = swap->serving;
    swap->serving = swap->pin ? NULL : old;
  }
  pthread_rwlock_unlock(&engine->lock);
  return status;
}

void wn_swap_clear(wn_swap *swap) {
  pthread_rwlock_wrlock(&swap->engine->lock);
  note_items(swap->engine, false);
  pthread_rwlock_unlock(&swap->engine->lock);
  wn_serving_free(swap->serving);
  wn_arena_clear(&swap->arena);
}

static wn_status build_and_swap(wn_engine *engine, wn_snapshot *snapshot, bool *swapped,
                                wn_error *err) {
  wn_status status = WN_OK;
  wn_swap swap = {.engine = engine};
  *swapped = false;
  WN_TRY(wn_swap_build(&swap, snapshot, err));
  WN_TRY(wn_swap_finish(&swap, swapped, err));
cleanup:
  wn_swap_clear(&swap);
  return status;
}

static wn_status refresh(wn_engine *engine, bool *swapped, wn_error *err) {
  wn_status status = WN_OK;
  wn_snapshot *snapshot = NULL;
  uint64_t number = 0;
  uint64_t start = wn_mono_ns();
  WN_TRY(current_number(engine, &number, err));
  pthread_rwlock_rdlock(&engine->lock);
  bool same = number == engine->serving->about.number;
  pthread_rwlock_unlock(&engine->lock);
  if (number == 0 || same) goto cleanup;
  WN_TRY(wn_engine_open_snapshot(engine, number, &snapshot, err));
  for (int i = 0; i < BUILDS_MAX && !*swapped; i++)
    WN_TRY(build_and_swap(engine, snapshot, swapped, err));
  if (!*swapped)
    WN_TRY(
        wn_fail(err, WN_E_BUSY, "", "users are being deleted; snapshot %" PRIu64 " waits", number));
  atomic_fetch_add(&engine->swaps, 1);
  wn_log(WN_LOG_INFO, "snapshot swapped number=%" PRIu64 " ms=%.0f", number,
         (double)(wn_mono_ns() - start) / 1e6);
cleanup:
  wn_snapshot_unref(snapshot);
  return status;
}

wn_status wn_engine_refresh(wn_engine *engine, bool *swapped, wn_error *err) {
  wn_status status = WN_OK;
  wn_error why = {0};
  char text[900];
  *swapped = false;
  /* A reader's dictionaries are those of its start: a later snapshot could name unknown users. */
  if (engine->mode == WN_STORE_READ) return WN_OK;
  wn_engine_probe(engine);
  pthread_mutex_lock(&engine->refresh_lock);
  wn_current_mark mark = wn_engine_current_mark(engine);
  if (!mark_equal(&mark, &engine->mark)) {
    status = refresh(engine, swapped, &why);
    /* A bad snapshot stays bad: it is tried again when CURRENT is written anew. */
    if (status != WN_E_BUSY && status != WN_E_MEMORY) engine->mark = mark;
    if (status != WN_OK) {
      atomic_fetch_add(&engine->swap_failures, 1);
      wn_log(WN_LOG_ERROR, "the new snapshot is refused, serving goes on with the old one: %s",
             wn_error_format(&why, text, sizeof text));
      if (err != NULL) *err = why;
    }
  }
  wn_engine_tend_index(engine);
  pthread_mutex_unlock(&engine->refresh_lock);
  return status;
}
