#ifndef WN_SERVE_LIVE_H
#define WN_SERVE_LIVE_H
/* The configuration of a running server: its text, the version that it is, and the one way to
 * replace it. Surfaces, holdout and experiments count from the next request on; the rest of the
 * text when the next training or the next server reads it. */

#include "serve/config_history.h"
#include "serve/engine.h"

typedef struct wn_live wn_live;

/* Reads the text of the engine's file again and notes in the history what was edited since the last
 * server ended. */
WN_MUST_USE wn_status wn_live_open(wn_engine *engine, wn_live **out, wn_error *err);
void wn_live_close(wn_live *live); /* NULL is fine */

/* Takes effect only after … */
enum { WN_WAITS_TRAINING = 1, WN_WAITS_START = 2 };

typedef struct wn_live_state {
  wn_config_version version;
  char file[1024];
  wn_buf text;       /* as it serves */
  wn_buf on_disk;    /* where the file holds something else */
  bool differs;      /* it does */
  wn_policy *policy; /* of the text */
} wn_live_state;
WN_MUST_USE wn_status wn_live_get(wn_live *live, wn_live_state *out, wn_error *err);
void wn_live_state_clear(wn_live_state *state);

typedef struct wn_live_edit {
  wn_str text;
  uint64_t based_on; /* the version that the author saw */
  const char *author, *comment;
  uint64_t revert_of; /* 0: an edit */
} wn_live_edit;

typedef struct wn_live_result {
  wn_config_version version;
  unsigned waits;   /* WN_WAITS_…: sections that were changed and wait */
  bool same;        /* nothing was changed: no new version */
  uint64_t swap_ns; /* of the swap alone */
} wn_live_result;

/* Checks everything, stores the version and the file durably, and swaps. On failure what served
 * serves on and the file is as it was. WN_E_ARGUMENT: the text, with line and column.
 * WN_E_CONFLICT: based on another version; the file was edited meanwhile (and does not hold this
 * very text); an experiment under way would change. */
WN_MUST_USE wn_status wn_live_put(wn_live *live, const wn_live_edit *edit, wn_live_result *out,
                                  wn_error *err);
/* Takes over what another process on this machine put into history and file (restore.h). Looks
 * once at each writing of the history; on failure what served serves on. */
WN_MUST_USE wn_status wn_live_follow(wn_live *live, wn_error *err);
/* The policy of a draft, checked as by put, but for version and file. One reference. */
WN_MUST_USE wn_status wn_live_draft(wn_live *live, wn_str text, wn_policy **out, wn_error *err);

#endif
