/* winnow index build|info|search|bench|verify: the inner-product index on files of vectors, alone.
 */
#include "cli/cli.h"

#include "base/bitset.h"
#include "base/clock.h"
#include "base/rng.h"
#include "data/matrix_file.h"
#include "index/index.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX  ((size_t)1 << 30)
#define BATCH      32
#define REPEAT_MIN 0.5 /* seconds that a rate is measured for, at least */

static struct {
  const char *vectors, *queries, *index, *out, *metric;
  uint64_t dims, k, lists, threads, seed, sample;
  double recall, allowed;
  bool json;
} opt;
static const wn_option options[] = {
    {"vectors", WN_OPT_TEXT, &opt.vectors, "FILE", "rows to index: .npy, .fvecs, or bare float32"},
    {"queries", WN_OPT_TEXT, &opt.queries, "FILE", "vectors to ask for; build: what to tune on"},
    {"index", WN_OPT_TEXT, &opt.index, "FILE", "an index that `build` wrote"},
    {"out", WN_OPT_TEXT, &opt.out, "FILE", "build: where the index goes"},
    {"dims", WN_OPT_UINT, &opt.dims, "N", "numbers in a row of a bare file"},
    {"metric", WN_OPT_TEXT, &opt.metric, "NAME", "ip (default), cosine or l2"},
    {"recall", WN_OPT_REAL, &opt.recall, "SHARE",
     "of the k nearest that a search finds, .5 to 1; 1: exact; default .99"},
    {"k", WN_OPT_UINT, &opt.k, "N", "results a query, default 10; build and bench: 100"},
    {"lists", WN_OPT_UINT, &opt.lists, "N", "inverted lists, 0: none; default: by size"},
    {"allowed", WN_OPT_REAL, &opt.allowed, "SHARE",
     "bench: only this share of the rows, at random"},
    {"sample", WN_OPT_UINT, &opt.sample, "N", "bench: queries, default 1000"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "default 1"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "of building; default: all processors"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON; search: one object a query and line"},
};
static const wn_command command = {
    "index",
    "build, search, measure or verify an index of vectors",
    "build|info|search|bench|verify …",
    "build   --vectors FILE --out FILE [--metric M] [--recall R] [--queries FILE]\n"
    "info    --index FILE\n"
    "search  --index FILE --queries FILE [--k N]     row, then id:score, best first\n"
    "bench   --vectors FILE | --index FILE [--queries FILE] [--allowed SHARE]   one thread\n"
    "verify  --index FILE                            every checksum; exit status 9 when damaged",
    options,
    sizeof options / sizeof options[0]};

typedef struct work {
  wn_matrix_file vectors, queries;
  wn_index *index;
  wn_pool *pool;
  wn_meter meter;
  wn_arena arena;
  double build_seconds; /* 0: opened */
} work;

/* --- opening and building --- */

static wn_status metric_of(wn_metric *metric, wn_error *err) {
  if (wn_metric_parse(opt.metric, metric)) return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, "metric", "must be ip, cosine or l2, got `%s`", opt.metric);
}

static wn_status build(work *w, wn_error *err) {
  wn_index_options o;
  wn_status status;
  wn_index_options_defaults(&o);
  WN_TRY(wn_matrix_file_open(opt.vectors, (uint32_t)opt.dims, &w->vectors, err));
  if (opt.queries != NULL)
    WN_TRY(wn_matrix_file_open(opt.queries, w->vectors.cols, &w->queries, err));
  WN_TRY(metric_of(&o.metric, err));
  w->pool = wn_pool_create((int)opt.threads);
  if (w->pool == NULL) WN_TRY(wn_fail_memory(err));
  o.recall = opt.recall;
  o.k = (uint32_t)opt.k;
  if (opt.lists != UINT64_MAX) o.lists = (uint32_t)opt.lists;
  o.queries = (wn_vectors){w->queries.data, w->queries.rows, w->queries.cols};
  o.seed = opt.seed;
  o.pool = w->pool;
  o.progress = &w->meter.progress;
  wn_vectors rows = {w->vectors.data, w->vectors.rows, w->vectors.cols};
  uint64_t start = wn_mono_ns();
  WN_TRY(wn_index_build(&rows, &o, &w->index, err));
  w->build_seconds = (double)(wn_mono_ns() - start) * 1e-9;
cleanup:
  wn_meter_end(&w->meter);
  return status;
}

