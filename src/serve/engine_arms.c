/* The surface of a request as its arms change it: promoted ones first, then those that its user or
 * session was assigned to. */
#include "serve/engine_passage.h"

#include <stdio.h>
#include <string.h>

wn_status wn_passage_surface(wn_passage *p, wn_error *err) {
  const wn_surfaces *all = &p->policy->surfaces;
  char list[400] = "";
  p->surface = wn_surfaces_find(all, p->in->surface);
  if (p->surface != NULL) return WN_OK;
  for (size_t i = 0; i < all->len; i++) {
    size_t len = strlen(list);
    snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "", all->data[i].name);
  }
  return wn_fail(err, WN_E_NOT_FOUND, "surface", "no surface \"%.*s\"; there are: %s",
                 p->in->surface.len > 64 ? 64 : WN_STR_ARG(p->in->surface), list);
}

/* The user's attributes, where an audience asks for them; NULL: unknown. */
static wn_status find_attrs(const wn_passage *p, wn_user_record *record, const wn_attrs **out,
                            wn_error *err) {
  wn_status status = WN_OK;
  *out = NULL;
  if (!wn_experiments_need_attrs(&p->policy->experiments, p->in->surface)) return WN_OK;
  wn_user_ix user =
      p->in->user.len > 0 ? wn_store_find_user(p->engine->store, p->in->user) : WN_NO_IX;
  if (user == WN_NO_IX) return WN_OK;
  status = wn_store_get_user(p->engine->store, user, p->arena, record, err);
  if (status == WN_OK) *out = &record->attrs;
  return status == WN_E_NOT_FOUND ? WN_OK : status;
}

wn_status wn_passage_apply_arms(wn_passage *p, const wn_assigned *assigned, size_t len,
                                wn_error *err) {
  const wn_experiments *all = &p->policy->experiments;
  wn_surface *changed = NULL;
  bool held = len > 0 && strcmp(assigned[0].experiment->name, WN_HOLDOUT) == 0 &&
              assigned[0].arm == 0; /* stays on the old policy */
  if (!held && wn_experiments_any_promoted(all, p->in->surface)) {
    changed = wn_arena_alloc(p->arena, sizeof *changed);
    if (changed == NULL) return wn_fail_memory(err);
    *changed = *p->surface;
    wn_experiments_promoted(all, changed, &p->policy_hash);
  }
  for (size_t i = 0; i < len; i++) {
    const wn_arm_spec *arm = &assigned[i].experiment->arms[assigned[i].arm];
    if (arm->snapshot != 0) p->pin = arm->snapshot;
    for (size_t v = 0; v < arm->variants_len; v++) {
      if (strcmp(arm->variants[v].surface, p->surface->name) != 0) continue;
      if (changed == NULL) {
        changed = wn_arena_alloc(p->arena, sizeof *changed);
        if (changed == NULL) return wn_fail_memory(err);
        *changed = *p->surface;
      }
      wn_surface_patch_apply(&arm->variants[v].patch, changed);
    }
  }
  if (changed != NULL) p->surface = changed;
  return WN_OK;
}

wn_status wn_passage_take_arms(wn_passage *p, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf text = {0};
  wn_user_record record;
  const wn_experiments *all = &p->policy->experiments;
  wn_assign_context context = {
      .surface = p->in->surface, .user = p->in->user, .session = p->in->session};
  p->policy_hash = p->policy->hash;
  if (all->len == 0) return WN_OK;
  WN_TRY(find_attrs(p, &record, &context.attrs, err));
  wn_assigned *assigned = wn_arena_alloc(p->arena, all->len * sizeof *assigned);
  if (assigned == NULL) WN_TRY(wn_fail_memory(err));
  size_t len = wn_experiments_assign(all, &context, assigned);
  WN_TRY(wn_passage_apply_arms(p, assigned, len, err));
  if (len == 0) return WN_OK;
  p->assigned = assigned;
  p->assigned_len = len;
  for (size_t i = 0; i < len && p->in->log; i++)
    if (assigned[i].experiment->mode != WN_MODE_SHARE) p->duel = i;
  wn_assigned_print(assigned, len, &text);
  p->policy_hash = wn_hash64(text.data, text.len, p->policy_hash);
  p->out->arms = wn_arena_str(p->arena, (wn_str){text.data, text.len});
  p->arms = p->out->arms;
  if (text.failed || p->out->arms.ptr == NULL) status = wn_fail_memory(err);
cleanup:
  wn_buf_clear(&text);
  return status;
}
