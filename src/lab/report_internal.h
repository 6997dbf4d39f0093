#ifndef WN_LAB_REPORT_INTERNAL_H
#define WN_LAB_REPORT_INTERNAL_H
/* Shared by lab/report*.c. */

#include "lab/report.h"
#include "lab/svg.h"

#define WN_REPORT_ROWS  (WN_ROWS_MAX)
#define WN_REPORT_STYLE 8 /* colours */

typedef struct wn_page {
  wn_buf *out;
  const wn_report_input *in;
  const json_t *rows;
  const char *primary;          /* metric */
  char label[64];               /* of it, as people write it: NDCG@10 */
  const char *incumbent;        /* NULL: none */
  size_t order[WN_REPORT_ROWS]; /* rows by the primary metric, best first */
  size_t len;
  char style[WN_REPORT_ROWS][12]; /* of row i: sN, base, base dots, rest */
} wn_page;

extern const char wn_report_css[];

double wn_page_number(const json_t *object, const char *key); /* NaN: none */
const char *wn_page_text(const json_t *object, const char *key);
/* " (LOW to HIGH)", ", NAME P"; empty where there is none (one user has no interval). */
typedef struct wn_page_note {
  char text[64];
} wn_page_note;
wn_page_note wn_page_span(double low, double high, bool sign);
wn_page_note wn_page_p(const char *name, double p);
const json_t *wn_page_row(const wn_page *page, size_t i); /* i-th best */
const char *wn_page_name(const wn_page *page, size_t i);
bool wn_page_baseline(const char *model);
/* mean (and interval, NaN without) of a metric at the c-th cutoff */
double wn_page_metric(const json_t *row, size_t c, const char *metric, double *low, double *high);
/* A row's part of extras; NULL: none. */
const json_t *wn_page_extra(const wn_page *page, const char *model);
void wn_page_section(wn_page *page, const char *id, const char *title, const char *intro);
void wn_page_end(wn_page *page);
void wn_page_legend(wn_page *page, size_t most);

void wn_page_head(wn_page *page, const char *title);
void wn_page_foot(wn_page *page);
size_t wn_page_guards_in(const json_t *guards, const char *state);
void wn_page_guards(wn_page *page, const json_t *guards);
WN_MUST_USE wn_status wn_page_numbers(wn_page *page, wn_error *err);

/* report_charts.c */
void wn_page_forest(wn_page *page);
void wn_page_curves(wn_page *page);
void wn_page_users(wn_page *page);
void wn_page_slices(wn_page *page);
void wn_page_timeline(wn_page *page);
/* report_catalogue.c */
void wn_page_popularity(wn_page *page);
void wn_page_tradeoffs(wn_page *page);
void wn_page_calibration(wn_page *page);
/* report_runs.c */
void wn_page_ope(wn_page *page);
void wn_page_checks(wn_page *page);
/* report_predicted.c */
void wn_page_predicted(wn_page *page);

#endif
