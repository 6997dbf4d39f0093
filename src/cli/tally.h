#ifndef WN_CLI_TALLY_H
#define WN_CLI_TALLY_H
/* What the visits of a simulation came to, by period and arm. */

#include "base/json_write.h"
#include "cli/site.h"

#define WN_TALLY_ARMS_MAX    16
#define WN_TALLY_PERIODS_MAX 100

typedef struct wn_tally_sums {
  double visits, clicks, satisfied, value, best, topics;
} wn_tally_sums;

/* Of a mean per visit, value and best exactly, the others as seen; over all arms of a period. */
enum {
  WN_TALLY_VISITS,
  WN_TALLY_CLICKS,
  WN_TALLY_SATISFIED,
  WN_TALLY_VALUE,
  WN_TALLY_BEST,
  WN_TALLY_SHARE,  /* value / best */
  WN_TALLY_TOPICS, /* different ones in a slate */
  WN_TALLY_COLUMNS
};
extern const char *const wn_tally_columns[WN_TALLY_COLUMNS];
double wn_tally_column(const wn_tally_sums *sums, size_t column);

typedef struct wn_tally {
  const wn_world *world;
  size_t periods;
  char arms[WN_TALLY_ARMS_MAX][65]; /* in order of appearance */
  size_t arms_len;
  wn_tally_sums (*table)[WN_TALLY_ARMS_MAX]; /* [periods] */
  uint32_t *shown;                           /* items: impressions of the current period */
  uint32_t *topics;                          /* users × topics: the same */
  double gini[WN_TALLY_PERIODS_MAX];         /* of the items shown */
  double variety[WN_TALLY_PERIODS_MAX];      /* e^entropy of the topics that a user was shown */
  double users[WN_TALLY_PERIODS_MAX];        /* who came */
  double regret[WN_TALLY_PERIODS_MAX];       /* best − value, summed since the beginning */
  size_t at;                                 /* the current period */
} wn_tally;

WN_MUST_USE wn_status wn_tally_create(const wn_world *world, size_t periods, wn_tally *out,
                                      wn_error *err);
void wn_tally_clear(wn_tally *tally);
/* Periods ascend. */
void wn_tally_add(wn_tally *tally, const wn_visit *visit, size_t period);
void wn_tally_end(wn_tally *tally); /* after the last visit */

wn_tally_sums wn_tally_period(const wn_tally *tally, size_t period);
wn_tally_sums wn_tally_arm(const wn_tally *tally, size_t arm);
wn_tally_sums wn_tally_all(const wn_tally *tally);
/* `with_arms`: rows of the arms below those of the periods. */
void wn_tally_print(const wn_tally *tally, bool with_arms, wn_buf *out);
void wn_tally_to_json(const wn_tally *tally, wn_json *json); /* "periods" and "arms" */
/* value / best by period, a line an arm. */
void wn_tally_plot(const wn_tally *tally, wn_buf *svg);

#endif
