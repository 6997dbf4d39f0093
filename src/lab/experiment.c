/* Assignment (see experiment.h for the draws) and the checks of what is declared. */

#include "lab/experiment.h"
#include "base/map64.h"
#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const wn_metric_kind_names[] = {"conversion", "count",    "rate",   "value",
                                            "finish",     "distinct", "return", NULL};

const char *const wn_mode_names[] = {"share", "shadow", "interleave", NULL};

void wn_experiment_defaults(wn_experiment *e, const char *name) {
  *e = (wn_experiment){.traffic = 1, .group_to = 1, .alpha = 0.05, .rule = {.every_minutes = 60}};
  snprintf(e->name, sizeof e->name, "%s", name);
  snprintf(e->salt, sizeof e->salt, "%s", name);
}

void wn_experiment_clear(wn_experiment *e) {
  for (size_t a = 0; a < e->arms_len; a++) {
    for (size_t v = 0; v < e->arms[a].variants_len; v++)
      wn_surface_patch_clear(&e->arms[a].variants[v].patch);
    wn_free(e->arms[a].variants);
  }
  wn_free(e->surfaces);
  wn_free(e->overrides);
  *e = (wn_experiment){0};
}

static wn_status copy_arm(const wn_arm_spec *from, wn_arm_spec *to, wn_error *err) {
  to->variants = NULL;
  to->variants_len = 0;
  if (from->variants_len == 0) return WN_OK;
  to->variants = wn_calloc(from->variants_len, sizeof *to->variants);
  if (to->variants == NULL) return wn_fail_memory(err);
  for (size_t v = 0; v < from->variants_len; v++) {
    const wn_surface_patch *patch = &from->variants[v].patch;
    to->variants[v] = from->variants[v];
    to->variants[v].patch = (wn_surface_patch){0};
    to->variants_len++;
    wn_status status = wn_surface_patch_copy(patch, &to->variants[v].patch, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

wn_status wn_experiment_copy(const wn_experiment *from, wn_experiment *to, wn_error *err) {
  wn_status status = WN_OK;
  *to = *from;
  to->arms_len = to->surfaces_len = to->overrides_len = 0;
  to->surfaces = NULL;
  to->overrides = NULL;
  if (from->surfaces_len > 0) to->surfaces = wn_calloc(from->surfaces_len, sizeof *to->surfaces);
  if (from->overrides_len > 0)
    to->overrides = wn_calloc(from->overrides_len, sizeof *to->overrides);
  if ((from->surfaces_len > 0 && to->surfaces == NULL) ||
      (from->overrides_len > 0 && to->overrides == NULL))
    WN_TRY(wn_fail_memory(err));
  for (; to->surfaces_len < from->surfaces_len; to->surfaces_len++)
    memcpy(to->surfaces[to->surfaces_len], from->surfaces[to->surfaces_len], sizeof *to->surfaces);
  for (; to->overrides_len < from->overrides_len; to->overrides_len++)
    to->overrides[to->overrides_len] = from->overrides[to->overrides_len];
  while (to->arms_len < from->arms_len) {
    size_t a = to->arms_len++;
    WN_TRY(copy_arm(&from->arms[a], &to->arms[a], err));
  }
cleanup:
  if (status != WN_OK) wn_experiment_clear(to);
  return status;
}

void wn_experiments_clear(wn_experiments *all) {
  for (size_t i = 0; i < all->len; i++) wn_experiment_clear(&all->data[i]);
  wn_free(all->data);
  *all = (wn_experiments){0};
}

const wn_experiment *wn_experiments_find(const wn_experiments *all, wn_str name) {
  for (size_t i = 0; i < all->len; i++)
    if (wn_str_is(name, all->data[i].name)) return &all->data[i];
  return NULL;
}

/* ---- checks ---- */

/* "experiments.NAME.KEY" */
static const char *field_of(const wn_experiment *e, const char *key, char out[160]) {
  snprintf(out, 160, "experiments.%s.%s", e->name, key);
  return out;
}

static wn_status check_arms(const wn_experiment *e, wn_error *err) {
  double sum = 0;
  char field[160];
  if (e->arms_len < 2)
    return wn_fail(err, WN_E_CONFIG, field_of(e, "arms", field),
                   "an experiment has at least two arms, got %zu", e->arms_len);
  for (size_t a = 0; a < e->arms_len; a++) sum += e->arms[a].share;
  if (fabs(sum - 1) > 1e-6)
    return wn_fail(err, WN_E_CONFIG, field_of(e, "arms", field),
                   "the shares of the arms must add up to 1, they are %g (`traffic` says how many "
                   "units take part)",
                   sum);
  return WN_OK;
}

static wn_status check_metrics(const wn_experiment *e, wn_error *err) {
  char field[160], key[32];
  for (size_t m = 0; m < e->metrics_len; m++) {
    const wn_metric_spec *spec = &e->metrics[m];
    snprintf(key, sizeof key, "metrics[%zu]", m);
    field_of(e, key, field);
    if (spec->kind == WN_METRIC_RETURN && spec->type[0] != '\0')
      return wn_fail(err, WN_E_CONFIG, field, "the metric `return` has no event type");
    for (size_t o = 0; o < m; o++)
      if (strcmp(e->metrics[o].name, spec->name) == 0)
        return wn_fail(err, WN_E_CONFIG, field, "a second metric called \"%s\"", spec->name);
  }
  return WN_OK;
}

static wn_status check_mode(const wn_experiment *e, wn_error *err) {
  char field[160];
  const char *mode = wn_mode_names[e->mode];
  bool ruled = e->rule.promote || e->rule.roll_back;
  if (e->mode == WN_MODE_SHADOW && ruled)
    return wn_fail(err, WN_E_CONFIG, field_of(e, "rule", field),
                   "a shadow is never shown: it has no outcome that a rule could go by");
  if (e->mode == WN_MODE_SHARE) return WN_OK;
  if (e->arms_len != 2)
    return wn_fail(err, WN_E_CONFIG, field_of(e, "arms", field),
                   "the mode `%s` wants two arms, champion and challenger, got %zu", mode,
                   e->arms_len);
  if (e->overrides_len > 0)
    return wn_fail(err, WN_E_CONFIG, field_of(e, "overrides", field),
                   "in the mode `%s` all units meet both arms", mode);
  if (e->mode == WN_MODE_INTERLEAVE && e->metrics_len > 1)
    return wn_fail(err, WN_E_CONFIG, field_of(e, "metrics", field),
                   "in the mode `interleave` there is one metric: events of its `type` credit the "
                   "arm whose item they are about");
  return WN_OK;
}

wn_status wn_experiment_validate(const wn_experiment *e, wn_error *err) {
  wn_status status = WN_OK;
  char field[160];
  WN_TRY(check_arms(e, err));
  WN_TRY(check_mode(e, err));
  if (e->looks > 0 && e->planned_units == 0)
    WN_TRY(wn_fail(err, WN_E_CONFIG, field_of(e, "looks", field),
                   "looks are parts of a plan: say `planned_units`"));
  WN_TRY(check_metrics(e, err));
  if (!(e->group_from >= 0 && e->group_from < e->group_to && e->group_to <= 1))
    WN_TRY(wn_fail(err, WN_E_CONFIG, field_of(e, "group", field),
                   "must have 0 ≤ from < to ≤ 1, got %g and %g", e->group_from, e->group_to));
  if (e->surfaces_len == 0)
    WN_TRY(wn_fail(err, WN_E_CONFIG, field_of(e, "surfaces", field),
                   "no arm changes a surface: say on which ones units are assigned"));
cleanup:
  return status;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const wn_experiment *)a)->name, ((const wn_experiment *)b)->name);
}

