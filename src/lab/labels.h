#ifndef WN_LAB_LABELS_H
#define WN_LAB_LABELS_H
/* Groups of items or users for slices, parity and calibration: by an attribute, by popularity, by
 * how much history there is. A row may be in several groups (a list attribute) or in none. */

#include "data/dataset.h"

#define WN_LABELS_MAX                                                                              \
  64 /* groups; of an attribute with more values the most frequent, then "other" */

typedef struct wn_labels {
  char by[65];   /* "popularity", "history", or the attribute */
  uint32_t rows; /* items or users */
  uint32_t groups;
  char (*name)[65]; /* [groups] */
  uint64_t *ptr;    /* [rows + 1] */
  uint8_t *group;
} wn_labels;

/* Thirds by `amount`: the rows that hold the first third of all of it, the greatest first, are
 * group 0, and so on; names[3]. Rows of amount 0 are in no group. Equal amounts: lower number
 * first. */
WN_MUST_USE wn_status wn_labels_thirds(const uint32_t *amount, uint32_t rows, const char *by,
                                       const char *const names[3], wn_labels *out, wn_error *err);
/* Rows in equal numbers, by amount: the smallest third of the rows first. */
WN_MUST_USE wn_status wn_labels_terciles(const uint32_t *amount, uint32_t rows, const char *by,
                                         const char *const names[3], wn_labels *out, wn_error *err);

/* One value a call, then the labels: numbers and bools as text. */
typedef struct wn_labels_builder wn_labels_builder;
wn_labels_builder *wn_labels_builder_create(const char *attribute, uint32_t rows);
void wn_labels_builder_free(wn_labels_builder *builder);
/* The record's value or values; rows out of range and records without the attribute are passed
 * over. */
WN_MUST_USE wn_status wn_labels_builder_add(wn_labels_builder *builder, uint32_t row,
                                            const wn_attrs *attrs, wn_error *err);
/* WN_E_NOT_FOUND: no record has the attribute. */
WN_MUST_USE wn_status wn_labels_builder_finish(const wn_labels_builder *builder, wn_labels *out,
                                               wn_error *err);
/* Of a catalogue. */
WN_MUST_USE wn_status wn_labels_of_items(wn_item_source source, const char *attribute,
                                         uint32_t items, wn_labels *out, wn_error *err);
void wn_labels_clear(wn_labels *labels);

#endif
