/* A text that another process put (winnow snapshots rollback) is followed: the newest version of
 * the history is one that this server never served, and the file holds its very text.
 *
 * Order of a change: parse, add what the API declared of experiments, check against what runs, pin
 * snapshots, ledger of experiments, history, file, pointer.
 * A crash before the file leaves a version in the history that never served; the next start finds
 * the old text in the file and notes that as the newest version. The file's own folder may be
 * read-only: then nothing changes, and the answer says so. */
#include "serve/live.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "lab/ledger.h"
#include "serve/engine_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct wn_live {
  wn_engine *engine;
  pthread_mutex_t lock; /* of what follows: one change at a time */
  char file[1024];
  wn_buf text;
  wn_config_version version;
  struct timespec looked; /* when the history was written, as it was last looked at */
};

/* A missing file is an empty text. */
static wn_status read_text(const char *file, wn_buf *out, wn_error *err) {
  wn_status status = wn_read_file(file, WN_CONFIG_BYTES_MAX, out, err);
  return status == WN_E_NOT_FOUND ? WN_OK : status;
}

static wn_str text_of(const wn_buf *buf) {
  return (wn_str){buf->data, buf->len};
}

static uint64_t hash_of(wn_str text) {
  return text.len > 0 ? wn_hash64(text.ptr, text.len, 0) : 0;
}

static wn_status find_version(wn_live *live, wn_error *err) {
  wn_status status = WN_OK;
  wn_config_history history;
  const char *dir = wn_engine_dir(live->engine);
  uint64_t hash = hash_of(text_of(&live->text));
  WN_TRY(wn_config_history_read(dir, &history, err));
  const wn_config_version *last = history.len > 0 ? &history.data[history.len - 1] : NULL;
  if (last != NULL && last->hash == hash) {
    live->version = *last;
  } else {
    live->version = (wn_config_version){
        .time_ms = wn_now_ms(), .author = "file", .kind = "start", .hash = hash};
    WN_TRY(wn_config_history_add(dir, &live->version, text_of(&live->text), err));
  }
cleanup:
  wn_config_history_clear(&history);
  return status;
}

wn_status wn_live_open(wn_engine *engine, wn_live **out, wn_error *err) {
  wn_status status = WN_OK;
  const char *file = engine->config.file;
  *out = NULL;
  wn_live *live = wn_calloc(1, sizeof *live);
  if (live == NULL) return wn_fail_memory(err);
  live->engine = engine;
  pthread_mutex_init(&live->lock, NULL);
  int len = file[0] != '\0'
                ? snprintf(live->file, sizeof live->file, "%s", file)
                : snprintf(live->file, sizeof live->file, "%s/winnow.yaml", engine->dir);
  if (len < 0 || (size_t)len >= sizeof live->file)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "data", "the path of the folder is too long"));
  if (file[0] != '\0') WN_TRY(read_text(live->file, &live->text, err));
  if (hash_of(text_of(&live->text)) != engine->config.hash)
    WN_TRY(wn_fail(err, WN_E_CONFLICT, "config",
                   "%s was edited while the server started: start "
                   "it again",
                   live->file));
  WN_TRY(find_version(live, err));
  WN_TRY(wn_config_file_note(engine->dir, live->file, err));
  *out = live;
  live = NULL;
cleanup:
  wn_live_close(live);
  return status;
}

void wn_live_close(wn_live *live) {
  if (live == NULL) return;
  pthread_mutex_destroy(&live->lock);
  wn_buf_clear(&live->text);
  wn_free(live);
}

/* What the file holds beside what serves. Under the lock. */
static wn_status look_at_file(const wn_live *live, wn_buf *on_disk, bool *differs, wn_error *err) {
  wn_status status = read_text(live->file, on_disk, err);
  *differs = status == WN_OK && !wn_str_equal(text_of(on_disk), text_of(&live->text));
  return status;
}

wn_status wn_live_get(wn_live *live, wn_live_state *out, wn_error *err) {
  *out = (wn_live_state){.policy = NULL};
  pthread_mutex_lock(&live->lock);
  out->version = live->version;
  snprintf(out->file, sizeof out->file, "%s", live->file);
  wn_buf_append(&out->text, live->text.data, live->text.len);
  wn_status status = look_at_file(live, &out->on_disk, &out->differs, err);
  out->policy = wn_engine_policy(live->engine);
  pthread_mutex_unlock(&live->lock);
  if (status == WN_OK && out->text.failed) status = wn_fail_memory(err);
  if (status != WN_OK) wn_live_state_clear(out);
  return status;
}

void wn_live_state_clear(wn_live_state *state) {
  wn_buf_clear(&state->text);
  wn_buf_clear(&state->on_disk);
  wn_policy_unref(state->policy);
  state->policy = NULL;
}

