#ifndef WN_MODEL_ITEM_FACTS_H
#define WN_MODEL_ITEM_FACTS_H
/* What is known of items beside the models, for features: how often, when and at which stage of a
 * user's life they were taken; since when they exist; their price; which values of attributes they
 * share. Counts follow events; the rest is as of training. */

#include "model/model.h"
#include "model/snapshot.h"

#define WN_PULSE_WINDOWS  4
#define WN_FACTS_ATTRS    4
#define WN_FACTS_NAME_MAX 47
#define WN_FACTS_CONTEXTS 4
#define WN_FACTS_OWNED    (5 + 2 * WN_FACTS_ATTRS)
#define WN_SHOWN_COLUMNS  3 /* click-through, conversion, ln(1 + impressions) */

/* One item's counts. Each window's is Σ exp(−age / window) as of time_ms: the same recurrence,
 * step by step, when training replays the past and when serving follows it, so equal bits. */
typedef struct wn_pulse {
  int64_t time_ms; /* of the newest event */
  uint32_t count;
  uint32_t places;            /* events whose place in their user's history was known */
  float place, place_squared; /* Σ ln(1 + place) over these, Σ of squares */
  float decayed[WN_PULSE_WINDOWS];
} wn_pulse;

extern const double wn_pulse_window_ms[WN_PULSE_WINDOWS]; /* 1 h, 1 d, 7 d, 28 d */

/* place: how many items the user had before; WN_NO_IX: not known. Events that come late count as of
 * the newest time. */
void wn_pulse_add(wn_pulse *pulse, int64_t time_ms, uint32_t place);
float wn_pulse_at(const wn_pulse *pulse, unsigned window, int64_t now_ms);
/* The crowd's columns of an item: ln(1 + users), that against what is usual (not filled here), the
 * mean stage at which users take it, and how many deviations `stage` is past that. What is not
 * known stays as it is. */
enum { WN_CROWD_COUNT, WN_CROWD_AGAINST, WN_CROWD_STAGE, WN_CROWD_AWAY, WN_CROWD };
void wn_pulse_crowd(const wn_pulse *pulse, float stage, float out[WN_CROWD]);
float wn_pulse_away(const wn_pulse *pulse, float stage); /* the last of them; places > 0 */
/* The stage of a user with so many items. */
float wn_crowd_stage(size_t history_len);

typedef struct wn_facts_head {
  uint32_t version;
  uint32_t items;
  uint32_t timed; /* the data's times are times, not an order alone */
  uint32_t attrs;
  char attr[WN_FACTS_ATTRS][WN_FACTS_NAME_MAX + 1];
  uint32_t contexts; /* members of requests' contexts that most slates have */
  uint32_t reserved;
  char context[WN_FACTS_CONTEXTS][WN_FACTS_NAME_MAX + 1];
} wn_facts_head;

typedef struct wn_item_facts {
  wn_facts_head head;
  wn_pulse *pulse; /* [pulses]: items of training and those met since */
  size_t pulses, pulses_cap;
  const int64_t *created_ms;                 /* [items] 0: not known */
  const float *price;                        /* [items] NaN: none */
  const uint64_t *value_ptr[WN_FACTS_ATTRS]; /* [items + 1] */
  const uint32_t *value[WN_FACTS_ATTRS];     /* hashes of an item's values */
  /* What came of showing items in a context: rates as of training, by ascending key
   * (wn_context_key). */
  const uint64_t *context_key;
  const float *context_rate;
  size_t context_rates;
  const float *shown; /* [items × WN_SHOWN_COLUMNS] what came of showing it; NULL: not known */
  void *owned[WN_FACTS_OWNED];
} wn_item_facts;

/* A value of member `context`, for an item; WN_NO_IX: for all. */
static inline uint64_t wn_context_key(uint32_t item, uint32_t context, uint32_t value) {
  return (uint64_t)item << 32 | (value ^ (context * 0x9e3779b1u));
}
/* A text's or a bool's hash, 0 of what is neither. */
uint32_t wn_context_value(const wn_attr *attr);
/* The rate at that key; NaN: not known. */
float wn_context_rate(const wn_item_facts *facts, uint64_t key);

/* Who took what in the order of time; heap. */
typedef struct wn_taken {
  int64_t time_ms;
  uint32_t item, place; /* how many items the user had before */
} wn_taken;
typedef struct wn_taken_list {
  wn_taken *data;
  size_t len;
} wn_taken_list;
WN_MUST_USE wn_status wn_taken_list_of(const wn_dataset *data, wn_taken_list *out, wn_error *err);

/* All but the pulses, which are zero: whoever replays the past fills them. `attribute`: this one
 * alone, however few items have it; "": those that most have. */
WN_MUST_USE wn_status wn_facts_fit(const wn_dataset *data, const char *attribute,
                                   wn_item_facts *out, wn_error *err);
/* The pulses of a whole dataset; of one without times they know counts and places alone. */
WN_MUST_USE wn_status wn_facts_replay(const wn_dataset *data, wn_item_facts *facts, wn_error *err);
size_t wn_facts_bytes(const wn_item_facts *facts); /* that events may grow */
/* An event while serving. */
void wn_facts_update(wn_item_facts *facts, const wn_event *event);
/* Sections PREFIX/head, /pulse, /created, /price, /value_ptrN, /valueN, /shown. */
WN_MUST_USE wn_status wn_facts_save(const wn_item_facts *facts, const char *prefix,
                                    wn_snapshot_writer *writer, wn_error *err);
WN_MUST_USE wn_status wn_facts_map(const wn_snapshot *snapshot, const char *prefix,
                                   wn_item_facts *out, wn_error *err);
void wn_facts_clear(wn_item_facts *facts);

/* Do the data's times tell days, rather than an order or nothing? */
bool wn_dataset_timed(const wn_dataset *data);

#endif
