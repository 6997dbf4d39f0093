#include "serve/policy.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

const char *const wn_change_names[] = {"none", "edited", "added", "removed"};

wn_policy *wn_policy_create(wn_config *config) {
  wn_policy *policy = wn_calloc(1, sizeof *policy);
  if (policy == NULL) return NULL;
  policy->surfaces = config->surfaces;
  policy->experiments = config->experiments;
  policy->hash = config->hash;
  atomic_init(&policy->refs, 1);
  config->surfaces = (wn_surfaces){NULL, 0};
  config->experiments = (wn_experiments){NULL, 0};
  return policy;
}

wn_policy *wn_policy_ref(wn_policy *policy) {
  atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
  return policy;
}

void wn_policy_unref(wn_policy *policy) {
  if (policy == NULL) return;
  /* Whoever frees it sees what the others did with it before they let go. */
  if (atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) > 1) return;
  wn_surfaces_clear(&policy->surfaces);
  wn_experiments_clear(&policy->experiments);
  wn_free(policy);
}

wn_status wn_policy_filed(const wn_policy *policy, wn_config *config, wn_error *err) {
  wn_status status = WN_OK;
  const wn_surfaces *surfaces = &policy->surfaces;
  const wn_experiments *all = &policy->experiments;
  config->hash = policy->hash;
  config->experiments = (wn_experiments){NULL, 0};
  config->surfaces = (wn_surfaces){wn_calloc(surfaces->len + 1, sizeof *surfaces->data), 0};
  config->experiments.data = wn_calloc(all->len + 1, sizeof *all->data);
  if (config->surfaces.data == NULL || config->experiments.data == NULL)
    WN_TRY(wn_fail_memory(err));
  memcpy(config->surfaces.data, surfaces->data, surfaces->len * sizeof *surfaces->data);
  config->surfaces.len = surfaces->len;
  for (size_t i = 0; i < all->len; i++) {
    wn_experiment *to = &config->experiments.data[config->experiments.len];
    if (all->data[i].by_api) continue;
    WN_TRY(wn_experiment_copy(&all->data[i], to, err));
    to->stopped = to->filed.stopped;
    to->promoted = to->filed.promoted;
    to->traffic = to->filed.traffic;
    config->experiments.len++;
  }
cleanup:
  if (status != WN_OK) wn_config_clear(config);
  return status;
}

/* Surfaces are plain data in memory that was zeroed first: equal bytes are equal surfaces, as for
 * the patches of arms. */
wn_change wn_policy_surface_change(const wn_policy *from, const wn_policy *to, const char *name) {
  const wn_surface *a = wn_surfaces_find(&from->surfaces, wn_str_of(name));
  const wn_surface *b = wn_surfaces_find(&to->surfaces, wn_str_of(name));
  if (a == NULL) return b == NULL ? WN_CHANGE_NONE : WN_CHANGE_ADDED;
  if (b == NULL) return WN_CHANGE_REMOVED;
  return memcmp(a, b, sizeof *a) == 0 ? WN_CHANGE_NONE : WN_CHANGE_EDITED;
}

wn_status wn_policy_check_change(const wn_policy *from, const wn_policy *to, wn_error *err) {
  char field[WN_NAME_MAX + 16];
  for (size_t i = 0; i < from->experiments.len; i++) {
    const wn_experiment *e = &from->experiments.data[i];
    const wn_experiment *then = wn_experiments_find(&to->experiments, wn_str_of(e->name));
    bool runs_on = !e->stopped && then != NULL && !then->stopped;
    if (!runs_on || strcmp(e->name, WN_HOLDOUT) == 0) continue;
    for (size_t s = 0; s < e->surfaces_len; s++) {
      if (wn_policy_surface_change(from, to, e->surfaces[s]) == WN_CHANGE_NONE) continue;
      snprintf(field, sizeof field, "surfaces.%s", e->surfaces[s]);
      return wn_fail(err, WN_E_CONFIG, field,
                     "the experiment %s runs on this surface, and its arms would change under way: "
                     "stop it first (state: stopped)",
                     e->name);
    }
  }
  return WN_OK;
}
