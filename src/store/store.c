/* The store's handle: opening, the lock, the transaction around operations. What operations mean is
 * in ops.c, what rows look like in sqlite*.c, reading in store_read.c. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/backend.h"

#include <stdio.h>
#include <string.h>

const char *wn_counter_name(wn_counter counter) {
  static const char *const names[] = {
#define X(name, key) key,
      WN_COUNTER_TABLE(X)
#undef X
  };
  return names[counter];
}

static wn_store *store_create(const char *dir, wn_store_mode mode) {
  wn_store *store = wn_calloc(1, sizeof *store);
  if (store == NULL) return NULL;
  store->backend = &wn_store_sqlite;
  store->mode = mode;
  store->lock_fd = -1;
  pthread_mutex_init(&store->write_lock, NULL);
  pthread_mutex_init(&store->state_lock, NULL);
  wn_map64_init(&store->erased);
  wn_arena_init(&store->scratch, WN_RECORD_BYTES_MAX);
  store->dir = wn_strdup(dir);
  store->users = wn_dict_create();
  store->items = wn_dict_create();
  store->types = wn_dict_create();
  if (store->dir != NULL && store->users != NULL && store->items != NULL && store->types != NULL) {
    return store;
  }
  wn_store_close(store);
  return NULL;
}

void wn_store_close(wn_store *store) {
  if (store == NULL) return;
  if (store->in_transaction) store->backend->rollback(store);
  if (store->impl != NULL) store->backend->close(store);
  wn_unlock_file(store->lock_fd);
  wn_dict_free(store->users);
  wn_dict_free(store->items);
  wn_dict_free(store->types);
  wn_map64_clear(&store->erased);
  wn_vec_clear(&store->erased_undo);
  wn_vec_clear(&store->erasures);
  wn_arena_clear(&store->scratch);
  wn_buf_clear(&store->json);
  pthread_mutex_destroy(&store->write_lock);
  pthread_mutex_destroy(&store->state_lock);
  wn_free(store->dir);
  wn_free(store);
}

/* The folder and the lock: what only a writer needs. */
static wn_status claim_dir(wn_store *store, wn_error *err) {
  wn_status status;
  wn_buf path = {0};
  WN_TRY(wn_make_dir(store->dir, err));
  wn_buf_printf(&path, "%s/winnow.lock", store->dir);
  if (wn_buf_c(&path) == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_lock_file(path.data, &store->lock_fd, err));
cleanup:
  wn_buf_clear(&path);
  return status;
}

wn_status wn_store_open(const char *dir, wn_store_mode mode, wn_store **out, wn_error *err) {
  wn_status status;
  *out = NULL;
  wn_store *store = NULL;
  if (dir == NULL || dir[0] == '\0') {
    return wn_fail(err, WN_E_ARGUMENT, "", "the data directory must be named");
  }
  store = store_create(dir, mode);
  if (store == NULL) WN_TRY(wn_fail_memory(err));
  if (mode == WN_STORE_WRITE) WN_TRY(claim_dir(store, err));
  WN_TRY(store->backend->open(store, err));
  store->committed = store->now;
  atomic_store(&store->users_committed,
               mode == WN_STORE_WRITE ? wn_dict_count(store->users) : UINT32_MAX);
  *out = store;
  store = NULL;
cleanup:
  wn_store_close(store);
  return status;
}

wn_status wn_store_open_upgraded(const char *dir, wn_store **out, wn_error *err) {
  wn_status status = wn_store_open(dir, WN_STORE_READ, out, err);
  if (status != WN_E_UNSUPPORTED) return status;
  WN_TRY(wn_store_open(dir, WN_STORE_WRITE, out, err)); /* refuses a newer one, too */
  wn_store_close(*out);
  WN_TRY(wn_store_open(dir, WN_STORE_READ, out, err));
cleanup:
  return status;
}

const char *wn_store_uuid(const wn_store *store) {
  return store->uuid;
}
wn_str wn_store_dir(const wn_store *store) {
  return wn_str_of(store->dir);
}
const wn_dict *wn_store_users(const wn_store *store) {
  return store->users;
}
wn_user_ix wn_store_find_user(const wn_store *store, wn_str id) {
  /* First the limit: what lies below it now was never taken back, whatever happens meanwhile. */
  uint32_t committed = atomic_load(&store->users_committed);
  uint32_t ix = wn_dict_find(store->users, id);
  return ix < committed ? ix : WN_NO_IX;
}
const wn_dict *wn_store_items(const wn_store *store) {
  return store->items;
}
const wn_dict *wn_store_types(const wn_store *store) {
  return store->types;
}

void wn_store_set_fatal(wn_store *store, const wn_error *why) {
  char text[768];
  pthread_mutex_lock(&store->state_lock);
  bool first = store->fatal.status == WN_OK;
  if (first) store->fatal = *why;
  pthread_mutex_unlock(&store->state_lock);
  if (!first) return;
  wn_log(WN_LOG_ERROR, "the store takes no more writes: %s",
         wn_error_format(why, text, sizeof text));
}

static wn_status fatal_error(wn_store *store, wn_error *err) {
  pthread_mutex_lock(&store->state_lock);
  wn_error why = store->fatal;
  pthread_mutex_unlock(&store->state_lock);
  if (why.status == WN_OK) return WN_OK;
  return wn_fail(err, why.status, "",
                 "the store takes no more writes since an earlier failure; restart to recover "
                 "what was acknowledged (%.300s)",
                 why.message);
}

bool wn_store_writable(wn_store *store) {
  wn_error why;
  return store->mode == WN_STORE_WRITE && fatal_error(store, &why) == WN_OK;
}