static wn_status open_or_build(work *w, wn_error *err) {
  if (opt.index == NULL) return build(w, err);
  wn_index_about about;
  wn_status status = wn_index_open(opt.index, &w->index, err);
  if (status != WN_OK) return status;
  wn_index_about_of(w->index, &about);
  return opt.queries == NULL ? WN_OK
                             : wn_matrix_file_open(opt.queries, about.dims, &w->queries, err);
}

/* --- info --- */

static void about_json(const wn_index_about *a, wn_json *j) {
  const struct {
    const char *key;
    double value;
  } numbers[] = {
      {"dims", a->dims},         {"coded", a->coded},         {"rows", a->rows},
      {"lists", a->lists},       {"tiers", a->tiers},         {"recall", a->recall},
      {"achieved", a->achieved}, {"bytes", (double)a->bytes}, {"row_bytes", (double)a->row_bytes}};
  wn_json_key(j, "metric");
  wn_json_cstring(j, wn_metric_name(a->metric));
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    wn_json_key(j, numbers[i].key);
    wn_json_float(j, (float)numbers[i].value); /* shares are floats in the file */
  }
}

static void print_about(const work *w, wn_buf *out) {
  wn_index_about a;
  char codes[32], rows[32];
  wn_index_about_of(w->index, &a);
  if (opt.json) {
    wn_json j;
    wn_json_init(&j, out);
    wn_json_object(&j);
    about_json(&a, &j);
    if (w->build_seconds > 0) {
      wn_json_key(&j, "build_seconds");
      wn_json_double(&j, w->build_seconds);
    }
    wn_json_end_object(&j);
    return;
  }
  wn_buf_printf(out,
                "%" PRIu32 " rows of %" PRIu32 " (codes of %" PRIu32 "), %s, %" PRIu32
                " lists in %" PRIu32 " tiers; index %s beside rows of %s",
                a.rows, a.dims, a.coded, wn_metric_name(a.metric), a.lists, a.tiers,
                wn_human_bytes((double)a.bytes, codes, sizeof codes),
                wn_human_bytes((double)a.row_bytes, rows, sizeof rows));
  if (a.achieved > 0)
    wn_buf_printf(out, "; recall %.4f measured where %.4g was asked for", a.achieved, a.recall);
  if (w->build_seconds > 0) wn_buf_printf(out, "; built in %.2f s", w->build_seconds);
}

/* --- search --- */

static void result_line(uint32_t row, const wn_scored *found, size_t count, wn_buf *out) {
  wn_json j;
  if (!opt.json) {
    wn_buf_printf(out, "%" PRIu32, row);
    for (size_t i = 0; i < count; i++)
      wn_buf_printf(out, "\t%" PRIu32 ":%.7g", found[i].ix, (double)found[i].score);
    wn_buf_char(out, '\n');
    return;
  }
  wn_json_init(&j, out);
  wn_json_object(&j);
  wn_json_key(&j, "query");
  wn_json_int(&j, row);
  wn_json_key(&j, "results");
  wn_json_array(&j);
  for (size_t i = 0; i < count; i++) {
    wn_json_object(&j);
    wn_json_key(&j, "id");
    wn_json_int(&j, found[i].ix);
    wn_json_key(&j, "score");
    wn_json_float(&j, found[i].score);
    wn_json_end_object(&j);
  }
  wn_json_end_array(&j);
  wn_json_end_object(&j);
  wn_buf_char(out, '\n');
}

static wn_status search(work *w, wn_buf *out, wn_error *err) {
  wn_scored *found = wn_reallocarray(NULL, opt.k, sizeof *found);
  wn_status status = found != NULL ? WN_OK : wn_fail_memory(err);
  for (uint32_t q = 0; status == WN_OK && q < w->queries.rows; q++) {
    wn_index_query query = {.vector = w->queries.data + (size_t)q * w->queries.cols,
                            .k = (uint32_t)opt.k,
                            .recall = opt.recall};
    wn_index_answer answer = {.items = found};
    wn_arena_reset(&w->arena);
    status = wn_index_search(w->index, &query, &w->arena, &answer, err);
    if (status == WN_OK) result_line(q, found, answer.count, out);
    if (status == WN_E_ARGUMENT) { /* of the vector: all else has been asked before */
      snprintf(err->field, sizeof err->field, "row %" PRIu32, q);
      status = wn_error_at(err, opt.queries, 0, 0);
    }
    if (out->len > (1 << 20)) {
      fwrite(out->data, 1, out->len, stdout);
      out->len = 0;
    }
  }
  if (out->len > 0) out->len--; /* wn_cli_print ends the line */
  wn_free(found);
  return status;
}

