/* An evaluation for people: tables with the population before them and the guards after them, or
 * the metrics asked for as JSON. */
#include "cli/cli.h"

#include "lab/evaluate.h"
#include "lab/fingerprint.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print_metrics(const wn_evaluation *e, const wn_evaluation_format *how, wn_buf *out) {
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  if (e->sampled) {
    wn_json_key(&j, "sampled");
    wn_json_cstring(&j, e->ranking);
  }
  for (size_t i = 0; i < e->rows_len; i++) {
    wn_json_key(&j, e->rows[i].name);
    wn_json_object(&j);
    for (const char *at = how->metrics; at != NULL && *at != '\0';) {
      size_t len = strcspn(at, ","), name = strcspn(at, "@");
      uint32_t k = (uint32_t)strtoul(at + name + (name < len), NULL, 10);
      wn_metric metric = wn_metric_find((wn_str){at, name < len ? name : len});
      double value = NAN;
      for (size_t c = 0; c < e->cutoffs_len; c++)
        if (e->rows[i].at[c].k == k || !wn_metric_has_cutoff(metric))
          value = c == 0 || isnan(value) ? e->rows[i].at[c].of[metric].mean : value;
      wn_json_key_str(&j, (wn_str){at, len});
      wn_json_double(&j, value);
      at += len + (at[len] == ',');
    }
    wn_json_end_object(&j);
  }
  wn_json_end_object(&j);
}

static void print_head(const wn_evaluation *e, wn_buf *out) {
  static const char *const names[] = {"by time", "leave last out", "given",
                                      "random",  "cold items",     "random users"};
  wn_buf_printf(out, "split %s: %s\n", names[e->kind], e->why);
  wn_buf_printf(out,
                "%" PRIu32 " users, %" PRIu32 " items; train: %" PRIu64 " events, %" PRIu64
                " pairs; test: %" PRIu64 " pairs (%" PRIu64 " with items that train never saw)\n",
                e->users, e->items, e->train_events, e->train_pairs, e->test_pairs,
                e->cold_test_pairs);
  wn_buf_printf(out,
                "evaluated: %" PRIu64 " users; left out: %" PRIu64 " without a past, %" PRIu64
                " without a relevant test item, %" PRIu64 " not sampled\n",
                e->users_evaluated, e->users_cold, e->users_without_relevant, e->users_not_sampled);
  if (e->sampled)
    wn_buf_printf(out, "SAMPLED METRICS over %s (%.1f items on average)\n", e->ranking, e->choices);
  else if (e->kind == WN_SPLIT_COLD_ITEMS)
    wn_buf_printf(out, "ranked: %s, %.0f items\n", e->ranking, e->choices);
  char dataset[WN_HASH_TEXT], split[WN_HASH_TEXT];
  wn_hash_text(e->dataset_hash, dataset);
  wn_hash_text(e->split_hash, split);
  wn_buf_printf(out, "dataset %s, split %s\n", dataset, split);
  if (!e->dataset_cut) return;
  wn_dataset_report_print(&e->dataset, out);
  wn_buf_char(out, '\n');
}

static void cell_interval(wn_table *table, double low, double high) {
  if (isnan(low))
    wn_table_cell(table, "-");
  else
    wn_table_cell(table, "%.4f–%.4f", low, high);
}

static void print_cutoff(const wn_evaluation *e, size_t c, wn_buf *out) {
  wn_table table;
  const char *head[] = {"model",    "NDCG", "95%", "recall",   "95%",  "precision",
                        "hit rate", "MRR",  "MAP", "coverage", "fit s"};
  wn_table_init(&table, 11, 0x7FE);
  for (size_t i = 0; i < 11; i++)
    wn_table_cell(&table, i == 0 ? "%s @%u%s" : "%s", head[i], e->rows[0].at[c].k,
                  e->sampled ? " (sampled)" : "");
  for (size_t i = 0; i < e->rows_len; i++) {
    const wn_cutoff_result *at = &e->rows[i].at[c];
    wn_table_cell(&table, "%s", e->rows[i].name);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_NDCG].mean);
    cell_interval(&table, at->of[WN_METRIC_NDCG].low, at->of[WN_METRIC_NDCG].high);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_RECALL].mean);
    cell_interval(&table, at->of[WN_METRIC_RECALL].low, at->of[WN_METRIC_RECALL].high);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_PRECISION].mean);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_HIT].mean);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_MRR].mean);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_MAP].mean);
    wn_table_cell(&table, "%.1f%%", 100 * at->of[WN_METRIC_COVERAGE].mean);
    wn_table_cell(&table, e->rows[i].fit_seconds > 0 ? "%.2f" : "-", e->rows[i].fit_seconds);
  }
  wn_buf_char(out, '\n');
  wn_table_print(&table, out);
}