size_t wn_store_memory_bytes(const wn_store *store) {
  return store->backend->memory_bytes(store);
}

static wn_status check_writer(wn_store *store, wn_error *err) {
  if (store->mode == WN_STORE_WRITE) return fatal_error(store, err);
  return wn_fail(err, WN_E_UNSUPPORTED, "", "the store is open for reading only");
}

static wn_status begin(wn_store *store, wn_error *err) {
  wn_status status;
  WN_TRY(check_writer(store, err));
  if (store->in_transaction) {
    WN_TRY(wn_fail(err, WN_E_CONFLICT, "", "another transaction of this store is open"));
  }
  WN_TRY(store->backend->begin(store, err));
  store->users_before = wn_dict_count(store->users);
  store->items_before = wn_dict_count(store->items);
  store->types_before = wn_dict_count(store->types);
  store->erased_undo.len = store->erasures.len = 0;
  store->failed = false;
  store->in_transaction = true;
cleanup:
  return status;
}

static wn_status append(wn_store *store, wn_op *ops, size_t count, wn_error *err) {
  wn_status status = WN_OK;
  if (!store->in_transaction) return wn_fail(err, WN_E_CONFLICT, "", "no transaction is open");
  if (store->failed) {
    return wn_fail(err, WN_E_CONFLICT, "", "the transaction failed earlier: roll it back");
  }
  for (size_t i = 0; i < count; i++) WN_TRY(wn_store_apply(store, &ops[i], err));
cleanup:
  store->failed = status != WN_OK;
  return status;
}

/* Takes everything back to where it was at begin. */
static void roll_back(wn_store *store) {
  store->backend->rollback(store);
  wn_dict_truncate(store->users, store->users_before);
  wn_dict_truncate(store->items, store->items_before);
  wn_dict_truncate(store->types, store->types_before);
  for (size_t i = store->erased_undo.len; i > 0; i--) {
    uint64_t *mark = wn_map64_find(&store->erased, store->erased_undo.data[i - 1]);
    if (mark != NULL) *mark = !*mark;
  }
  store->now = store->committed;
}

static wn_status commit(wn_store *store, wn_error *err) {
  wn_status status;
  if (store->failed) {
    WN_TRY(wn_fail(err, WN_E_CONFLICT, "", "the transaction failed earlier and was rolled back"));
  }
  if (store->erasures.len > 0) WN_TRY(store->backend->erase_noted(store, err));
  WN_TRY(store->backend->put_counters(store, &store->committed, &store->now, err));
  WN_TRY(store->backend->commit(store, err));
  pthread_mutex_lock(&store->state_lock);
  store->committed = store->now;
  pthread_mutex_unlock(&store->state_lock);
  atomic_store(&store->users_committed, wn_dict_count(store->users));
cleanup:
  return status;
}

static wn_status end(wn_store *store, bool keep, wn_error *err) {
  if (!store->in_transaction) return wn_fail(err, WN_E_CONFLICT, "", "no transaction is open");
  wn_status status = keep ? commit(store, err) : WN_OK;
  if (!keep || status != WN_OK) roll_back(store);
  store->in_transaction = false;
  return status;
}

wn_status wn_store_begin(wn_store *store, wn_error *err) {
  pthread_mutex_lock(&store->write_lock);
  wn_status status = begin(store, err);
  pthread_mutex_unlock(&store->write_lock);
  return status;
}

wn_status wn_store_append(wn_store *store, wn_op *ops, size_t count, wn_error *err) {
  pthread_mutex_lock(&store->write_lock);
  wn_status status = append(store, ops, count, err);
  pthread_mutex_unlock(&store->write_lock);
  return status;
}

wn_status wn_store_end(wn_store *store, bool keep, wn_error *err) {
  pthread_mutex_lock(&store->write_lock);
  wn_status status = end(store, keep, err);
  pthread_mutex_unlock(&store->write_lock);
  return status;
}

void wn_store_tell_erased(const wn_store *store, wn_op *ops, size_t count) {
  for (size_t i = 0; store->erasures.len > 0 && i < count; i++) {
    if (ops[i].kind != WN_OP_USER_DELETE || ops[i].erasure >= store->erasures.len) continue;
    const wn_erasure *erased = &store->erasures.data[ops[i].erasure];
    ops[i].erased_events = erased->events;
    ops[i].erased_slates = erased->slates;
  }
}

wn_status wn_store_commit(wn_store *store, wn_op *ops, size_t count, wn_error *err) {
  pthread_mutex_lock(&store->write_lock);
  wn_status status = begin(store, err);
  if (status == WN_OK) {
    status = append(store, ops, count, err);
    wn_status ended = end(store, status == WN_OK, err);
    if (status == WN_OK) status = ended;
  }
  if (status == WN_OK) wn_store_tell_erased(store, ops, count);
  pthread_mutex_unlock(&store->write_lock);
  return status;
}

wn_status wn_store_meta_set(wn_store *store, const char *key, wn_str value, wn_error *err) {
  wn_status status;
  pthread_mutex_lock(&store->write_lock);
  bool own = !store->in_transaction;
  status = own ? begin(store, err) : check_writer(store, err);
  if (status == WN_OK) {
    status = store->backend->put_meta(store, key, value, err);
    if (status != WN_OK) store->failed = true;
    wn_status ended = own ? end(store, status == WN_OK, err) : WN_OK;
    if (status == WN_OK) status = ended;
  }
  pthread_mutex_unlock(&store->write_lock);
  return status;
}