static wn_status check_surfaces(const wn_experiment *e, const wn_surfaces *surfaces,
                                wn_error *err) {
  char field[160], key[32];
  for (size_t s = 0; s < e->surfaces_len; s++) {
    if (wn_surfaces_find(surfaces, wn_str_of(e->surfaces[s])) != NULL) continue;
    snprintf(key, sizeof key, "surfaces[%zu]", s);
    return wn_fail(err, WN_E_CONFIG, field_of(e, key, field), "no surface \"%s\"", e->surfaces[s]);
  }
  return WN_OK;
}

/* "order" meets "order.diversity" and "order", not "order.caps". */
static bool keys_meet(const char *left, const char *right, char *which, size_t size) {
  for (const char *l = left; *l != '\0'; l += strspn(l, " ")) {
    size_t l_len = strcspn(l, " ");
    for (const char *r = right; *r != '\0'; r += strspn(r, " ")) {
      size_t r_len = strcspn(r, " "), len = l_len < r_len ? l_len : r_len;
      bool same = strncmp(l, r, len) == 0;
      if (same && (l_len == r_len || (l_len > len ? l : r)[len] == '.')) {
        snprintf(which, size, "%.*s", (int)len, l);
        return true;
      }
      r += r_len;
    }
    l += l_len;
  }
  return false;
}

