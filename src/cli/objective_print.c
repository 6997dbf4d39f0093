#include "cli/objective_print.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

wn_status wn_objective_summary_read(const char *dir, uint64_t number, wn_objective_summary *out,
                                    wn_error *err) {
  char path[4096];
  wn_snapshot *snapshot = NULL;
  wn_status status;
  memset(out, 0, sizeof *out);
  WN_TRY(wn_snapshot_open(wn_snapshot_path(dir, number, path, sizeof path), &snapshot, err));
  WN_TRY(wn_objective_heads_read(snapshot, out->head, &out->len, err));
  WN_TRY(wn_ranker_importance(snapshot, &out->importance, err));
cleanup:
  wn_snapshot_unref(snapshot);
  return status;
}

void wn_objective_summary_clear(wn_objective_summary *summary) {
  wn_buf_clear(&summary->importance);
}

/* Of objectives that know places. */
static bool knows_places(const wn_objective_head *h) {
  return h->spec.position == WN_POSITION_PAL || h->spec.position == WN_POSITION_IPW;
}

static void print_places(const wn_objective_head *h, wn_buf *out) {
  if (!knows_places(h)) return;
  wn_buf_printf(out, "; seen at places 2, 5, 10: %.2f, %.2f, %.2f%s", (double)h->seen[2],
                (double)h->seen[5], (double)h->seen[10],
                h->by_chance != 0 ? " (from what was drawn by chance)" : "");
}

static void put_places(wn_json *json, const wn_objective_head *h) {
  wn_json_key(json, "position");
  wn_json_cstring(json, wn_position_method_name(h->spec.position));
  if (!knows_places(h)) return;
  wn_json_key(json, "seen");
  wn_json_array(json);
  for (size_t k = 1; k <= WN_PLACES; k++) wn_json_float(json, h->seen[k]);
  wn_json_end_array(json);
  wn_json_key(json, "seen_by_chance");
  wn_json_bool(json, h->by_chance != 0);
}

void wn_objective_summary_print(const wn_objective_summary *summary, wn_buf *out) {
  char rule[256];
  for (size_t k = 0; k < summary->len; k++) {
    const wn_objective_head *h = &summary->head[k];
    const wn_calibration_quality *before = &h->report.before, *after = &h->report.after;
    wn_buf_printf(out, "\nobjective %s (%s%s%s): ", h->spec.name,
                  wn_label_rule_print(&h->spec.rule, rule, sizeof rule),
                  h->spec.among[0] != '\0' ? ", among like " : "", h->spec.among);
    wn_buf_printf(out, "%" PRIu64 " successes of %" PRIu64 " labels", h->successes, h->rows);
    if (h->source == WN_OBJECTIVE_UNLABELLED) {
      wn_buf_printf(
          out,
          ": no model (%d successes and as many failures are needed, %d of each of held-out users)",
          WN_OBJECTIVE_LABELS_MIN, WN_OBJECTIVE_HELD_MIN);
      continue;
    }
    wn_buf_printf(out, " from %s; held-out users: AUC %.3f, ECE %.4f, Brier %.4f",
                  wn_objective_source_name(h->source), after->auc, after->ece, after->brier);
    print_places(h, out);
    if (h->calibration.method != WN_CALIBRATION_NONE)
      wn_buf_printf(out, " (before calibration, %s: %.4f, %.4f)",
                    wn_calibration_method_name(h->calibration.method), before->ece, before->brier);
  }
  if (summary->importance.len > 0)
    wn_buf_append(out, summary->importance.data, summary->importance.len);
}

static void put_quality(wn_json *json, const char *key, const wn_calibration_quality *q) {
  const struct {
    const char *name;
    double value;
  } rows[] = {{"log_loss", q->log_loss}, {"brier", q->brier}, {"ece", q->ece}, {"auc", q->auc}};
  wn_json_key(json, key);
  wn_json_object(json);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    wn_json_key(json, rows[i].name);
    if (isfinite(rows[i].value))
      wn_json_double(json, rows[i].value);
    else
      wn_json_null(json);
  }
  wn_json_end_object(json);
}

void wn_objective_summary_json(const wn_objective_summary *summary, wn_json *json) {
  char rule[256];
  wn_json_array(json);
  for (size_t k = 0; k < summary->len; k++) {
    const wn_objective_head *h = &summary->head[k];
    wn_json_object(json);
    wn_json_key(json, "name");
    wn_json_cstring(json, h->spec.name);
    wn_json_key(json, "label");
    wn_json_cstring(json, wn_label_rule_print(&h->spec.rule, rule, sizeof rule));
    if (h->spec.among[0] != '\0') {
      wn_json_key(json, "among");
      wn_json_cstring(json, h->spec.among);
    }
    wn_json_key(json, "labels");
    wn_json_int(json, (int64_t)h->rows);
    wn_json_key(json, "successes");
    wn_json_int(json, (int64_t)h->successes);
    wn_json_key(json, "source");
    wn_json_cstring(json, wn_objective_source_name(h->source));
    if (h->source != WN_OBJECTIVE_UNLABELLED) {
      wn_json_key(json, "calibration");
      wn_json_cstring(json, wn_calibration_method_name(h->calibration.method));
      put_quality(json, "before", &h->report.before);
      put_quality(json, "after", &h->report.after);
      put_places(json, h);
    }
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}
