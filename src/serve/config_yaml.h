#ifndef WN_SERVE_CONFIG_YAML_H
#define WN_SERVE_CONFIG_YAML_H
/* YAML into structs by tables of keys, with the place of everything that is wrong. Private to
 * serve/config*.c. Over libyaml's document tree, because every node there carries its mark, and
 * because the keys under signals, models and surfaces are the user's own names. */

#include "base/str.h"
#include <yaml.h>

typedef struct wn_yaml {
  yaml_document_t doc;
  wn_str text;
  const char *file;
  wn_error *err;
  char path[256]; /* of the node being read: "surfaces.home.retrieve[0]" */
} wn_yaml;

typedef enum wn_yaml_kind {
  WN_YAML_FLOAT,
  WN_YAML_FLOAT_OR_NULL, /* null gives NAN */
  WN_YAML_DOUBLE,
  WN_YAML_U64, /* up to 2⁵³ */
  WN_YAML_U32,
  WN_YAML_U16,
  WN_YAML_BOOL,
  WN_YAML_TEXT, /* `max` is the size of the array, NUL included; empty text is refused */
  WN_YAML_CALL,
} wn_yaml_kind;

typedef wn_status wn_yaml_fn(wn_yaml *yaml, const yaml_node_t *node, void *target);

typedef struct wn_yaml_key {
  const char *name;
  wn_yaml_kind kind;
  size_t offset; /* of the field in the target; CALL gets the target itself */
  double min, max;
  wn_yaml_fn *call;
} wn_yaml_key;

/* Exactly one document, or an empty file (root NULL). */
WN_MUST_USE wn_status wn_yaml_open(wn_yaml *yaml, wn_str text, const char *file, wn_error *err);
void wn_yaml_close(wn_yaml *yaml);
const yaml_node_t *wn_yaml_root(wn_yaml *yaml);

/* WN_E_CONFIG at the node's first character, field = the path. */
wn_status wn_yaml_fail(wn_yaml *yaml, const yaml_node_t *node, const char *format, ...)
    WN_PRINTF(3, 4);
/* Moves an error that a validator made about `field` (a path under `base`, whose own path is the
 * prefix of it) to the deepest node on that path; a line and column inside a text value become
 * those of the file. */
wn_status wn_yaml_place(wn_yaml *yaml, const yaml_node_t *base, const char *base_path);

/* A mapping of known keys. Null (an empty section) is an empty mapping. */
WN_MUST_USE wn_status wn_yaml_fields(wn_yaml *yaml, const yaml_node_t *node,
                                     const wn_yaml_key *keys, size_t len, void *target);
/* A mapping whose keys are names. */
WN_MUST_USE wn_status wn_yaml_names(wn_yaml *yaml, const yaml_node_t *node, size_t name_max,
                                    wn_status (*each)(wn_yaml *yaml, wn_str name,
                                                      const yaml_node_t *key,
                                                      const yaml_node_t *value, void *ctx),
                                    void *ctx);
/* A list of at most `max` entries. */
WN_MUST_USE wn_status wn_yaml_list(wn_yaml *yaml, const yaml_node_t *node, size_t max,
                                   wn_yaml_fn *each, void *ctx);
/* Any scalar that is a text: plain or quoted, not null. */
WN_MUST_USE wn_status wn_yaml_text(wn_yaml *yaml, const yaml_node_t *node, wn_str *out);
WN_MUST_USE wn_status wn_yaml_number(wn_yaml *yaml, const yaml_node_t *node, double min, double max,
                                     double *out);
/* One of `words`; *out is its place. */
WN_MUST_USE wn_status wn_yaml_word(wn_yaml *yaml, const yaml_node_t *node, const char *const *words,
                                   size_t len, size_t *out);
bool wn_yaml_is_null(const yaml_node_t *node);
const yaml_node_t *wn_yaml_member(wn_yaml *yaml, const yaml_node_t *mapping, const char *name);
wn_str wn_yaml_scalar(const yaml_node_t *node); /* absent when it is none */

#endif