static bool exclusive(const wn_experiment *a, const wn_experiment *b) {
  return a->group[0] != '\0' && strcmp(a->group, b->group) == 0;
}

static bool pins(const wn_experiment *e) {
  for (size_t a = 0; a < e->arms_len && e->promoted == 0; a++)
    if (e->arms[a].snapshot != 0) return true;
  return false;
}

/* Of a promoted experiment only that arm changes anything. */
static bool arm_acts(const wn_experiment *e, size_t arm) {
  return e->promoted == 0 || e->promoted == arm + 1;
}

static bool surface_of_both(const wn_experiment *a, const wn_experiment *b) {
  for (size_t s = 0; s < a->surfaces_len; s++)
    for (size_t t = 0; t < b->surfaces_len; t++)
      if (strcmp(a->surfaces[s], b->surfaces[t]) == 0) return true;
  return false;
}

/* The first key of a surface that an arm of both changes. */
static bool both_change(const wn_experiment *a, const wn_experiment *b, char *what, size_t size) {
  char key[128];
  if (pins(a) && pins(b) && surface_of_both(a, b)) {
    snprintf(what, size, "the snapshot");
    return true;
  }
  for (size_t i = 0; i < a->arms_len; i++)
    for (size_t j = 0; j < b->arms_len; j++)
      for (size_t v = 0; v < a->arms[i].variants_len; v++)
        for (size_t w = 0; w < b->arms[j].variants_len; w++) {
          const wn_arm_variant *x = &a->arms[i].variants[v], *y = &b->arms[j].variants[w];
          if (!arm_acts(a, i) || !arm_acts(b, j) || strcmp(x->surface, y->surface) != 0 ||
              !keys_meet(x->keys, y->keys, key, sizeof key))
            continue;
          snprintf(what, size, "surfaces.%s.%s", x->surface, key);
          return true;
        }
  return false;
}

static bool acts(const wn_experiment *e) {
  return (!e->stopped || e->promoted != 0) && strcmp(e->name, WN_HOLDOUT) != 0;
}

/* A request has one champion and one challenger. */
static bool both_duel(const wn_experiment *a, const wn_experiment *b) {
  return a->mode != WN_MODE_SHARE && b->mode != WN_MODE_SHARE && surface_of_both(a, b);
}

/* What is drawn has no propensity of its own in a slate that two lists are merged into. */
static wn_status check_drawn(const wn_experiment *e, const wn_surfaces *surfaces, wn_error *err) {
  wn_status status = WN_OK;
  char field[160];
  wn_surface *changed = wn_malloc(sizeof *changed);
  if (changed == NULL) return wn_fail_memory(err);
  for (size_t s = 0; s < e->surfaces_len; s++)
    for (size_t a = 0; a < e->arms_len; a++) {
      const wn_surface *base = wn_surfaces_find(surfaces, wn_str_of(e->surfaces[s]));
      *changed = *base;
      for (size_t v = 0; v < e->arms[a].variants_len; v++)
        if (strcmp(e->arms[a].variants[v].surface, base->name) == 0)
          wn_surface_patch_apply(&e->arms[a].variants[v].patch, changed);
      if (wn_surface_draws(changed))
        WN_TRY(wn_fail(err, WN_E_CONFIG, field_of(e, "mode", field),
                       "%s draws items at random in the arm %s: it cannot be interleaved",
                       base->name, e->arms[a].name));
    }
cleanup:
  wn_free(changed);
  return status;
}

