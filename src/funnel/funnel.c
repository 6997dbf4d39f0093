/* One request through the four stages. `allowed` is compiled before retrieval, because generators
 * need it; its time counts as the filter stage's. */

#include "base/clock.h"
#include "base/log.h"
#include "funnel/stages.h"
#include "model/ranker.h"
#include <stdio.h>

double wn_ms_since(uint64_t mono_ns) {
  return (double)(wn_mono_ns() - mono_ns) / 1e6;
}

void wn_trace_note(wn_trace *trace, const char *text) {
  if (trace != NULL && trace->notes_len < WN_NOTES_MAX) trace->notes[trace->notes_len++] = text;
}

void wn_trace_drop(wn_trace *trace, wn_item_ix item, const char *stage, const char *reason) {
  if (trace == NULL || trace->drops_len == WN_DROPS_MAX || reason == NULL) return;
  trace->drops[trace->drops_len++] = (wn_drop_trace){item, stage, reason};
}

static const char *format_text(const wn_funnel *funnel, const char *format, va_list args)
    WN_PRINTF(2, 0);

static const char *format_text(const wn_funnel *funnel, const char *format, va_list args) {
  char text[512];
  vsnprintf(text, sizeof text, format, args);
  const char *copy = wn_arena_strdup(funnel->arena, wn_str_of(text));
  return copy != NULL ? copy : "";
}

const char *wn_funnel_format(const wn_funnel *funnel, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *text = format_text(funnel, format, args);
  va_end(args);
  return text;
}

void wn_funnel_note(const wn_funnel *funnel, const char *format, ...) {
  va_list args;
  if (funnel->trace == NULL) return;
  va_start(args, format);
  wn_trace_note(funnel->trace, format_text(funnel, format, args));
  va_end(args);
}

static wn_status check(const wn_request *request, wn_error *err) {
  if (request->n < 1 || request->n > WN_SLATE_MAX) {
    return wn_fail(err, WN_E_ARGUMENT, "n", "must be 1 to %d, got %u", WN_SLATE_MAX, request->n);
  }
  if (request->surface == NULL || request->catalog == NULL || request->filters == NULL ||
      request->query.arena == NULL) {
    return wn_fail(err, WN_E_INTERNAL, "", "a request needs surface, catalog, filters and arena");
  }
  return WN_OK;
}

static wn_status start(wn_funnel *funnel, const wn_request *request, wn_error *err) {
  *funnel = (wn_funnel){.request = request,
                        .surface = request->surface,
                        .arena = request->query.arena,
                        .n = request->n,
                        .items = wn_catalog_count(request->catalog),
                        .query = request->query};
  funnel->query.allowed = &funnel->allowed;
  if (!request->explain) return WN_OK;
  funnel->trace = wn_arena_calloc(funnel->arena, 1, sizeof *funnel->trace);
  if (funnel->trace == NULL) return wn_fail_memory(err);
  funnel->trace->surface = request->surface;
  funnel->trace->drops = wn_arena_alloc(funnel->arena, WN_DROPS_MAX * sizeof *funnel->trace->drops);
  return funnel->trace->drops != NULL ? WN_OK : wn_fail_memory(err);
}

void wn_funnel_lap(wn_funnel *funnel, uint64_t *since, int stage) {
  uint64_t now = wn_mono_ns();
  funnel->stages.ns[stage] += now - *since;
  *since = now;
}

static wn_status run_stages(wn_funnel *funnel, wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_stats *stages = &funnel->stages;
  uint64_t since = wn_mono_ns();
  WN_TRY(wn_filter_compile(funnel, err));
  wn_funnel_lap(funnel, &since, WN_STAGE_FILTER);
  WN_TRY(wn_retrieve(funnel, err));
  wn_funnel_lap(funnel, &since, WN_STAGE_RETRIEVE);
  stages->out[WN_STAGE_RETRIEVE] = (uint32_t)funnel->candidates_len;
  WN_TRY(wn_filter_check(funnel, err));
  wn_funnel_lap(funnel, &since, WN_STAGE_FILTER);
  stages->out[WN_STAGE_FILTER] = (uint32_t)funnel->candidates_len;
  if (funnel->trace != NULL) funnel->trace->candidate_count = funnel->candidates_len;
  WN_TRY(wn_score(funnel, err));
  wn_funnel_lap(funnel, &since, WN_STAGE_SCORE);
  stages->out[WN_STAGE_SCORE] = (uint32_t)funnel->candidates_len;
  WN_TRY(wn_order(funnel, err));
  wn_funnel_lap(funnel, &since, WN_STAGE_ORDER);
  stages->out[WN_STAGE_ORDER] = (uint32_t)funnel->slate_len;
  if (funnel->trace == NULL) return WN_OK;
  for (int s = 0; s < WN_STAGES; s++) funnel->trace->stage_ms[s] = (double)stages->ns[s] * 1e-6;
cleanup:
  return status;
}

/* The last gate: whatever happened before, nothing hidden or deleted leaves. */
static void keep_servable(wn_funnel *funnel) {
  const wn_bitset *servable = wn_catalog_servable(funnel->request->catalog);
  size_t kept = 0;
  if (funnel->request->shown != NULL) return; /* of the past: judged, not served */
  for (size_t i = 0; i < funnel->slate_len; i++) {
    if (wn_bitset_test(servable, funnel->slate[i].item)) funnel->slate[kept++] = funnel->slate[i];
  }
  if (kept < funnel->slate_len) {
    wn_log(WN_LOG_ERROR, "funnel stopped items that cannot be served count=%zu surface=%s",
           funnel->slate_len - kept, funnel->surface->name);
  }
  funnel->slate_len = kept;
}

/* A slate without items says why. */
static wn_status explain_empty(wn_funnel *funnel, const char **reason, wn_error *err) {
  *reason = NULL;
  if (funnel->slate_len > 0) return WN_OK;
  wn_status status = wn_filter_blame(funnel, reason, err);
  if (status != WN_OK) return status;
  if (*reason == NULL) *reason = "nothing proposed";
  if (funnel->items == 0) *reason = "no items";
  wn_trace_note(funnel->trace, wn_funnel_format(funnel, "empty: %s", *reason));
  return WN_OK;
}

/* Who decided what a candidate is worth. */
static const char *scored_by(const wn_funnel *funnel) {
  if (funnel->ranker != NULL) return funnel->by_objectives ? "objectives" : "ranker";
  return funnel->normalise == WN_NORM_BLEND ? "blend" : "generators";
}

wn_status wn_funnel_run(const wn_request *request, wn_slate *out, wn_error *err) {
  wn_funnel funnel;
  wn_status status = WN_OK;
  const char *empty;
  *out = (wn_slate){0};
  WN_TRY(check(request, err));
  WN_TRY(start(&funnel, request, err));
  WN_TRY(run_stages(&funnel, err));
  keep_servable(&funnel);
  WN_TRY(explain_empty(&funnel, &empty, err));
  WN_TRY(wn_why_explain(&funnel, err));
  *out = (wn_slate){.items = funnel.slate,
                    .len = funnel.slate_len,
                    .trace = funnel.trace,
                    .relaxed = funnel.relaxed,
                    .empty = empty,
                    .scored_by = scored_by(&funnel),
                    .stages = funnel.stages};
  if (funnel.ranker != NULL && request->surface->log_features) {
    out->features = wn_features_count(wn_ranker_features(funnel.ranker));
    out->feature_set = wn_ranker_feature_set(funnel.ranker);
  }
cleanup:
  return status;
}
