/* Writes: the hook that brings committed operations into the state before their senders hear of
 * it, so that the next request sees them.
 *
 * The hook runs on the one writer thread and is the only one that changes the catalogue. It holds
 * the lock alone for at most RUN_OPS operations at a time, so that a bulk load does not stop
 * slates. Should memory run out, an item that cannot be brought in is hidden rather than served
 * as it was: forgetting a hide would break a promise, hiding too much does not. */

#include "serve/engine_exposed.h"
#include "base/clock.h"
#include "base/log.h"

#define RUN_OPS 256

/* One pass of the hook over the batches. */
typedef struct run {
  wn_engine *engine;
  bool held;
  size_t ops; /* since the lock was taken */
} run;

static void run_lock(run *r) {
  if (r->held) return;
  pthread_rwlock_wrlock(&r->engine->lock);
  r->held = true;
  r->ops = 0;
}

static void run_unlock(run *r) {
  if (r->held) pthread_rwlock_unlock(&r->engine->lock);
  r->held = false;
}

static void log_failure(const char *what, uint32_t ix, const wn_error *why) {
  char text[900];
  wn_log(WN_LOG_ERROR, "%s %u is stored but not in the state, restart to bring it in: %s", what, ix,
         wn_error_format(why, text, sizeof text));
}

bool wn_engine_item_bare(const wn_item_record *item) {
  return item->title.len == 0 && item->text.len == 0 && item->attrs.len == 0;
}

static void apply_item(wn_engine *engine, wn_item_ix ix, const wn_item_record *item) {
  wn_error why = {0};
  wn_item_record copy = *item;
  if (engine->config.items_strict && item->status == WN_ITEM_ACTIVE && wn_engine_item_bare(item))
    copy.status = WN_ITEM_HIDDEN;
  if (wn_catalog_put(engine->catalog, ix, &copy, &why) != WN_OK) {
    wn_catalog_set_status(engine->catalog, ix, WN_ITEM_HIDDEN);
    log_failure("item", ix, &why);
  } else if (wn_models_update_item(&engine->serving->models, ix, item, &why) != WN_OK) {
    log_failure("content of item", ix, &why);
  }
  for (size_t i = 0; i < engine->pinned_len; i++)
    if (wn_models_update_item(&engine->pinned[i]->models, ix, item, &why) != WN_OK)
      log_failure("content of item", ix, &why);
  wn_engine_note_item(engine, ix);
}

/* A patched record as the store now has it. Reading waits for the disk: not under the lock. */
static void apply_patch(run *r, const wn_op *op) {
  wn_engine *engine = r->engine;
  wn_item_record item;
  wn_error why = {0};
  run_unlock(r);
  wn_arena_reset(&engine->patch_arena);
  wn_status status =
      wn_store_get_item(engine->store, op->item_ix, &engine->patch_arena, &item, &why);
  run_lock(r);
  if (status == WN_OK) {
    apply_item(engine, op->item_ix, &item);
  } else {
    bool gone = status == WN_E_NOT_FOUND;
    wn_catalog_set_status(engine->catalog, op->item_ix, gone ? WN_ITEM_DELETED : WN_ITEM_HIDDEN);
    if (!gone) log_failure("item", op->item_ix, &why);
  }
}

static void apply_event(wn_engine *engine, const wn_op *op) {
  wn_error why = {0};
  const wn_event_record *e = &op->u.event;
  wn_stored_event event = {.seq = op->seq,
                           .user = op->user_ix,
                           .item = op->item_ix,
                           .type = op->type,
                           .value = e->value,
                           .time_ms = e->time_ms};
  bool met = op->item_ix < wn_catalog_count(engine->catalog);
  if (!met && wn_catalog_touch(engine->catalog, op->item_ix, e->time_ms, &why) != WN_OK)
    log_failure("item", op->item_ix, &why);
  else if (!met && engine->config.items_strict)
    wn_catalog_set_status(engine->catalog, op->item_ix, WN_ITEM_HIDDEN);
  if (wn_serving_event(engine, engine->serving, &event, &why) != WN_OK)
    log_failure("an event of user", op->user_ix, &why);
  for (size_t i = 0; i < engine->pinned_len; i++)
    if (wn_serving_event(engine, engine->pinned[i], &event, &why) != WN_OK)
      log_failure("an event of user", op->user_ix, &why);
  wn_engine_exposed_event(engine, op);
  wn_engine_user_back(engine, op->user_ix);
  engine->applied_seq = op->seq;
  atomic_store_explicit(&engine->last_event_ms, e->time_ms, memory_order_relaxed);
}