static wn_status check_pair(const wn_experiment *a, const wn_experiment *b, wn_error *err) {
  char field[160], what[256];
  const wn_experiment *promoted = a->promoted != 0 ? a : b, *other = promoted == a ? b : a;
  if (!acts(a) || !acts(b)) return WN_OK;
  if (promoted->promoted != 0) {
    if (!both_change(a, b, what, sizeof what)) return WN_OK;
    return wn_fail(err, WN_E_CONFIG, field_of(other, "arms", field),
                   "changes %s, as the promoted arm of %s does: write that into `surfaces:` and "
                   "stop it first",
                   what, promoted->name);
  }
  if (exclusive(a, b)) {
    if (a->group_to <= b->group_from || b->group_to <= a->group_from) return WN_OK;
    return wn_fail(err, WN_E_CONFIG, field_of(b, "group", field),
                   "overlaps with %s in the group \"%s\" (%g to %g and %g to %g)", a->name,
                   a->group, a->group_from, a->group_to, b->group_from, b->group_to);
  }
  if (both_duel(a, b))
    return wn_fail(err, WN_E_CONFIG, field_of(b, "mode", field),
                   "%s has a challenger on the same surface: put both into one group", a->name);
  if (!both_change(a, b, what, sizeof what)) return WN_OK;
  return wn_fail(err, WN_E_CONFIG, field_of(b, "arms", field),
                 "changes %s, as %s does: put both into one group, so that nobody is in both", what,
                 a->name);
}

wn_status wn_experiments_validate(wn_experiments *all, const wn_surfaces *surfaces, wn_error *err) {
  wn_status status = WN_OK;
  if (all->len > 0) qsort(all->data, all->len, sizeof *all->data, by_name);
  for (size_t i = 0; i < all->len; i++) {
    WN_TRY(check_surfaces(&all->data[i], surfaces, err));
    if (all->data[i].mode == WN_MODE_INTERLEAVE && acts(&all->data[i]))
      WN_TRY(check_drawn(&all->data[i], surfaces, err));
    for (size_t j = 0; j < i; j++) WN_TRY(check_pair(&all->data[j], &all->data[i], err));
  }
cleanup:
  return status;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len) {
  return wn_hash64(bytes, len, hash);
}

static uint64_t mix_text(uint64_t hash, const char *text) {
  return mix(hash, text, strlen(text) + 1);
}

static uint64_t digest_of(const wn_experiment *e) {
  uint64_t h = mix_text(mix_text(mix_text(1, e->name), e->salt), e->group);
  int unit = (int)e->unit, mode = (int)e->mode;
  if (mode != 0) h = mix(h, &mode, sizeof mode);
  h = mix(mix(mix(h, &unit, sizeof unit), &e->group_from, sizeof(double)), &e->group_to,
          sizeof(double));
  for (size_t i = 0; i < e->audience_len; i++)
    h = mix_text(mix_text(h, e->audience[i].attribute), e->audience[i].value);
  for (size_t i = 0; i < e->surfaces_len; i++) h = mix_text(h, e->surfaces[i]);
  for (size_t a = 0; a < e->arms_len; a++) {
    const wn_arm_spec *arm = &e->arms[a];
    h = mix(mix(mix_text(h, arm->name), &arm->share, sizeof(double)), &arm->snapshot,
            sizeof arm->snapshot);
    for (size_t v = 0; v < arm->variants_len; v++) {
      const wn_surface_patch *patch = &arm->variants[v].patch;
      size_t at = 0;
      h = mix_text(mix_text(h, arm->variants[v].surface), arm->variants[v].keys);
      for (size_t r = 0; r < patch->runs_len; at += patch->runs[r++].len)
        h = mix(h, patch->bytes + at, patch->runs[r].len);
    }
  }
  return h;
}

