#ifndef WN_SERVE_CONFIG_HISTORY_H
#define WN_SERVE_CONFIG_HISTORY_H
/* Every configuration that ever served: DIR/config/NUMBER.yaml, the text as it was, and
 * DIR/config/history.json, who put it there, when and why. Plain files, so that `diff` and a backup
 * of the data directory need nothing of ours. */

#include "base/str.h"

typedef struct wn_config_version {
  uint64_t number; /* from 1; 0: none */
  int64_t time_ms;
  char author[64]; /* a key's id, "loopback", "file": found at a start */
  char kind[16];   /* "start", "edit", "revert" */
  char comment[512];
  uint64_t hash; /* wn_config.hash */
  uint64_t of;   /* revert: the number that it brings back; else 0 */
  uint64_t bytes;
} wn_config_version;

typedef struct wn_config_history {
  wn_config_version *data; /* ascending by number */
  size_t len;
} wn_config_history;

/* Without the file: an empty history. WN_E_CORRUPT: not one of ours. */
WN_MUST_USE wn_status wn_config_history_read(const char *dir, wn_config_history *out,
                                             wn_error *err);
void wn_config_history_clear(wn_config_history *history);
/* The newest version whose text has this hash, as snapshots note it; NULL: none. */
const wn_config_version *wn_config_history_of(const wn_config_history *history, const char *hash);
const wn_config_version *wn_config_history_find(const wn_config_history *history, uint64_t number);
/* Durable when it returns; version->number and bytes are filled in: one more than the last. */
WN_MUST_USE wn_status wn_config_history_add(const char *dir, wn_config_version *version,
                                            wn_str text, wn_error *err);
/* DIR/config/file: the path that the last server read its configuration from, for commands beside
 * it. Without one DIR/winnow.yaml is found. */
WN_MUST_USE wn_status wn_config_file_note(const char *dir, const char *file, wn_error *err);
WN_MUST_USE wn_status wn_config_file_find(const char *dir, char *out, size_t size, wn_error *err);
/* WN_E_NOT_FOUND: no such version. Appends. */
WN_MUST_USE wn_status wn_config_history_text(const char *dir, uint64_t number, wn_buf *out,
                                             wn_error *err);

#endif