static void apply_user_delete(wn_engine *engine, const wn_op *op) {
  wn_error why = {0};
  wn_online_forget(engine->serving->online, op->user_ix);
  wn_models_forget(&engine->serving->models, op->user_ix);
  for (size_t i = 0; i < engine->pinned_len; i++) {
    wn_online_forget(engine->pinned[i]->online, op->user_ix);
    wn_models_forget(&engine->pinned[i]->models, op->user_ix);
  }
  engine->erased_count++;
  if (wn_engine_erased_add(engine, op->user_ix, op->seq, &why) != WN_OK)
    log_failure("the deletion of user", op->user_ix, &why);
}

/* What the feed showed to her, known user or not: the memory of it goes, too. */
static void end_session(wn_engine *engine, wn_str user) {
  wn_error why = {0};
  wn_str name;
  wn_arena_reset(&engine->patch_arena);
  if (wn_engine_session_name((wn_str){0}, user, &engine->patch_arena, &name, &why) == WN_OK)
    wn_sessions_end(engine->sessions, name);
}

static void apply_op(run *r, const wn_op *op) {
  wn_engine *engine = r->engine;
  if (op->kind == WN_OP_USER_DELETE) {
    end_session(engine, op->u.user.id);
    wn_engine_exposed_forget(engine, op->u.user.id);
  }
  if (op->status != WN_OK || op->duplicate || op->kind >= WN_OP_SLATE) return;
  if (r->ops >= RUN_OPS) run_unlock(r);
  run_lock(r);
  r->ops++;
  switch (op->kind) {
  case WN_OP_EVENT: apply_event(engine, op); break;
  case WN_OP_ITEM_PUT: apply_item(engine, op->item_ix, &op->u.item); break;
  case WN_OP_ITEM_PATCH: apply_patch(r, op); break;
  case WN_OP_ITEM_DELETE:
    wn_catalog_set_status(engine->catalog, op->item_ix, WN_ITEM_DELETED);
    break;
  case WN_OP_USER_DELETE: apply_user_delete(engine, op); break;
  case WN_OP_USER_PUT: wn_engine_user_back(engine, op->user_ix); break;
  case WN_OP_USER_PATCH:
  case WN_OP_SLATE:
  case WN_OP_EXPIRE:
  case WN_OP_PROBE: break;
  }
}

void wn_engine_on_commit(void *ctx, wn_commit_batch *batches) {
  run r = {.engine = ctx};
  uint64_t start = wn_mono_ns();
  for (const wn_commit_batch *batch = batches; batch != NULL; batch = batch->next)
    for (size_t i = 0; i < batch->count; i++) apply_op(&r, &batch->ops[i]);
  run_unlock(&r);
  atomic_fetch_add(&r.engine->applies, 1);
  atomic_fetch_add(&r.engine->apply_ns, wn_mono_ns() - start);
}

void wn_engine_probe(wn_engine *engine) {
  wn_op op = {.kind = WN_OP_PROBE};
  wn_error why;
  if (wn_committer_last(engine->committer) == WN_OK || !wn_store_writable(engine->store)) return;
  /* The committer remembers how it went. */
  wn_status status = wn_committer_run(engine->committer, &op, 1, &why);
  if (status == WN_OK) wn_log(WN_LOG_INFO, "the store takes writes again");
}

static wn_status check_writable(const wn_engine *engine, wn_error *err) {
  if (engine->committer != NULL) return WN_OK;
  return wn_fail(err, WN_E_UNSUPPORTED, "", "the data directory is open for reading only");
}

wn_status wn_engine_submit(wn_engine *engine, wn_commit_batch *batch, wn_error *err) {
  wn_status status = check_writable(engine, err);
  return status == WN_OK ? wn_committer_submit(engine->committer, batch, err) : status;
}

wn_status wn_engine_admit(wn_engine *engine, size_t count, wn_error *err) {
  wn_status status = check_writable(engine, err);
  return status == WN_OK ? wn_committer_admit(engine->committer, count, err) : status;
}

wn_status wn_engine_commit(wn_engine *engine, wn_op *ops, size_t count, wn_error *err) {
  wn_status status = check_writable(engine, err);
  return status == WN_OK ? wn_committer_run(engine->committer, ops, count, err) : status;
}
