/* See restore.h. Every check comes first: that the snapshot is whole, that its configuration is in
 * the history and still means something, that the file holds what served last (else somebody's edit
 * would be lost), and that no experiment under way would become another one. Then file and version.
 */

#include "serve/restore.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map64.h"
#include "model/snapshot.h"
#include "serve/declared.h"
#include "serve/policy.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct restore {
  const char *dir;
  char file[4096];
  wn_config_history history;
  const wn_config_version *to; /* NULL: not in the history */
  wn_buf now, then;
} restore;

static wn_str text_of(const wn_buf *buf) {
  return (wn_str){buf->data, buf->len};
}

static wn_status find_version(restore *r, uint64_t number, wn_error *err) {
  wn_status status;
  char path[4096];
  wn_snapshot *snapshot = NULL;
  WN_TRY(wn_snapshot_open(wn_snapshot_path(r->dir, number, path, sizeof path), &snapshot, err));
  WN_TRY(wn_config_history_read(r->dir, &r->history, err));
  r->to = wn_config_history_of(&r->history, wn_snapshot_about_of(snapshot)->config);
cleanup:
  wn_snapshot_unref(snapshot);
  return status;
}

static wn_status read_texts(restore *r, wn_error *err) {
  wn_status status = wn_read_file(r->file, WN_CONFIG_BYTES_MAX, &r->now, err);
  if (status == WN_E_NOT_FOUND) status = WN_OK;
  if (status == WN_OK) status = wn_config_history_text(r->dir, r->to->number, &r->then, err);
  return status;
}

static uint64_t hash_of(const wn_buf *text) {
  return text->len > 0 ? wn_hash64(text->data, text->len, 0) : 0;
}

static wn_status policy_of(const restore *r, const wn_buf *text, wn_policy **out, wn_error *err) {
  wn_status status;
  wn_config config = {0};
  WN_TRY(wn_config_parse(text_of(text), r->file, &config, err));
  WN_TRY(wn_declared_load(r->dir, &config, err));
  *out = wn_policy_create(&config);
  if (*out == NULL) WN_TRY(wn_fail_memory(err));
cleanup:
  wn_config_clear(&config);
  return status;
}

static wn_status check(const restore *r, wn_error *err) {
  wn_status status = WN_OK;
  wn_policy *from = NULL, *to = NULL;
  const wn_config_version *last = &r->history.data[r->history.len - 1];
  if (hash_of(&r->now) != last->hash)
    WN_TRY(wn_fail(err, WN_E_CONFLICT, "config",
                   "%s was edited and has not served yet: nothing was changed. Put it back, start "
                   "the server with it, or go back without the configuration (--keep-config)",
                   r->file));
  WN_TRY(policy_of(r, &r->now, &from, err));
  WN_TRY(policy_of(r, &r->then, &to, err));
  WN_TRY(wn_policy_check_change(from, to, err));
cleanup:
  wn_policy_unref(from);
  wn_policy_unref(to);
  return status;
}

static wn_status put(const restore *r, uint64_t snapshot, wn_error *err) {
  wn_config_version version = {
      .time_ms = wn_now_ms(), .hash = r->to->hash, .of = r->to->number, .kind = "revert"};
  snprintf(version.author, sizeof version.author, "command");
  snprintf(version.comment, sizeof version.comment, "with snapshot %" PRIu64, snapshot);
  /* The file first: a server follows once the history says so. */
  wn_status status = wn_write_file_atomic(r->file, text_of(&r->then), err);
  if (status == WN_OK) status = wn_config_history_add(r->dir, &version, text_of(&r->then), err);
  return status;
}

wn_status wn_restore_config(const char *dir, const char *file, uint64_t snapshot, wn_restored *out,
                            uint64_t *version, wn_error *err) {
  wn_status status;
  restore r = {.dir = dir};
  *out = WN_RESTORED_UNKNOWN;
  if (file != NULL)
    snprintf(r.file, sizeof r.file, "%s", file);
  else
    WN_TRY(wn_config_file_find(dir, r.file, sizeof r.file, err));
  WN_TRY(find_version(&r, snapshot, err));
  if (r.to == NULL) goto cleanup;
  *version = r.to->number;
  WN_TRY(read_texts(&r, err));
  *out = WN_RESTORED_SAME;
  if (hash_of(&r.now) == r.to->hash) goto cleanup;
  WN_TRY(check(&r, err));
  WN_TRY(put(&r, snapshot, err));
  *out = WN_RESTORED;
cleanup:
  wn_config_history_clear(&r.history);
  wn_buf_clear(&r.now);
  wn_buf_clear(&r.then);
  return status;
}
