/* The ranker's sections of a snapshot, and what they say of it. */
#include "model/ranker_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "model/section.h"

#include <math.h>
#include <string.h>

static const char *const forest_sections[] = {"ranker/forest", "ranker/later"},
                         *const light_sections[] = {"ranker/light", "ranker/later/light"},
                         *const verdict_sections[] = {"ranker/verdict", "ranker/later/verdict"};

wn_status wn_ranker_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_ranker *m = (const wn_ranker *)model;
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "ranker/head", &m->head, sizeof m->head, err));
  WN_TRY(wn_snapshot_write(writer, "ranker/features", &m->set, sizeof m->set, err));
  WN_TRY(wn_facts_save(&m->facts, "ranker/facts", writer, err));
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++) {
    const wn_ranker_learnt *order = &m->order[h];
    WN_TRY(wn_forest_save(&order->forest, forest_sections[h], writer, err));
    WN_TRY(wn_snapshot_write(writer, light_sections[h], &order->light, sizeof order->light, err));
    WN_TRY(wn_snapshot_write(writer, verdict_sections[h], &order->verdict, sizeof order->verdict,
                             err));
  }
  WN_TRY(wn_objective_models_save(m->objective, m->objectives, writer, err));
cleanup:
  return status;
}

wn_status wn_ranker_validate(const wn_model *model, wn_error *err) {
  const wn_ranker *m = (const wn_ranker *)model;
  if (m->set.attrs != m->facts.head.attrs)
    return wn_fail(err, WN_E_CORRUPT, "ranker/features", "%u attributes, not %u", m->set.attrs,
                   m->facts.head.attrs);
  wn_status status = WN_OK;
  for (unsigned h = 0; h < WN_BLEND_HORIZONS && status == WN_OK; h++) {
    const wn_forest *forest = &m->order[h].forest;
    if (forest->trees.count > 0 && forest->features != wn_features_count(&m->set))
      return wn_fail(err, WN_E_CORRUPT, forest_sections[h], "%u features, not %u", forest->features,
                     wn_features_count(&m->set));
    status = wn_light_check(&m->order[h].light, light_sections[h], err);
    if (status == WN_OK) status = wn_forest_validate(forest, forest_sections[h], err);
  }
  for (size_t i = 0; status == WN_OK && i < m->objectives; i++)
    status = wn_forest_validate(&m->objective[i].forest, "ranker/objective", err);
  return status;
}

/* What snapshots from before it have not stays zero. */
static wn_status map_one(const wn_snapshot *snapshot, const char *section, void *out, size_t size,
                         wn_error *err) {
  const void *raw;
  if (!wn_snapshot_has(snapshot, section)) return WN_OK;
  wn_status status = wn_section_array(snapshot, section, size, 1, &raw, err);
  if (status == WN_OK) memcpy(out, raw, size);
  return status;
}

/* Without a light ranker all candidates are the generators' order; without trees of their own, what
 * comes later has those of what is next. */
static wn_status map_order(const wn_snapshot *snapshot, wn_ranker *m, unsigned h, wn_error *err) {
  wn_ranker_learnt *order = &m->order[h];
  wn_status status;
  WN_TRY(map_one(snapshot, light_sections[h], &order->light, sizeof order->light, err));
  WN_TRY(wn_light_check(&order->light, light_sections[h], err));
  WN_TRY(map_one(snapshot, verdict_sections[h], &order->verdict, sizeof order->verdict, err));
  if (h == WN_BLEND_NEXT || wn_snapshot_has(snapshot, verdict_sections[h]))
    WN_TRY(wn_forest_map(snapshot, forest_sections[h], &order->forest, err));
cleanup:
  return status;
}

/* Trees of other features than this build makes have nothing to say; the other models do. */
static bool of_another_version(const wn_snapshot *snapshot, const wn_ranker_head *head) {
  const void *raw;
  uint32_t features = WN_FEATURES_VERSION;
  if (head->version == WN_RANKER_VERSION &&
      wn_section_array(snapshot, "ranker/features", sizeof(wn_feature_set), 1, &raw, NULL) == WN_OK)
    features = ((const wn_feature_set *)raw)->version;
  if (head->version == WN_RANKER_VERSION && features == WN_FEATURES_VERSION) return false;
  wn_log(
      WN_LOG_WARN,
      "the snapshot's ranker is of version %u with features of version %u, this build's of %d and "
      "%d: it is left out until the next training",
      head->version, features, WN_RANKER_VERSION, WN_FEATURES_VERSION);
  return true;
}