/* --- bench --- */

typedef struct bench {
  work *w;
  float *queries; /* [sample × dims] */
  uint32_t sample, dims, k;
  wn_scored *truth, *found; /* [sample × k] */
  uint32_t *truth_len, *found_len;
  double *us; /* [sample] */
  wn_bitset allowed;
  bool filtered;
} bench;

/* Of the file, or of the index's own rows, spread evenly. */
static wn_status sample_queries(bench *b, wn_error *err) {
  wn_index_about a;
  wn_index_about_of(b->w->index, &a);
  b->dims = a.dims;
  uint32_t from = b->w->queries.rows > 0 ? b->w->queries.rows : a.ids;
  b->sample = opt.sample < from ? (uint32_t)opt.sample : from;
  if (b->sample == 0) return wn_fail(err, WN_E_ARGUMENT, "queries", "there are none");
  b->queries = wn_reallocarray(NULL, (size_t)b->sample * b->dims, sizeof *b->queries);
  if (b->queries == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < b->sample; i++) {
    uint32_t at = (uint32_t)((uint64_t)i * from / b->sample);
    float *to = b->queries + (size_t)i * b->dims;
    if (b->w->queries.rows > 0)
      memcpy(to, b->w->queries.data + (size_t)at * b->dims, b->dims * sizeof *to);
    else if (wn_index_get(b->w->index, at, to, NULL) != WN_OK)
      memset(to, 0, b->dims * sizeof *to);
  }
  return WN_OK;
}

static wn_status prepare(bench *b, wn_error *err) {
  wn_index_about a;
  wn_rng rng;
  wn_status status = sample_queries(b, err);
  if (status != WN_OK) return status;
  wn_index_about_of(b->w->index, &a);
  b->k = (uint32_t)opt.k;
  size_t lists = (size_t)b->sample * b->k;
  b->truth = wn_reallocarray(NULL, lists, sizeof *b->truth);
  b->found = wn_reallocarray(NULL, lists, sizeof *b->found);
  b->truth_len = wn_calloc(b->sample, sizeof *b->truth_len);
  b->found_len = wn_calloc(b->sample, sizeof *b->found_len);
  b->us = wn_calloc(b->sample, sizeof *b->us);
  b->filtered = opt.allowed < 1;
  if (b->truth == NULL || b->found == NULL || b->truth_len == NULL || b->found_len == NULL ||
      b->us == NULL || !wn_bitset_init(&b->allowed, a.ids))
    return wn_fail_memory(err);
  wn_rng_seed(&rng, opt.seed);
  for (uint32_t i = 0; i < a.ids; i++)
    if (wn_rng_double(&rng) < opt.allowed) wn_bitset_set(&b->allowed, i);
  return WN_OK;
}

static wn_index_query query_of(const bench *b, uint32_t q, double recall) {
  return (wn_index_query){.vector = b->queries + (size_t)q * b->dims,
                          .k = b->k,
                          .allowed = b->filtered ? &b->allowed : NULL,
                          .recall = recall};
}

static wn_status one(bench *b, uint32_t q, double recall, bool twin, wn_error *err) {
  wn_index_query query = query_of(b, q, recall);
  wn_index_answer answer = {.items = (twin ? b->truth : b->found) + (size_t)q * b->k};
  wn_arena_reset(&b->w->arena);
  uint64_t start = wn_mono_ns();
  wn_status status = (twin ? wn_index_search_twin : wn_index_search)(b->w->index, &query,
                                                                     &b->w->arena, &answer, err);
  b->us[q] = (double)(wn_mono_ns() - start) * 1e-3;
  (twin ? b->truth_len : b->found_len)[q] = (uint32_t)answer.count;
  return status;
}

static double recall_found(const bench *b) {
  double sum = 0, lists = 0;
  for (uint32_t q = 0; q < b->sample; q++) {
    const wn_scored *truth = b->truth + (size_t)q * b->k, *found = b->found + (size_t)q * b->k;
    size_t hits = 0;
    if (b->truth_len[q] == 0) continue;
    /* What scores no less than the last true one is as good. */
    for (uint32_t i = 0; i < b->found_len[q]; i++)
      hits += found[i].score >= truth[b->truth_len[q] - 1].score;
    sum += (double)hits / b->truth_len[q];
    lists++;
  }
  return lists > 0 ? sum / lists : 1;
}