/* What makes the draws of one salt independent of each other. */
static uint64_t seed_of(const char *salt, char what) {
  return wn_hash64(salt, strlen(salt), (uint64_t)(unsigned char)what);
}

void wn_experiment_seal(wn_experiment *e) {
  e->digest = digest_of(e);
  e->group_seed = seed_of(e->group, 'g');
  e->traffic_seed = seed_of(e->salt, 't');
  e->arm_seed = seed_of(e->salt, 'a');
}

/* ---- assignment ---- */

/* [0, 1), from the unit's id alone. */
static double draw(uint64_t seed, wn_str unit) {
  return (double)(wn_hash64(unit.ptr, unit.len, seed) >> 11) * 0x1p-53;
}

static bool takes_part(const wn_experiment *e, wn_str unit) {
  if (e->group[0] != '\0') {
    double place = draw(e->group_seed, unit);
    if (place < e->group_from || place >= e->group_to) return false;
  }
  return e->traffic >= 1 || draw(e->traffic_seed, unit) < e->traffic;
}

static uint32_t override_of(const wn_experiment *e, wn_str unit) {
  for (size_t i = 0; i < e->overrides_len; i++)
    if (wn_str_is(unit, e->overrides[i].unit)) return e->overrides[i].arm;
  return WN_NO_IX;
}

uint32_t wn_experiment_arm(const wn_experiment *e, wn_str unit) {
  if (e->stopped || unit.len == 0) return WN_NO_IX;
  uint32_t wanted = override_of(e, unit);
  if (wanted != WN_NO_IX) return wanted;
  if (!takes_part(e, unit)) return WN_NO_IX;
  if (e->mode != WN_MODE_SHARE) return 0;
  double at = draw(e->arm_seed, unit), end = 0;
  for (size_t a = 0; a + 1 < e->arms_len; a++) {
    end += e->arms[a].share;
    if (at < end) return (uint32_t)a;
  }
  return (uint32_t)e->arms_len - 1;
}

static bool on_surface(const wn_experiment *e, wn_str surface) {
  for (size_t s = 0; s < e->surfaces_len; s++)
    if (wn_str_is(surface, e->surfaces[s])) return true;
  return false;
}

static bool attr_is(const wn_attr *attr, const char *value) {
  char number[32];
  switch (attr->kind) {
  case WN_ATTR_STRING: return wn_str_is(attr->string, value);
  case WN_ATTR_NUMBER:
    snprintf(number, sizeof number, "%g", attr->number);
    return strcmp(number, value) == 0;
  case WN_ATTR_BOOL: return strcmp(attr->boolean ? "true" : "false", value) == 0;
  case WN_ATTR_LIST:
    for (size_t i = 0; i < attr->list_len; i++)
      if (wn_str_is(attr->list[i], value)) return true;
    return false;
  }
  return false;
}

/* Every attribute that is named has one of its values. */
static bool in_audience(const wn_experiment *e, const wn_attrs *attrs) {
  for (size_t i = 0; i < e->audience_len; i++) {
    const wn_attr *attr = attrs != NULL ? wn_attrs_find(attrs, e->audience[i].attribute) : NULL;
    bool good = false;
    for (size_t j = 0; attr != NULL && j < e->audience_len; j++)
      good = good || (strcmp(e->audience[j].attribute, e->audience[i].attribute) == 0 &&
                      attr_is(attr, e->audience[j].value));
    if (!good) return false;
  }
  return true;
}

bool wn_experiments_need_attrs(const wn_experiments *all, wn_str surface) {
  for (size_t i = 0; i < all->len; i++)
    if (all->data[i].audience_len > 0 && !all->data[i].stopped &&
        on_surface(&all->data[i], surface))
      return true;
  return false;
}

static wn_str unit_of(const wn_experiment *e, const wn_assign_context *context) {
  if (e->unit == WN_UNIT_SESSION && context->session.len > 0) return context->session;
  return context->user;
}

