#include "cli/scrape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool read_line(wn_str line, wn_sample *out) {
  const char *blank = line.len > 0 ? memchr(line.ptr, ' ', line.len) : NULL;
  const char *brace = line.len > 0 ? memchr(line.ptr, '{', line.len) : NULL;
  if (line.len == 0 || line.ptr[0] == '#' || blank == NULL) return false;
  *out = (wn_sample){0};
  if (brace != NULL && brace < blank) {
    const char *end = NULL; /* values may hold blanks and braces: the last brace closes */
    for (const char *p = line.ptr + line.len; p-- > brace && end == NULL;)
      if (*p == '}') end = p;
    if (end == NULL || end + 1 >= line.ptr + line.len) return false;
    out->labels = (wn_str){brace + 1, (size_t)(end - brace - 1)};
    out->name = (wn_str){line.ptr, (size_t)(brace - line.ptr)};
    blank = end + 1;
  } else {
    out->name = (wn_str){line.ptr, (size_t)(blank - line.ptr)};
  }
  wn_str number = wn_str_trim((wn_str){blank, (size_t)(line.ptr + line.len - blank)});
  return wn_parse_double(number, &out->value);
}

wn_status wn_scrape_read(wn_str text, wn_scrape *out, wn_error *err) {
  wn_sample sample;
  *out = (wn_scrape){0};
  wn_buf_append(&out->text, text.ptr, text.len);
  if (out->text.failed) return wn_fail_memory(err);
  const char *p = out->text.data, *end = p + out->text.len;
  while (p < end) {
    const char *eol = memchr(p, '\n', (size_t)(end - p));
    if (eol == NULL) eol = end;
    if (read_line((wn_str){p, (size_t)(eol - p)}, &sample) && !wn_vec_push(&out->samples, sample)) {
      wn_scrape_clear(out);
      return wn_fail_memory(err);
    }
    p = eol + 1;
  }
  return WN_OK;
}

void wn_scrape_clear(wn_scrape *scrape) {
  wn_buf_clear(&scrape->text);
  wn_vec_clear(&scrape->samples);
  *scrape = (wn_scrape){0};
}

wn_str wn_sample_label(const wn_sample *sample, const char *key) {
  const char *p = sample->labels.ptr, *end = p + sample->labels.len;
  size_t len = strlen(key);
  while (p != NULL && p < end) {
    const char *quote = memchr(p, '"', (size_t)(end - p)), *close = quote;
    if (quote == NULL) break;
    do /* a quote inside a value has a backslash before it */
      close++;
    while (close < end && (*close != '"' || close[-1] == '\\'));
    if ((size_t)(quote - p) == len + 1 && memcmp(p, key, len) == 0)
      return (wn_str){quote + 1, (size_t)(close - quote - 1)};
    p = close + 2; /* the quote and the comma */
  }
  return (wn_str){0};
}

static bool matches(const wn_sample *s, const char *name, const char *key, const char *value) {
  return wn_str_is(s->name, name) && (key == NULL || wn_str_is(wn_sample_label(s, key), value));
}

double wn_scrape_sum(const wn_scrape *scrape, const char *name, const char *key,
                     const char *value) {
  double sum = 0;
  for (size_t i = 0; i < scrape->samples.len; i++)
    if (matches(&scrape->samples.data[i], name, key, value)) sum += scrape->samples.data[i].value;
  return sum;
}

typedef struct histogram {
  double le[64], count[64]; /* cumulative, summed over the samples with one bound */
  size_t len;
} histogram;

static void add_buckets(const wn_scrape *scrape, const char *bucket, const char *key,
                        const char *value, double sign, histogram *h) {
  for (size_t i = 0; i < scrape->samples.len; i++) {
    const wn_sample *s = &scrape->samples.data[i];
    wn_str bound = wn_sample_label(s, "le");
    double le = INFINITY;
    if (!matches(s, bucket, key, value) || bound.ptr == NULL) continue;
    if (!wn_str_is(bound, "+Inf") && !wn_parse_double(bound, &le)) continue;
    size_t b = 0;
    while (b < h->len && h->le[b] != le) b++;
    if (b == sizeof h->le / sizeof h->le[0]) continue;
    if (b == h->len) h->le[h->len] = le, h->count[h->len++] = 0;
    h->count[b] += sign * s->value;
  }
}

double wn_scrape_quantile(const wn_scrape *before, const wn_scrape *now, const char *name,
                          const char *key, const char *value, double q) {
  char bucket[128];
  histogram h = {0};
  double low = 0, below = 0;
  snprintf(bucket, sizeof bucket, "%s_bucket", name);
  add_buckets(now, bucket, key, value, 1, &h);
  if (before != NULL) add_buckets(before, bucket, key, value, -1, &h);
  double total = h.len > 0 ? h.count[h.len - 1] : 0;
  if (total <= 0) return NAN;
  for (size_t b = 0; b < h.len; b++) { /* bounds ascend within a series */
    if (h.count[b] >= q * total) {
      if (isinf(h.le[b])) return low; /* beyond the last bound: at least that */
      return low + (h.le[b] - low) * (q * total - below) / (h.count[b] - below);
    }
    low = h.le[b], below = h.count[b];
  }
  return low;
}