/* What a text is wrong in is the sender's mistake here, and no failure of ours. */
static wn_status as_sent(wn_status status, wn_status instead, wn_error *err) {
  if (status != WN_E_CONFIG) return status;
  if (err != NULL) err->status = instead;
  return instead;
}

/* With what the API declared: that stays, whatever the file says. */
static wn_status parse(const wn_live *live, wn_str text, wn_config *config, wn_error *err) {
  wn_status status = wn_config_parse(text, live->file, config, err);
  if (status != WN_OK) return as_sent(status, WN_E_ARGUMENT, err);
  return as_sent(wn_declared_load(live->engine->dir, config, err), WN_E_CONFLICT, err);
}

/* Weights of objectives are read by serving alone. */
static bool trains_alike(const wn_config *a, const wn_config *b) {
  wn_train_options as_before;
  memcpy(&as_before, &b->train, sizeof as_before);
  for (size_t k = 0; k < as_before.objectives.len; k++)
    as_before.objectives.data[k].weight = a->train.objectives.data[k].weight;
  return memcmp(&a->train, &as_before, sizeof as_before) == 0;
}

static unsigned waits_of(const wn_config *a, const wn_config *b) {
  bool start = memcmp(&a->server, &b->server, sizeof a->server) != 0 ||
               memcmp(&a->training, &b->training, sizeof a->training) != 0 ||
               memcmp(&a->alerts, &b->alerts, sizeof a->alerts) != 0 ||
               memcmp(&a->signals, &b->signals, sizeof a->signals) != 0 ||
               a->items_strict != b->items_strict;
  return (!trains_alike(a, b) ? WN_WAITS_TRAINING : 0) | (start ? WN_WAITS_START : 0);
}

/* A checked change, not yet made. */
typedef struct change {
  wn_live *live;
  const wn_live_edit *edit;
  bool stored; /* version and file are as they shall be */
  wn_policy *from, *to;
  wn_live_result *out;
} change;

static wn_status check_base(const change *c, wn_error *err) {
  wn_live *live = c->live;
  wn_buf on_disk = {0};
  bool differs = false;
  if (c->edit->based_on != live->version.number)
    return wn_fail(err, WN_E_CONFLICT, "based_on",
                   "version %" PRIu64 " serves, and this is based on %" PRIu64
                   ": look at what was changed, then try again",
                   live->version.number, c->edit->based_on);
  wn_status status = look_at_file(live, &on_disk, &differs, err);
  if (status == WN_OK && differs && !wn_str_equal(text_of(&on_disk), c->edit->text))
    status = wn_fail(err, WN_E_CONFLICT, "file",
                     "%s was edited by hand meanwhile: take that text over first (or put the file "
                     "back as it was)",
                     live->file);
  wn_buf_clear(&on_disk);
  return status;
}