wn_status wn_ranker_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *raw;
  wn_status status;
  wn_ranker *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_ranker;
  WN_TRY(wn_section_array(snapshot, "ranker/head", sizeof m->head, 1, &raw, err));
  memcpy(&m->head, raw, sizeof m->head);
  if (of_another_version(snapshot, &m->head)) {
    m->head = (wn_ranker_head){.version = WN_RANKER_VERSION};
    m->set = (wn_feature_set){.version = WN_FEATURES_VERSION, .depth = 1};
    *out = &m->base;
    goto cleanup;
  }
  WN_TRY(wn_section_array(snapshot, "ranker/features", sizeof m->set, 1, &raw, err));
  memcpy(&m->set, raw, sizeof m->set);
  WN_TRY(wn_feature_set_check(&m->set, "ranker/features", err));
  WN_TRY(wn_facts_map(snapshot, "ranker/facts", &m->facts, err));
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++) WN_TRY(map_order(snapshot, m, h, err));
  WN_TRY(wn_ranker_init_places(m, err));
  WN_TRY(wn_objective_models_map(snapshot, wn_features_count(&m->set), m->objective, &m->objectives,
                                 err));
  WN_TRY(wn_ranker_validate(&m->base, err));
  *out = &m->base;
cleanup:
  if (status != WN_OK) wn_ranker_free(&m->base);
  return status;
}

/* --- what it looks at --- */

/* What trees look at most, by the share of gain. */
void wn_ranker_print_gain(const wn_ranker *m, const wn_forest *forest, wn_buf *out) {
  char name[WN_FEATURE_NAME_MAX + 1];
  float last = INFINITY;
  for (size_t shown = 0; forest->trees.count > 0 && shown < 6; shown++) {
    uint32_t best = WN_NO_IX;
    for (uint32_t i = 0; i < forest->features; i++)
      if (forest->gain[i] < last && (best == WN_NO_IX || forest->gain[i] > forest->gain[best]))
        best = i;
    if (best == WN_NO_IX) break;
    last = forest->gain[best];
    wn_buf_printf(out, "%s %s %.0f%%", shown > 0 ? "," : "",
                  wn_feature_name(&m->set, &m->facts, best, name, sizeof name),
                  100.0 * (double)last);
  }
}

/* What one set of trees looks at, and what it was judged to be worth. */
static void print_order(const wn_ranker *m, unsigned h, wn_buf *out) {
  const wn_ranker_verdict *v = &m->order[h].verdict;
  const char *of = h == WN_BLEND_NEXT ? "" : " (later)";
  if (m->order[h].forest.trees.count > 0) wn_buf_printf(out, "\nranker%s looks at:", of);
  wn_ranker_print_gain(m, &m->order[h].forest, out);
  if (v->moments == 0) return;
  wn_buf_printf(
      out, "\nranker%s: %s by NDCG@20 of %u held-out moments, trees %.4f, blend %.4f (+- %.4f)", of,
      v->blend != 0 ? "the blend orders" : "the trees order", v->moments, (double)v->ndcg_trees,
      (double)v->ndcg_blend, (double)v->error);
}

wn_status wn_ranker_importance(const wn_snapshot *snapshot, wn_buf *out, wn_error *err) {
  wn_model *model = NULL;
  if (!wn_snapshot_has(snapshot, "ranker/head")) return WN_OK;
  wn_status status = wn_ranker_map(snapshot, &model, err);
  if (status != WN_OK) return status;
  const wn_ranker *m = (const wn_ranker *)model;
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++) print_order(m, h, out);
  for (size_t k = 0; k < m->objectives; k++) {
    if (m->objective[k].forest.trees.count == 0) continue;
    wn_buf_printf(out, "\n%s looks at:", m->objective[k].head.spec.name);
    wn_ranker_print_gain(m, &m->objective[k].forest, out);
  }
  wn_ranker_free(model);
  return WN_OK;
}
