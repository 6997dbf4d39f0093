#ifndef WN_CLI_SCRAPE_H
#define WN_CLI_SCRAPE_H
/* Prometheus' text format, read: what /metrics said at one moment, and what went on between two.
 *
 * Samples are found by name and one label; without a label, a name's samples are summed. Histograms
 * are expected with `le` as their last label, as the format's own libraries write them. */

#include "base/str.h"
#include "base/vec.h"

typedef struct wn_sample {
  wn_str name, labels; /* labels: what stands between the braces; views into the text */
  double value;
} wn_sample;

typedef struct wn_scrape {
  wn_buf text;
  WN_VEC(wn_sample) samples;
} wn_scrape;

/* Copies `text`. Lines that are no samples are left out. WN_E_MEMORY. */
WN_MUST_USE wn_status wn_scrape_read(wn_str text, wn_scrape *out, wn_error *err);
void wn_scrape_clear(wn_scrape *scrape);

/* The sum of the samples of `name` that carry the label `key="value"` (key NULL: of all). */
double wn_scrape_sum(const wn_scrape *scrape, const char *name, const char *key, const char *value);
/* The label's value; absent when the sample has none. */
wn_str wn_sample_label(const wn_sample *sample, const char *key);

/* The q-quantile of what a histogram counted between two scrapes (`before` NULL: since the start),
 * interpolated within its bucket; NAN when nothing was counted. */
double wn_scrape_quantile(const wn_scrape *before, const wn_scrape *now, const char *name,
                          const char *key, const char *value, double q);

#endif