static wn_status make_policies(change *c, wn_error *err) {
  wn_status status = WN_OK;
  wn_config before, after = {0};
  WN_TRY(wn_config_parse(text_of(&c->live->text), c->live->file, &before, err));
  WN_TRY(parse(c->live, c->edit->text, &after, err));
  c->out->waits = waits_of(&before, &after);
  c->from = wn_engine_policy(c->live->engine);
  c->to = wn_policy_create(&after);
  if (c->to == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(as_sent(wn_policy_check_change(c->from, c->to, err), WN_E_CONFLICT, err));
cleanup:
  wn_config_clear(&before);
  wn_config_clear(&after);
  return status;
}

static wn_status store_version(const change *c, wn_error *err) {
  wn_status status = WN_OK;
  const wn_live_edit *edit = c->edit;
  wn_config_version *v = &c->out->version;
  *v = (wn_config_version){
      .time_ms = wn_now_ms(), .hash = hash_of(edit->text), .of = edit->revert_of};
  snprintf(v->author, sizeof v->author, "%s", edit->author);
  snprintf(v->comment, sizeof v->comment, "%s", edit->comment);
  snprintf(v->kind, sizeof v->kind, "%s", edit->revert_of > 0 ? "revert" : "edit");
  WN_TRY(wn_config_history_add(wn_engine_dir(c->live->engine), v, edit->text, err));
  WN_TRY(wn_write_file_atomic(c->live->file, edit->text, err));
cleanup:
  return status;
}

/* Under the lock, checked. */
static wn_status make_change(change *c, wn_error *err) {
  wn_status status = WN_OK;
  wn_live *live = c->live;
  wn_error ignored = {0};
  const char *dir = wn_engine_dir(live->engine);
  wn_buf text = {0};
  wn_buf_append(&text, c->edit->text.ptr, c->edit->text.len);
  if (text.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_ledger_check(dir, &c->to->experiments, err));
  WN_TRY(wn_engine_pin(live->engine, &c->to->experiments, err));
  WN_TRY(wn_ledger_update(dir, &c->to->experiments, wn_now_ms(), err));
  if (!c->stored) status = store_version(c, err);
  if (status != WN_OK) {
    (void)!wn_ledger_update(dir, &c->from->experiments, wn_now_ms(), &ignored);
    goto cleanup;
  }
  uint64_t start = wn_mono_ns();
  WN_TRY(wn_engine_policy_swap(live->engine, wn_policy_ref(c->to), err));
  c->out->swap_ns = wn_mono_ns() - start;
  live->version = c->out->version;
  wn_buf_clear(&live->text);
  live->text = text;
  text = (wn_buf){0};
  wn_log(WN_LOG_INFO, "configuration replaced version=%" PRIu64 " author=%s", live->version.number,
         live->version.author);
cleanup:
  if (status != WN_OK) wn_engine_unpin(live->engine, &c->from->experiments);
  wn_buf_clear(&text);
  return as_sent(status, WN_E_CONFLICT, err);
}

wn_status wn_live_put(wn_live *live, const wn_live_edit *edit, wn_live_result *out, wn_error *err) {
  wn_status status = WN_OK;
  change c = {.live = live, .edit = edit, .out = out};
  *out = (wn_live_result){.waits = 0};
  pthread_mutex_lock(&live->lock);
  wn_engine_change_begin(live->engine); /* changes of experiments are kept out, too */
  WN_TRY(check_base(&c, err));
  WN_TRY(make_policies(&c, err));
  out->same = wn_str_equal(edit->text, text_of(&live->text));
  out->version = live->version;
  if (!out->same) WN_TRY(make_change(&c, err));
cleanup:
  wn_engine_change_end(live->engine);
  pthread_mutex_unlock(&live->lock);
  wn_policy_unref(c.from);
  wn_policy_unref(c.to);
  return status;
}

/* The newest version of the history, if it is newer than what serves and the file holds it. */
static wn_status find_put(wn_live *live, wn_config_version *version, wn_buf *text, wn_error *err) {
  wn_status status = WN_OK;
  wn_config_history history = {NULL, 0};
  *version = (wn_config_version){.number = 0};
  WN_TRY(wn_config_history_read(wn_engine_dir(live->engine), &history, err));
  if (history.len == 0 || history.data[history.len - 1].number <= live->version.number)
    goto cleanup;
  WN_TRY(read_text(live->file, text, err));
  if (hash_of(text_of(text)) == history.data[history.len - 1].hash)
    *version = history.data[history.len - 1];
cleanup:
  wn_config_history_clear(&history);
  return status;
}

static bool history_changed(wn_live *live) {
  char path[4096];
  struct stat st;
  snprintf(path, sizeof path, "%s/config/history.json", wn_engine_dir(live->engine));
  if (stat(path, &st) != 0) return false;
  bool same =
      st.st_mtim.tv_sec == live->looked.tv_sec && st.st_mtim.tv_nsec == live->looked.tv_nsec;
  live->looked = st.st_mtim;
  return !same;
}

wn_status wn_live_follow(wn_live *live, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf text = {0};
  wn_live_result result = {.waits = 0};
  wn_live_edit edit = {.author = ""};
  change c = {.live = live, .edit = &edit, .stored = true, .out = &result};
  pthread_mutex_lock(&live->lock);
  wn_engine_change_begin(live->engine);
  if (!history_changed(live)) goto cleanup;
  WN_TRY(find_put(live, &result.version, &text, err));
  if (result.version.number == 0) goto cleanup;
  edit.text = text_of(&text);
  WN_TRY(make_policies(&c, err));
  WN_TRY(make_change(&c, err));
cleanup:
  wn_engine_change_end(live->engine);
  pthread_mutex_unlock(&live->lock);
  wn_policy_unref(c.from);
  wn_policy_unref(c.to);
  wn_buf_clear(&text);
  return status;
}

wn_status wn_live_draft(wn_live *live, wn_str text, wn_policy **out, wn_error *err) {
  wn_status status = WN_OK;
  wn_live_result result = {.waits = 0};
  const wn_live_edit edit = {.text = text};
  change c = {.live = live, .edit = &edit, .out = &result};
  *out = NULL;
  pthread_mutex_lock(&live->lock);
  status = make_policies(&c, err);
  pthread_mutex_unlock(&live->lock);
  if (status == WN_OK)
    *out = c.to;
  else
    wn_policy_unref(c.to);
  wn_policy_unref(c.from);
  return status;
}
