#ifndef WN_MODEL_OBJECTIVE_H
#define WN_MODEL_OBJECTIVE_H
/* What a ranker predicts (`objectives:` in winnow.yaml): for each a rule that says which events
 * after an impression make it a success, and a weight in the value of an item, Σ weight · P. */

#include "data/dataset.h"

#define WN_OBJECTIVES_MAX       8
#define WN_OBJECTIVE_NAME_MAX   31
#define WN_OBJECTIVE_LABELS_MIN 50 /* successes, and failures: fewer say too little */
#define WN_OBJECTIVE_HELD_MIN   10 /* of them among the users held out */
#define WN_LABEL_TERMS_MAX      4
#define WN_LABEL_WITHIN_DEFAULT 86400000 /* ms, where a rule does not say */

typedef enum wn_label_test {
  WN_LABEL_ANY, /* the event is enough */
  WN_LABEL_GE,
  WN_LABEL_GT,
  WN_LABEL_LE,
  WN_LABEL_LT,
  WN_LABEL_EQ
} wn_label_test;

typedef struct wn_label_term {
  char type[WN_SIGNAL_NAME_MAX + 1];
  uint32_t test; /* wn_label_test */
  double number;
} wn_label_term;

/* TYPE [>= NUMBER] [or …] [within N s|m|h|d] */
typedef struct wn_label_rule {
  wn_label_term term[WN_LABEL_TERMS_MAX];
  uint32_t terms;
  uint32_t reserved;
  int64_t within_ms; /* 0: not said */
} wn_label_rule;

/* What is done about the place that an item was shown at. */
typedef enum wn_position_method {
  WN_POSITION_NONE,
  WN_POSITION_FEATURE, /* one more column, which is 1 when serving */
  WN_POSITION_PAL,     /* P = seen(place) · P(success if seen), fitted together */
  WN_POSITION_IPW,     /* successes weigh 1 / seen(place), clipped */
  WN_POSITION_METHODS
} wn_position_method;
const char *wn_position_method_name(unsigned method);

#define WN_AMONG_MAX 47

typedef struct wn_objective {
  char name[WN_OBJECTIVE_NAME_MAX + 1];
  wn_label_rule rule;
  char among[WN_AMONG_MAX + 1]; /* values count as quantiles among items with a like number in this
                                   attribute; "": as they are */
  uint32_t position;            /* wn_position_method */
  float weight;                 /* of its probability; may be negative */
} wn_objective;

typedef struct wn_objectives {
  wn_objective data[WN_OBJECTIVES_MAX];
  size_t len;
} wn_objectives;

/* WN_E_ARGUMENT, field "label", says what is wrong where. */
WN_MUST_USE wn_status wn_label_rule_parse(wn_str text, wn_label_rule *out, wn_error *err);
/* Does such an event satisfy the rule, its value taken as it is? */
bool wn_label_rule_holds(const wn_label_rule *rule, const char *type, double value);
/* The rule as a text that parses to the same; returns buf. */
const char *wn_label_rule_print(const wn_label_rule *rule, char *buf, size_t size);

/* Rules made ready for one log: types by number, quantile tables. */
typedef struct wn_labels wn_labels;
/* `events` (for the quantiles) and everything else are only read. A type that nobody knows never
 * occurs. */
WN_MUST_USE wn_status wn_labels_create(const wn_objectives *objectives, const wn_signals *signals,
                                       wn_event_list events, const wn_dataset *data,
                                       wn_labels **out, wn_error *err);
void wn_labels_free(wn_labels *labels);
/* Bit k: such an event is a success for objective k, whenever it came. */
uint8_t wn_labels_of_event(const wn_labels *labels, uint32_t type, wn_item_ix item, double value);
/* Bit k: still within objective k's time. */
uint8_t wn_labels_within(const wn_labels *labels, int64_t elapsed_ms);
/* The longest time of any rule. */
int64_t wn_labels_window_ms(const wn_labels *labels);
/* Bit k: in `elapsed_ms` all of the time that rule k names has passed (rules that name none: any
 * time is enough). */
uint8_t wn_labels_ripe(const wn_labels *labels, int64_t elapsed_ms);

/* The successes in a log by user and item, for moments that are replayed. */
typedef struct wn_label_index wn_label_index;
WN_MUST_USE wn_status wn_label_index_create(const wn_labels *labels, wn_event_list events,
                                            wn_label_index **out, wn_error *err);
void wn_label_index_free(wn_label_index *index);
#define WN_ANY_TIME INT64_MIN
/* Bit k: success k of this pair at `time_ms` or after, within its time; WN_ANY_TIME: ever. */
uint8_t wn_label_index_at(const wn_label_index *index, wn_user_ix user, wn_item_ix item,
                          int64_t time_ms);

#endif