/* The arm somebody asked for, to look at it: whatever the audience and the holdout say. */
static bool wanted(const wn_experiment *e, const wn_assign_context *context) {
  return e->overrides_len > 0 && !e->stopped && on_surface(e, context->surface) &&
         override_of(e, unit_of(e, context)) != WN_NO_IX;
}

static uint32_t arm_of(const wn_experiment *e, const wn_assign_context *context) {
  if (e->stopped || !on_surface(e, context->surface)) return WN_NO_IX;
  bool may = in_audience(e, context->attrs) || wanted(e, context);
  return may ? wn_experiment_arm(e, unit_of(e, context)) : WN_NO_IX;
}

size_t wn_experiments_assign(const wn_experiments *all, const wn_assign_context *context,
                             wn_assigned *out) {
  size_t len = 0;
  bool looks = false;
  for (size_t i = 0; i < all->len; i++) looks = looks || wanted(&all->data[i], context);
  const wn_experiment *holdout = wn_experiments_find(all, WN_STR(WN_HOLDOUT));
  if (!looks && holdout != NULL && arm_of(holdout, context) == 0) {
    out[0] = (wn_assigned){holdout, 0};
    return 1;
  }
  for (size_t i = 0; i < all->len; i++) {
    uint32_t arm = arm_of(&all->data[i], context);
    if (arm != WN_NO_IX && !(looks && &all->data[i] == holdout))
      out[len++] = (wn_assigned){&all->data[i], arm};
  }
  return len;
}

static bool promoted_on(const wn_experiment *e, const wn_arm_variant **variant,
                        const char *surface) {
  if (e->promoted == 0) return false;
  const wn_arm_spec *arm = &e->arms[e->promoted - 1];
  for (size_t v = 0; v < arm->variants_len; v++) {
    *variant = &arm->variants[v];
    if (strcmp(arm->variants[v].surface, surface) == 0) return true;
  }
  return false;
}

void wn_experiments_promoted(const wn_experiments *all, wn_surface *surface, uint64_t *policy) {
  const wn_arm_variant *variant = NULL;
  for (size_t i = 0; i < all->len; i++) {
    if (!promoted_on(&all->data[i], &variant, surface->name)) continue;
    wn_surface_patch_apply(&variant->patch, surface);
    *policy = wn_hash64(&all->data[i].digest, sizeof all->data[i].digest, *policy);
    *policy = wn_hash64(&all->data[i].promoted, sizeof all->data[i].promoted, *policy);
  }
}

bool wn_experiments_any_promoted(const wn_experiments *all, wn_str surface) {
  const wn_arm_variant *variant = NULL;
  char name[WN_NAME_MAX + 1];
  if (surface.len > WN_NAME_MAX) return false;
  snprintf(name, sizeof name, "%.*s", WN_STR_ARG(surface));
  for (size_t i = 0; i < all->len; i++)
    if (promoted_on(&all->data[i], &variant, name)) return true;
  return false;
}

void wn_assigned_print(const wn_assigned *assigned, size_t len, wn_buf *out) {
  for (size_t i = 0; i < len; i++) {
    if (i > 0) wn_buf_char(out, ' ');
    wn_buf_str(out, assigned[i].experiment->name);
    wn_buf_char(out, '=');
    const wn_experiment *e = assigned[i].experiment;
    wn_buf_str(out,
               e->mode == WN_MODE_SHARE ? e->arms[assigned[i].arm].name : wn_mode_names[e->mode]);
  }
}

wn_str wn_assigned_find(wn_str text, const char *experiment) {
  size_t name = strlen(experiment);
  for (size_t i = 0; i < text.len;) {
    const char *at = text.ptr + i;
    const char *end = memchr(at, ' ', text.len - i);
    size_t len = end != NULL ? (size_t)(end - at) : text.len - i;
    if (len > name && at[name] == '=' && memcmp(at, experiment, name) == 0)
      return (wn_str){at + name + 1, len - name - 1};
    i += len + 1;
  }
  return (wn_str){0};
}
