#ifndef WN_SERVE_DECLARED_H
#define WN_SERVE_DECLARED_H
/* DIR/declared.json: the experiments that were declared over the API, in the form of `experiments:`
 * of winnow.yaml, and what the API changed of those that winnow.yaml declares. One file, replaced
 * as a whole, so that it holds either all of a change or nothing of it. */

#include "serve/config.h"
#include <jansson.h>

typedef enum wn_declare_kind {
  WN_DECLARE_NEW,    /* body: the declaration */
  WN_DECLARE_PATCH,  /* body: a merge patch (RFC 7396) of it */
  WN_DECLARE_FORGET, /* what the API said of it is gone */
} wn_declare_kind;

typedef struct wn_experiment_change {
  wn_declare_kind kind;
  wn_str name;
  const json_t *body;
  bool running; /* refused when it does not run */
} wn_experiment_change;

/* The text; empty when there is none. */
WN_MUST_USE wn_status wn_declared_read(const char *dir, wn_buf *out, wn_error *err);
WN_MUST_USE wn_status wn_declared_write(const char *dir, wn_str text, wn_error *err);
/* Reads it into what the file says. */
WN_MUST_USE wn_status wn_declared_load(const char *dir, wn_config *config, wn_error *err);
/* The text with one change. WN_E_CORRUPT: the old one is not ours. */
WN_MUST_USE wn_status wn_declared_edit(wn_str old, const wn_experiment_change *change, wn_buf *out,
                                       wn_error *err);

#endif
