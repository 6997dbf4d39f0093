#ifndef WN_SERVE_BEHAVIOUR_H
#define WN_SERVE_BEHAVIOUR_H
/* Behaviour tests: what must hold of a served model whatever its mean accuracy. */

#include "base/json_write.h"
#include "serve/engine.h"
#include <jansson.h>

typedef enum wn_check_state { WN_CHECK_PASS, WN_CHECK_FAIL, WN_CHECK_INCONCLUSIVE } wn_check_state;
#define WN_CHECK_WORST 3
typedef struct wn_check {
  const char *name;
  wn_check_state state;
  double value, low, high; /* 95%; NaN: nothing was measured */
  char reason[240];        /* what was measured, what is asked of it */
  char worst[WN_CHECK_WORST][160];
  size_t worst_len;
} wn_check;

#define WN_CHECKS_MAX 16
typedef struct wn_check_report {
  const char *surface;
  uint64_t snapshot, users; /* sampled */
  wn_check checks[WN_CHECKS_MAX];
  size_t len, failed, inconclusive;
} wn_check_report;

typedef struct wn_check_options {
  const char *surface; /* default home */
  uint32_t users;      /* sampled for slates, default 200 */
  uint64_t seed;
  const json_t *evaluation; /* the newest run of evaluate (lab/runs.h), for groups; NULL: none */
} wn_check_options;
void wn_check_options_defaults(wn_check_options *options);

/* `engine` was opened for reading. WN_E_NOT_FOUND: no such surface. */
WN_MUST_USE wn_status wn_check_model(wn_engine *engine, const wn_check_options *options,
                                     wn_check_report *out, wn_error *err);
void wn_check_report_to_json(const wn_check_report *report, wn_buf *out);
const char *wn_check_state_name(wn_check_state state);

/* Between behaviour.c and behaviour_data.c: adds a check; a verdict on its interval against a
 * floor (`above`) or a ceiling. */
wn_check *wn_check_add(wn_check_report *report, const char *name);
void wn_check_judge(wn_check *check, double limit, bool above);
void wn_check_worst(wn_check *check, const char *format, ...) WN_PRINTF(2, 3);
WN_MUST_USE wn_status wn_check_probabilities(wn_engine *engine, const wn_check_options *options,
                                             wn_event_list events, wn_check_report *report,
                                             wn_error *err);
/* Of `n` tries `bad` went wrong, at most the share `most` may. */
void wn_check_judge_share(wn_check *check, size_t bad, size_t n, double most);
WN_MUST_USE wn_status wn_check_log_propensities(wn_engine *engine, const wn_check_options *options,
                                                wn_check_report *report, wn_error *err);
/* The checks of the log, the split, and the newest evaluation. */
WN_MUST_USE wn_status wn_check_data(wn_engine *engine, const wn_check_options *options,
                                    wn_check_report *report, wn_error *err);

#endif