/* Those asked for, of every row. */
static void print_slices(const wn_evaluation *e, const wn_evaluation_format *how, wn_buf *out) {
  wn_table table;
  if (!how->slices) return;
  wn_table_init(&table, 8, 0xF0);
  const char *head[] = {"model", "of", "by", "group", "users", "value", "95%", "p adj."};
  for (size_t i = 0; i < 8; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < e->rows_len; i++)
    for (size_t s = 0; s < e->rows[i].slices_len; s++) {
      const wn_slice *slice = &e->rows[i].slices[s];
      wn_table_cell(&table, "%s", e->rows[i].name);
      wn_table_cell(&table, "%s", slice->of_items ? "items" : "users");
      wn_table_cell(&table, "%s", slice->by);
      wn_table_cell(&table, "%s", slice->name);
      wn_table_cell(&table, "%" PRIu64, slice->users);
      wn_table_cell(&table, "%.4f", slice->value.value);
      cell_interval(&table, slice->value.low, slice->value.high);
      wn_table_cell(&table, "%.2g", slice->p_adjusted);
    }
  wn_buf_printf(out, "\nslices: users by %s@%u, items by recall@%u\n",
                wn_metric_about(e->primary)->label, e->rows[0].at[0].k, e->rows[0].at[0].k);
  wn_table_print(&table, out);
}

static void print_compat(const wn_evaluation *e, wn_buf *out) {
  if (e->compat == WN_COMPAT_NONE) return;
  wn_buf_printf(out, "\nas %s would print (%s):\n", wn_compat_name(e->compat),
                wn_compat_why(e->compat));
  for (size_t i = 0; i < e->rows_len; i++)
    for (size_t c = 0; c < e->cutoffs_len; c++) {
      const wn_model_result *row = &e->rows[i];
      size_t different = 0;
      for (int m = 0; m < WN_COMPAT_METRICS; m++) {
        if (fabs(row->compat[m][c] - row->at[c].of[m].mean) <= 1e-9) continue;
        wn_buf_printf(out, "%s%s %s %.6f (ours %.6f)", different == 0 ? row->name : "",
                      different == 0 ? ":" : ",", wn_metric_about((wn_metric)m)->label,
                      row->compat[m][c], row->at[c].of[m].mean);
        different++;
      }
      if (different > 0) wn_buf_printf(out, " @%u\n", row->at[c].k);
    }
}

static void print_second(const wn_evaluation *e, wn_buf *out) {
  const wn_second_protocol *s = &e->second;
  size_t best = 0;
  if (s->rows == 0) return;
  for (size_t i = 0; i < e->rows_len; i++)
    if (isnan(s->value[best]) || s->value[i] > s->value[best]) best = i;
  wn_buf_printf(
      out,
      "\nsecond protocol, %s (%" PRIu64 " users): best %s, %s@%u %.4f; the order of the %zu "
      "rows agrees with Kendall's tau %.2f\n",
      wn_split_name(s->kind), s->users, e->rows[best].name, wn_metric_about(e->primary)->label,
      e->rows[0].at[0].k, s->value[best], s->rows, s->kendall);
}

static void print_guards(const wn_evaluation *e, wn_buf *out) {
  static const char *const states[] = {"ok", "WARN", "FAIL"};
  wn_buf_char(out, '\n');
  for (size_t i = 0; i < e->guards_len; i++)
    wn_buf_printf(out, "%-4s  %s: %s\n", states[e->guards[i].state], e->guards[i].name,
                  e->guards[i].reason);
}

void wn_cli_print_evaluation(const wn_evaluation *e, const wn_evaluation_format *how, wn_buf *out) {
  if (how->metrics != NULL && strcmp(how->metrics, "all") != 0) {
    print_metrics(e, how, out);
    return;
  }
  if (how->json) {
    wn_evaluation_to_json(e, out);
    return;
  }
  print_head(e, out);
  for (size_t c = 0; c < e->cutoffs_len; c++) print_cutoff(e, c, out);
  print_second(e, out);
  print_compat(e, out);
  print_slices(e, how, out);
  print_guards(e, out);
  out->len--; /* wn_cli_print ends the line */
}
