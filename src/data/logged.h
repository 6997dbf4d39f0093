#ifndef WN_DATA_LOGGED_H
#define WN_DATA_LOGGED_H
/* Logged decisions: what a policy showed, with which probability, and what came of it. Read from a
 * table (CSV or TSV with a header, compressed or not) or filled by whoever reads a log of its own.
 */

#include "base/dict.h"
#include "base/vec.h"
#include "data/reader.h"

/* One item shown. NaN: not known. */
typedef struct wn_logged_row {
  uint32_t decision; /* rows of one slate share it */
  uint32_t position; /* from 0 */
  uint32_t item;
  uint32_t chosen; /* what the policy to be judged would have shown here; WN_NO_IX: not known */
  double p_log;    /* of the policy that showed it, given what stands above it; in (0, 1] */
  double p_eval;   /* of the policy to be judged, likewise; in [0, 1] */
  double reward;
  double q, value; /* a reward model's: of this item, and its mean under the policy to be judged */
} wn_logged_row;

typedef struct wn_logged {
  WN_VEC(wn_logged_row) rows; /* by decision, then position */
  uint32_t decisions, positions;
  wn_dict *items; /* names */
  bool borrowed;  /* `items` is somebody else's */
} wn_logged;
void wn_logged_clear(wn_logged *log);
/* Orders the rows and counts. WN_E_FORMAT: no rows, or two at one place of a slate. */
WN_MUST_USE wn_status wn_logged_finish(wn_logged *log, wn_error *err);

/* Columns: item, propensity, reward; optional: position, slate (rows of one decision), target (the
 * judged policy's probability), q and value. By the names in use (docs/ope.md) or by `map`. Every
 * number is checked; errors name file, line and column. */
WN_MUST_USE wn_status wn_logged_read(const char *path, const wn_column_map *map, size_t map_len,
                                     wn_logged *out, wn_error *err);

/* A policy that is the same in every context: probabilities by item, and by position where the
 * table has that column. They add up to 1 (± 0.001) at each position. */
typedef struct wn_policy_entry {
  uint32_t position; /* from 0; WN_NO_IX: all */
  uint32_t item;     /* WN_NO_IX: not in the log */
  double p;
} wn_policy_entry;
typedef struct wn_policy_table {
  WN_VEC(wn_policy_entry) entries;
  bool by_position;
} wn_policy_table;
WN_MUST_USE wn_status wn_policy_read(const char *path, const wn_dict *items, wn_policy_table *out,
                                     wn_error *err);
void wn_policy_clear(wn_policy_table *table);

#endif
