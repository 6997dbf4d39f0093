#include "funnel/order_caps.h"

wn_status wn_caps_init(wn_order_caps *caps, wn_funnel *funnel, wn_order_state *standing,
                       wn_error *err) {
  caps->funnel = funnel;
  caps->standing = standing;
  caps->len = 0;
  for (size_t c = 0; c < funnel->surface->caps_len; c++) {
    wn_cap_count *rule = &caps->cap[caps->len];
    *rule = (wn_cap_count){.rule = &funnel->surface->caps[c]};
    rule->column = wn_catalog_column(funnel->request->catalog, wn_str_of(rule->rule->attribute));
    if (rule->column == NULL) {
      wn_funnel_note(funnel, "cap on \"%s\" does nothing: no item has it", rule->rule->attribute);
      continue;
    }
    wn_map64_init(&rule->counts);
    caps->len++;
    rule->reason = wn_funnel_format(funnel, "cap:%s", rule->rule->attribute);
    rule->values = wn_arena_alloc(funnel->arena, funnel->candidates_len * sizeof *rule->values);
    if (rule->values == NULL) return wn_fail_memory(err);
    for (size_t i = 0; i < funnel->candidates_len; i++) {
      if (!wn_values_of(rule->column, funnel->candidates[i].item, funnel->arena,
                        &rule->values[i])) {
        return wn_fail_memory(err);
      }
    }
  }
  return WN_OK;
}

void wn_caps_clear(wn_order_caps *caps) {
  for (size_t c = 0; c < caps->len; c++) wn_map64_clear(&caps->cap[c].counts);
}

static void block_sharing(wn_order_caps *caps, const wn_cap_count *rule, uint64_t key) {
  wn_order_state *standing = caps->standing;
  for (size_t i = 0; i < caps->funnel->candidates_len; i++) {
    if (standing->state[i] != WN_FREE || !wn_values_hold(&rule->values[i], key)) continue;
    standing->state[i] = WN_BLOCKED;
    standing->blocked_by[i] = rule->reason;
    standing->blocked++;
  }
}

wn_status wn_caps_count(wn_order_caps *caps, wn_item_ix item, wn_error *err) {
  for (size_t c = 0; c < caps->len; c++) {
    wn_cap_count *rule = &caps->cap[c];
    wn_values values;
    if (!wn_values_of(rule->column, item, caps->funnel->arena, &values)) return wn_fail_memory(err);
    for (uint32_t i = 0; i < values.len; i++) {
      uint64_t key = wn_values_keys(&values)[i], *count = wn_map64_at(&rule->counts, key);
      if (count == NULL) return wn_fail_memory(err);
      if (++*count == rule->rule->max) block_sharing(caps, rule, key);
    }
  }
  return WN_OK;
}

wn_status wn_caps_full(const wn_order_caps *caps, wn_item_ix item, const char **reason,
                       wn_error *err) {
  *reason = NULL;
  for (size_t c = 0; c < caps->len && *reason == NULL; c++) {
    wn_values values;
    if (!wn_values_of(caps->cap[c].column, item, caps->funnel->arena, &values)) {
      return wn_fail_memory(err);
    }
    for (uint32_t i = 0; i < values.len; i++) {
      const uint64_t *count = wn_map64_find(&caps->cap[c].counts, wn_values_keys(&values)[i]);
      if (count != NULL && *count >= caps->cap[c].rule->max) *reason = caps->cap[c].reason;
    }
  }
  return WN_OK;
}