static int rising(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct rate {
  char name[32];
  double recall, qps, p50, p99; /* microseconds */
} rate;

static wn_status measure_single(bench *b, double recall, bool twin, rate *out, wn_error *err) {
  double seconds = 0, queries = 0;
  do {
    for (uint32_t q = 0; q < b->sample; q++) {
      wn_status status = one(b, q, recall, twin, err);
      if (status != WN_OK) return status;
      seconds += b->us[q] * 1e-6;
      queries++;
      if (twin && seconds > 20 * REPEAT_MIN && q + 1 < b->sample) b->sample = q + 1;
    }
  } while (seconds < REPEAT_MIN);
  out->recall = twin ? 1 : recall_found(b);
  out->qps = queries / seconds;
  qsort(b->us, b->sample, sizeof *b->us, rising);
  out->p50 = b->us[b->sample / 2];
  out->p99 = b->us[(size_t)((double)b->sample * 0.99)];
  return WN_OK;
}

static wn_status measure_batches(bench *b, double recall, rate *out, wn_error *err) {
  double seconds = 0, queries = 0;
  wn_status status = WN_OK;
  do {
    for (uint32_t q = 0; status == WN_OK && q < b->sample; q += BATCH) {
      wn_index_batch batch = {.vectors = b->queries + (size_t)q * b->dims,
                              .count = b->sample - q < BATCH ? b->sample - q : BATCH,
                              .common = query_of(b, 0, recall)};
      wn_arena_reset(&b->w->arena);
      uint64_t start = wn_mono_ns();
      status = wn_index_search_many(b->w->index, &batch, &b->w->arena, b->found + (size_t)q * b->k,
                                    b->found_len + q, err);
      seconds += (double)(wn_mono_ns() - start) * 1e-9;
      queries += batch.count;
    }
  } while (status == WN_OK && seconds < REPEAT_MIN);
  out->recall = recall_found(b);
  out->qps = queries / seconds;
  out->p50 = out->p99 = NAN;
  return status;
}

static void print_rates(const rate *rates, size_t n, wn_buf *out) {
  wn_table table;
  wn_json j;
  const char *head[] = {"search", "recall", "queries/s", "p50 us", "p99 us"};
  wn_json_init(&j, out);
  wn_table_init(&table, 5, 0x1E);
  if (opt.json) wn_json_array(&j);
  for (size_t i = 0; i < 5; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < n; i++) {
    const double values[] = {rates[i].recall, rates[i].qps, rates[i].p50, rates[i].p99};
    const char *keys[] = {"recall", "qps", "p50_us", "p99_us"};
    wn_table_cell(&table, "%s", rates[i].name);
    if (opt.json) wn_json_object(&j);
    if (opt.json) wn_json_key(&j, "search");
    if (opt.json) wn_json_cstring(&j, rates[i].name);
    for (size_t v = 0; v < 4; v++) {
      if (isnan(values[v]))
        wn_table_cell(&table, "-");
      else
        wn_table_cell(&table, v == 0 ? "%.4f" : v == 1 ? "%.0f" : "%.1f", values[v]);
      if (opt.json) wn_json_key(&j, keys[v]);
      if (opt.json && isnan(values[v])) wn_json_null(&j);
      if (opt.json && !isnan(values[v])) wn_json_double(&j, values[v]);
    }
    if (opt.json) wn_json_end_object(&j);
  }
  if (opt.json) {
    wn_json_end_array(&j);
    wn_buf_clear(&table.cells);
    return;
  }
  wn_table_print(&table, out);
  out->len--;
}

static wn_status run_bench(work *w, wn_buf *out, wn_error *err) {
  static const double levels[] = {0.9, 0.95, 0.99, 1};
  bench b = {.w = w};
  rate rates[7] = {{{0}, 0, 0, 0, 0}};
  size_t n = 0;
  wn_status status;
  WN_TRY(prepare(&b, err));
  if (!opt.json) {
    print_about(w, out);
    wn_buf_printf(out, "\n\n");
  }
  snprintf(rates[n].name, sizeof rates[n].name, "fp32 twin");
  WN_TRY(measure_single(&b, 1, true, &rates[n++], err));
  for (size_t l = 0; l < 4; l++) {
    snprintf(rates[n].name, sizeof rates[n].name, levels[l] < 1 ? "asked for %.2f" : "exact",
             levels[l]);
    WN_TRY(measure_single(&b, levels[l], false, &rates[n++], err));
  }
  snprintf(rates[n].name, sizeof rates[n].name, "%d at once, .95", BATCH);
  WN_TRY(measure_batches(&b, 0.95, &rates[n++], err));
  snprintf(rates[n].name, sizeof rates[n].name, "%d at once, exact", BATCH);
  WN_TRY(measure_batches(&b, 1, &rates[n++], err));
  print_rates(rates, n, out);
cleanup:
  wn_free(b.queries);
  wn_free(b.truth);
  wn_free(b.found);
  wn_free(b.truth_len);
  wn_free(b.found_len);
  wn_free(b.us);
  wn_bitset_clear(&b.allowed);
  return status;
}

/* --- the command --- */

static wn_status run(work *w, const char *what, wn_buf *out, wn_error *err) {
  wn_status status;
  if (strcmp(what, "verify") == 0) {
    status = wn_index_verify_file(opt.index, err);
    if (status == WN_OK) wn_buf_printf(out, opt.json ? "{\"good\":true}" : "%s is good", opt.index);
    return status;
  }
  WN_TRY(open_or_build(w, err));
  if (strcmp(what, "build") == 0) WN_TRY(wn_index_save(w->index, opt.out, err));
  if (strcmp(what, "search") == 0)
    status = search(w, out, err);
  else if (strcmp(what, "bench") == 0)
    status = run_bench(w, out, err);
  else
    print_about(w, out);
cleanup:
  return status;
}

/* What each subcommand cannot do without; NULL: nothing is missing. */
static const char *missing(const char *what) {
  if (strcmp(what, "build") == 0)
    return opt.vectors == NULL ? "--vectors" : opt.out == NULL ? "--out" : NULL;
  if (strcmp(what, "bench") == 0)
    return (opt.vectors == NULL) == (opt.index == NULL) ? "--vectors or --index, one of them,"
                                                        : NULL;
  if (opt.index == NULL) return "--index";
  return strcmp(what, "search") == 0 && opt.queries == NULL ? "--queries" : NULL;
}

int wn_cmd_index(int argc, char **argv) {
  static const char *const all[] = {"build", "info", "search", "bench", "verify"};
  static wn_text_list rest;
  static work w;
  wn_buf out = {0};
  wn_error err = {0};
  bool known = false;
  opt.metric = "ip";
  opt.lists = opt.k = UINT64_MAX;
  opt.seed = 1;
  opt.sample = 1000;
  opt.allowed = 1;
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  for (size_t i = 0; i < sizeof all / sizeof *all && rest.len == 1; i++)
    known = known || strcmp(rest.data[0], all[i]) == 0;
  if (!known) return wn_cli_usage(&command, "give build, info, search, bench or verify");
  const char *what = rest.data[0];
  bool asks = strcmp(what, "search") == 0;
  if (opt.k == UINT64_MAX) opt.k = asks ? 10 : 100;
  if (opt.recall == 0 && !asks) opt.recall = 0.99;
  if (missing(what) != NULL) return wn_cli_usage(&command, "%s is missing", missing(what));
  if (opt.k < 1 || opt.k > 1000000 || opt.dims > WN_INDEX_DIMS_MAX || opt.threads > 1024 ||
      (opt.lists != UINT64_MAX && opt.lists > WN_INDEX_ROWS_MAX) || opt.sample < 1 ||
      !(opt.allowed > 0 && opt.allowed <= 1))
    return wn_cli_usage(&command,
                        "--k takes 1 to 1000000, --dims up to %u, --threads up to 1024, "
                        "--sample 1 or more, --allowed up to 1",
                        WN_INDEX_DIMS_MAX);
  wn_meter_init(&w.meter);
  wn_arena_init(&w.arena, ARENA_MAX);
  wn_status done = run(&w, what, &out, &err);
  wn_meter_end(&w.meter);
  wn_index_free(w.index);
  wn_matrix_file_close(&w.vectors);
  wn_matrix_file_close(&w.queries);
  if (w.pool != NULL) wn_pool_free(w.pool);
  wn_arena_clear(&w.arena);
  if (done == WN_OK) return wn_cli_print(&out);
  wn_buf_clear(&out);
  return wn_cli_fail(&command, &err);
}
