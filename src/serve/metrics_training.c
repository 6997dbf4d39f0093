/* The trainer and the gate, as Prometheus hears of them. */
#include "serve/metrics.h"

#include <inttypes.h>

static void render_last(const wn_trainer_status *s, wn_buf *out) {
  if (s->last.result == WN_TRAINING_NONE) return;
  wn_metrics_single(out, "winnow_training_last_seconds", "gauge", "How long the last one took.",
                    s->last.seconds);
  wn_metrics_single(out, "winnow_training_last_end_timestamp_seconds", "gauge",
                    "When it ended, Unix seconds.", (double)s->last.ended_ms / 1000);
  if (s->last.verdict[0] == '\0') return;
  wn_metrics_head(out, "winnow_gate_verdict", "gauge", "1: the last verdict of the gate.");
  wn_buf_printf(out, "winnow_gate_verdict{verdict=\"%s\"} 1\n", s->last.verdict);
  wn_metrics_single(out, "winnow_gate_ndcg_difference", "gauge",
                    "Challenger minus incumbent, of the last one that was judged.",
                    s->last.difference);
}

void wn_metrics_render_training(const wn_trainer_status *s, wn_buf *out) {
  wn_metrics_single(out, "winnow_training_running", "gauge", "1: a training runs.", s->running);
  wn_metrics_head(out, "winnow_trainings_total", "counter", "Trainings ended, by result.");
  for (int r = WN_TRAINING_PROMOTED; r < WN_TRAINING_RESULTS; r++)
    wn_buf_printf(out, "winnow_trainings_total{result=\"%s\"} %" PRIu64 "\n",
                  wn_training_result_name((wn_training_result)r), s->runs[r]);
  wn_metrics_single(out, "winnow_training_failures", "gauge", "Failed in a row.", s->failures);
  wn_metrics_single(out, "winnow_training_given_up", "gauge",
                    "1: no more tries until the schedule is due.", s->given_up);
  render_last(s, out);
}
