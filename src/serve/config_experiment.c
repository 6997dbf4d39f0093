/* The sections `experiments:` and `holdout:` (docs/experiments.md). They are read after all others,
 * because arms are variants of the surfaces. */

#include "serve/config_internal.h"
#include "base/mem.h"
#include "lab/ab.h"
#include <stdio.h>
#include <string.h>

#define COUNT(array)   (sizeof(array) / sizeof *(array))
#define NAME_BYTES_MAX (sizeof(((wn_override *)NULL)->unit) - 1)
#define FIELD(member)  offsetof(reading, member)

/* One experiment while it is read. */
typedef struct reading {
  wn_experiment e;
  wn_config *config;
  wn_arm_spec *arm; /* the one being read */
} reading;

static wn_status name_of(wn_yaml *y, const yaml_node_t *key, wn_str name, const char *what) {
  if (wn_config_name_good(name)) return WN_OK;
  return wn_yaml_fail(y, key, "the name of %s is made of letters, digits, _ and -", what);
}

/* ---- arms ---- */

static void add_key(wn_arm_variant *variant, const char *section, wn_str key) {
  size_t len = strlen(variant->keys);
  snprintf(variant->keys + len, sizeof variant->keys - len, "%s%s%.*s", len > 0 ? " " : "", section,
           WN_STR_ARG(key));
}

/* The keys that have a value of their own: "order.diversity", not "order". */
static wn_status note_key(wn_yaml *y, wn_str name, const yaml_node_t *key WN_UNUSED,
                          const yaml_node_t *value, void *ctx) {
  static const char *const sections[] = {"filter.", "score.", "order."};
  for (size_t i = 0; i < COUNT(sections); i++) {
    if (name.len + 1 != strlen(sections[i]) || memcmp(name.ptr, sections[i], name.len) != 0 ||
        value->type != YAML_MAPPING_NODE)
      continue;
    for (const yaml_node_pair_t *p = value->data.mapping.pairs.start;
         p < value->data.mapping.pairs.top; p++)
      add_key(ctx, sections[i], wn_yaml_scalar(yaml_document_get_node(&y->doc, p->key)));
    return WN_OK;
  }
  add_key(ctx, "", name);
  if (wn_str_is(name, "retrieve")) add_key(ctx, "score.", WN_STR("normalise")); /* moves with it */
  return WN_OK;
}

static wn_status add_surface(wn_yaml *y, wn_experiment *e, const char *name) {
  for (size_t s = 0; s < e->surfaces_len; s++)
    if (strcmp(e->surfaces[s], name) == 0) return WN_OK;
  void *data = wn_reallocarray(e->surfaces, e->surfaces_len + 1, sizeof *e->surfaces);
  if (data == NULL) return wn_fail_memory(y->err);
  e->surfaces = data;
  snprintf(e->surfaces[e->surfaces_len++], sizeof *e->surfaces, "%s", name);
  return WN_OK;
}

static wn_status new_variant(wn_yaml *y, wn_arm_spec *arm, const char *surface,
                             wn_arm_variant **out) {
  wn_arm_variant *data = wn_reallocarray(arm->variants, arm->variants_len + 1, sizeof *data);
  if (data == NULL) return wn_fail_memory(y->err);
  arm->variants = data;
  *out = &data[arm->variants_len++];
  **out = (wn_arm_variant){0};
  snprintf((*out)->surface, sizeof(*out)->surface, "%s", surface);
  return WN_OK;
}

static wn_status read_variant(wn_yaml *y, wn_str name, const yaml_node_t *key,
                              const yaml_node_t *value, void *ctx) {
  reading *r = ctx;
  wn_status status = WN_OK;
  wn_arm_variant *variant = NULL;
  const wn_surface *base = wn_surfaces_find(&r->config->surfaces, name);
  const yaml_node_t *flavour = wn_yaml_member(y, value, "flavour");
  wn_surface *changed = wn_malloc(sizeof *changed);
  if (changed == NULL) WN_TRY(wn_fail_memory(y->err));
  if (base == NULL) WN_TRY(wn_yaml_fail(y, key, "there is no surface of this name"));
  if (flavour != NULL)
    WN_TRY(wn_yaml_fail(y, flavour, "an arm cannot change the flavour of a surface"));
  memcpy(changed, base, sizeof *changed); /* with the padding, so that it is no difference */
  WN_TRY(new_variant(y, r->arm, base->name, &variant));
  WN_TRY(wn_yaml_names(y, value, WN_NAME_MAX, note_key, variant));
  WN_TRY(wn_config_read_surface_keys(y, value, changed));
  WN_TRY(wn_config_check_objectives(y, value, &r->config->train.objectives, changed));
  for (size_t g = 0; g < changed->generators_len; g++)
    (void)wn_train_options_want(&r->config->train, changed->generators[g].model);
  WN_TRY(wn_surface_patch_between(base, changed, &variant->patch, y->err));
  WN_TRY(add_surface(y, &r->e, base->name));
cleanup:
  wn_free(changed);
  return status;
}

static wn_status read_variants(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_names(y, node, WN_NAME_MAX, read_variant, target);
}

static wn_status read_share(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_number(y, node, 0, 1, &((reading *)target)->arm->share);
}

static wn_status read_snapshot(wn_yaml *y, const yaml_node_t *node, void *target) {
  double number = 0;
  wn_status status = wn_yaml_number(y, node, 1, 1e15, &number);
  ((reading *)target)->arm->snapshot = (uint64_t)number;
  return status;
}

static const wn_yaml_key arm_keys[] = {
    {"share", WN_YAML_CALL, 0, 0, 0, read_share},
    {"snapshot", WN_YAML_CALL, 0, 0, 0, read_snapshot},
    {"surfaces", WN_YAML_CALL, 0, 0, 0, read_variants},
};

static wn_status read_arm(wn_yaml *y, wn_str name, const yaml_node_t *key, const yaml_node_t *value,
                          void *ctx) {
  reading *r = ctx;
  wn_status status = WN_OK;
  WN_TRY(name_of(y, key, name, "an arm"));
  if (r->e.arms_len >= WN_ARMS_MAX)
    WN_TRY(wn_yaml_fail(y, key, "an experiment has at most %d arms", WN_ARMS_MAX));
  r->arm = &r->e.arms[r->e.arms_len++];
  *r->arm = (wn_arm_spec){.share = -1};
  snprintf(r->arm->name, sizeof r->arm->name, "%.*s", WN_STR_ARG(name));
  WN_TRY(wn_yaml_fields(y, value, arm_keys, COUNT(arm_keys), r));
cleanup:
  return status;
}

/* Arms without a share divide what the others leave. */
static void divide_shares(wn_experiment *e) {
  double left = 1;
  size_t open = 0;
  for (size_t a = 0; a < e->arms_len; a++)
    if (e->arms[a].share < 0)
      open++;
    else
      left -= e->arms[a].share;
  for (size_t a = 0; a < e->arms_len; a++)
    if (e->arms[a].share < 0) e->arms[a].share = left > 0 ? left / (double)open : 0;
}

static wn_status read_arms(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_status status = wn_yaml_names(y, node, WN_NAME_MAX, read_arm, target);
  if (status == WN_OK) divide_shares(&((reading *)target)->e);
  return status;
}

/* ---- who ---- */

static wn_status read_unit(wn_yaml *y, const yaml_node_t *node, void *target) {
  static const char *const words[] = {"user", "session"};
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, words, COUNT(words), &word);
  ((reading *)target)->e.unit = (wn_unit)word;
  return status;
}

static wn_status read_state(wn_yaml *y, const yaml_node_t *node, void *target) {
  static const char *const words[] = {"running", "stopped"};
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, words, COUNT(words), &word);
  ((reading *)target)->e.stopped = word == 1;
  return status;
}

static wn_status read_mode(wn_yaml *y, const yaml_node_t *node, void *target) {
  size_t word = 0, len = 0;
  while (wn_mode_names[len] != NULL) len++;
  wn_status status = wn_yaml_word(y, node, wn_mode_names, len, &word);
  ((reading *)target)->e.mode = (wn_mode)word;
  return status;
}

static const wn_yaml_key rule_keys[] = {
    {"promote", WN_YAML_BOOL, FIELD(e.rule.promote), 0, 0, NULL},
    {"roll_back", WN_YAML_BOOL, FIELD(e.rule.roll_back), 0, 0, NULL},
    {"every_minutes", WN_YAML_DOUBLE, FIELD(e.rule.every_minutes), 0.01, 10080, NULL},
    {"min_units", WN_YAML_U64, FIELD(e.rule.min_units), 0, 1e12, NULL},
};

static wn_status read_rule(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, rule_keys, COUNT(rule_keys), target);
}

static const wn_yaml_key group_keys[] = {
    {"name", WN_YAML_TEXT, FIELD(e.group), 0, WN_NAME_MAX + 1, NULL},
    {"from", WN_YAML_DOUBLE, FIELD(e.group_from), 0, 1, NULL},
    {"to", WN_YAML_DOUBLE, FIELD(e.group_to), 0, 1, NULL},
};

static wn_status read_group(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_status status = wn_yaml_fields(y, node, group_keys, COUNT(group_keys), target);
  if (status == WN_OK && ((reading *)target)->e.group[0] == '\0')
    return wn_yaml_fail(y, node, "the key \"name\" is missing");
  return status;
}

static wn_status push_surface(wn_yaml *y, const yaml_node_t *node, void *target) {
  reading *r = target;
  char name[WN_NAME_MAX + 1];
  wn_str text;
  wn_status status = WN_OK;
  WN_TRY(wn_yaml_text(y, node, &text));
  if (text.len > WN_NAME_MAX || wn_surfaces_find(&r->config->surfaces, text) == NULL)
    WN_TRY(wn_yaml_fail(y, node, "there is no surface of this name"));
  snprintf(name, sizeof name, "%.*s", WN_STR_ARG(text));
  WN_TRY(add_surface(y, &r->e, name));
cleanup:
  return status;
}

static wn_status read_surfaces(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_list(y, node, WN_SURFACES_MAX, push_surface, target);
}

static wn_status push_segment(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_experiment *e = &((reading *)target)->e;
  wn_str text;
  wn_status status = WN_OK;
  WN_TRY(wn_yaml_text(y, node, &text));
  if (text.len == 0 || text.len > WN_NAME_MAX)
    WN_TRY(wn_yaml_fail(y, node, "must be the name of a users' attribute"));
  snprintf(e->segments[e->segments_len++], WN_NAME_MAX + 1, "%.*s", WN_STR_ARG(text));
cleanup:
  return status;
}

static wn_status read_segments(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((reading *)target)->e.segments_given = true;
  return wn_yaml_list(y, node, WN_SEGMENTS_BY, push_segment, target);
}

/* One value of the audience's attribute that the path names. */
static wn_status push_audience(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_experiment *e = &((reading *)target)->e;
  wn_str value = wn_yaml_scalar(node);
  if (value.ptr == NULL || value.len == 0 || value.len > WN_NAME_MAX)
    return wn_yaml_fail(y, node, "must be a value of 1 to %d bytes", WN_NAME_MAX);
  snprintf(e->audience[e->audience_len].value, WN_NAME_MAX + 1, "%.*s", WN_STR_ARG(value));
  e->audience_len++;
  return WN_OK;
}

static wn_status read_audience_attr(wn_yaml *y, wn_str name, const yaml_node_t *key,
                                    const yaml_node_t *value, void *ctx) {
  wn_experiment *e = &((reading *)ctx)->e;
  wn_status status = WN_OK;
  size_t first = e->audience_len;
  if (value->type == YAML_SEQUENCE_NODE)
    WN_TRY(wn_yaml_list(y, value, WN_AUDIENCE_MAX - first, push_audience, ctx));
  else if (first < WN_AUDIENCE_MAX)
    WN_TRY(push_audience(y, value, ctx));
  else
    WN_TRY(wn_yaml_fail(y, key, "an audience has at most %d values", WN_AUDIENCE_MAX));
  for (size_t i = first; i < e->audience_len; i++)
    snprintf(e->audience[i].attribute, WN_NAME_MAX + 1, "%.*s", WN_STR_ARG(name));
cleanup:
  return status;
}

static wn_status read_audience(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_names(y, node, WN_NAME_MAX, read_audience_attr, target);
}

static wn_status arm_named(wn_yaml *y, const wn_experiment *e, const yaml_node_t *node,
                           size_t *arm) {
  *arm = 0;
  while (*arm < e->arms_len && !wn_str_is(wn_yaml_scalar(node), e->arms[*arm].name)) ++*arm;
  if (*arm < e->arms_len) return WN_OK;
  return wn_yaml_fail(y, node, "must be an arm of this experiment");
}

/* After the arms: `overrides: {alice: treatment}`. */
static wn_status read_override(wn_yaml *y, wn_str unit, const yaml_node_t *key WN_UNUSED,
                               const yaml_node_t *value, void *ctx) {
  wn_experiment *e = &((reading *)ctx)->e;
  size_t arm = 0;
  wn_status status = arm_named(y, e, value, &arm);
  if (status != WN_OK) return status;
  wn_override *data = wn_reallocarray(e->overrides, e->overrides_len + 1, sizeof *data);
  if (data == NULL) return wn_fail_memory(y->err);
  e->overrides = data;
  snprintf(data[e->overrides_len].unit, sizeof data->unit, "%.*s", WN_STR_ARG(unit));
  data[e->overrides_len++].arm = (uint32_t)arm;
  return WN_OK;
}

/* `promoted: ARM`: it is stopped, and everybody has what that arm changes. */
static wn_status read_promoted(wn_yaml *y, const yaml_node_t *node, reading *r) {
  size_t arm = 0;
  wn_status status = arm_named(y, &r->e, node, &arm);
  if (status != WN_OK) return status;
  r->e.promoted = (uint32_t)arm + 1;
  r->e.stopped = true;
  return WN_OK;
}

/* What can only be read when the arms are known. */
static wn_status read_of_arms(wn_yaml *y, const yaml_node_t *node, reading *r) {
  wn_status status = WN_OK;
  size_t len = strlen(y->path);
  const yaml_node_t *overrides = wn_yaml_member(y, node, "overrides");
  const yaml_node_t *promoted = wn_yaml_member(y, node, "promoted");
  if (overrides != NULL) {
    snprintf(y->path + len, sizeof y->path - len, ".overrides");
    WN_TRY(wn_yaml_names(y, overrides, NAME_BYTES_MAX, read_override, r));
  }
  if (promoted != NULL) {
    snprintf(y->path + len, sizeof y->path - len, ".promoted");
    WN_TRY(read_promoted(y, promoted, r));
  }
  y->path[len] = '\0';
cleanup:
  return status;
}

/* ---- what is measured ---- */

static wn_status read_kind(wn_yaml *y, const yaml_node_t *node, void *target) {
  size_t word = 0, len = 0;
  while (wn_metric_kind_names[len] != NULL) len++;
  wn_status status = wn_yaml_word(y, node, wn_metric_kind_names, len, &word);
  ((wn_metric_spec *)target)->kind = (wn_metric_kind)word;
  return status;
}

static const wn_yaml_key metric_keys[] = {
    {"name", WN_YAML_TEXT, offsetof(wn_metric_spec, name), 0, WN_NAME_MAX + 1, NULL},
    {"kind", WN_YAML_CALL, 0, 0, 0, read_kind},
    {"type", WN_YAML_TEXT, offsetof(wn_metric_spec, type), 0, WN_NAME_MAX + 1, NULL},
    {"value_min", WN_YAML_DOUBLE, offsetof(wn_metric_spec, value_min), -1e9, 1e9, NULL},
    {"days", WN_YAML_DOUBLE, offsetof(wn_metric_spec, days), 1, 365, NULL},
    {"margin", WN_YAML_DOUBLE, offsetof(wn_metric_spec, margin), 0, 1, NULL},
    {"lower_is_better", WN_YAML_BOOL, offsetof(wn_metric_spec, lower_is_better), 0, 0, NULL},
};

static wn_status push_metric(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_experiment *e = &((reading *)target)->e;
  wn_metric_spec *spec = &e->metrics[e->metrics_len++];
  char name[sizeof spec->name] = "";
  wn_status status = WN_OK;
  *spec = (wn_metric_spec){.days = 7};
  WN_TRY(wn_yaml_fields(y, node, metric_keys, COUNT(metric_keys), spec));
  if (wn_yaml_member(y, node, "kind") == NULL)
    WN_TRY(wn_yaml_fail(y, node, "the key \"kind\" is missing"));
  if (spec->name[0] == '\0') {
    snprintf(name, sizeof name, "%.31s%s%.31s", spec->type, spec->type[0] != '\0' ? "-" : "",
             wn_metric_kind_names[spec->kind]);
    memcpy(spec->name, name, sizeof name);
  }
cleanup:
  return status;
}

static wn_status read_metrics(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_list(y, node, WN_METRICS_MAX, push_metric, target);
}

static wn_status nothing(wn_yaml *y WN_UNUSED, const yaml_node_t *node WN_UNUSED,
                         void *target WN_UNUSED) {
  return WN_OK;
}

static const wn_yaml_key experiment_keys[] = {
    {"unit", WN_YAML_CALL, 0, 0, 0, read_unit},
    {"state", WN_YAML_CALL, 0, 0, 0, read_state},
    {"mode", WN_YAML_CALL, 0, 0, 0, read_mode},
    {"rule", WN_YAML_CALL, 0, 0, 0, read_rule},
    {"salt", WN_YAML_TEXT, FIELD(e.salt), 0, WN_NAME_MAX + 1, NULL},
    {"traffic", WN_YAML_DOUBLE, FIELD(e.traffic), 0, 1, NULL},
    {"group", WN_YAML_CALL, 0, 0, 0, read_group},
    {"surfaces", WN_YAML_CALL, 0, 0, 0, read_surfaces},
    {"audience", WN_YAML_CALL, 0, 0, 0, read_audience},
    {"segments", WN_YAML_CALL, 0, 0, 0, read_segments},
    {"arms", WN_YAML_CALL, 0, 0, 0, read_arms},
    {"overrides", WN_YAML_CALL, 0, 0, 0, nothing}, /* need the arms: read below */
    {"promoted", WN_YAML_CALL, 0, 0, 0, nothing},
    {"metrics", WN_YAML_CALL, 0, 0, 0, read_metrics},
    {"planned_units", WN_YAML_U64, FIELD(e.planned_units), 0, 1e12, NULL},
    {"looks", WN_YAML_U32, FIELD(e.looks), 0, WN_LOOKS_MAX, NULL},
    {"alpha", WN_YAML_DOUBLE, FIELD(e.alpha), 1e-6, 0.5, NULL},
};

static wn_status keep(wn_yaml *y, wn_experiments *all, wn_experiment *e) {
  wn_experiment *data = wn_reallocarray(all->data, all->len + 1, sizeof *data);
  if (data == NULL) return wn_fail_memory(y->err);
  e->filed.stopped = e->stopped;
  e->filed.promoted = e->promoted;
  e->filed.traffic = e->traffic;
  wn_experiment_seal(e);
  all->data = data;
  data[all->len++] = *e;
  *e = (wn_experiment){0};
  return WN_OK;
}

/* Clicks a unit, where nothing else is said. */
static void default_metric(wn_experiment *e) {
  if (e->metrics_len > 0) return;
  e->metrics[e->metrics_len++] =
      (wn_metric_spec){.name = "click-conversion", .kind = WN_METRIC_CONVERSION, .type = "click"};
}

static wn_status read_experiment(wn_yaml *y, wn_str name, const yaml_node_t *key,
                                 const yaml_node_t *value, void *config) {
  wn_status status = WN_OK;
  reading r = {.config = config};
  char copy[WN_NAME_MAX + 1];
  snprintf(copy, sizeof copy, "%.*s", WN_STR_ARG(name));
  wn_experiment_defaults(&r.e, copy);
  WN_TRY(name_of(y, key, name, "an experiment"));
  if (strcmp(copy, WN_HOLDOUT) == 0)
    WN_TRY(wn_yaml_fail(y, key, "this name is kept for the section `holdout`"));
  if (r.config->experiments.len >= WN_EXPERIMENTS_MAX)
    WN_TRY(wn_yaml_fail(y, key, "there may be at most %d experiments", WN_EXPERIMENTS_MAX));
  WN_TRY(wn_yaml_fields(y, value, experiment_keys, COUNT(experiment_keys), &r));
  WN_TRY(read_of_arms(y, value, &r));
  default_metric(&r.e);
  status = wn_experiment_validate(&r.e, y->err);
  if (status != WN_OK) status = wn_yaml_place(y, value, y->path);
  if (status != WN_OK) goto cleanup;
  WN_TRY(keep(y, &r.config->experiments, &r.e));
cleanup:
  wn_experiment_clear(&r.e);
  return status;
}

/* ---- the holdout ---- */

static wn_status read_held_share(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_experiment *e = &((reading *)target)->e;
  wn_status status = wn_yaml_number(y, node, 0, 1, &e->arms[0].share);
  e->arms[1].share = 1 - e->arms[0].share;
  if (status == WN_OK && !(e->arms[1].share > 0))
    status = wn_yaml_fail(y, node, "must be under 1: nobody would be in any experiment");
  return status;
}

static const wn_yaml_key holdout_keys[] = {
    {"share", WN_YAML_CALL, 0, 0, 0, read_held_share},
    {"salt", WN_YAML_TEXT, FIELD(e.salt), 0, WN_NAME_MAX + 1, NULL},
    {"snapshot", WN_YAML_CALL, 0, 0, 0, read_snapshot},
    {"surfaces", WN_YAML_CALL, 0, 0, 0, read_variants},
    {"metrics", WN_YAML_CALL, 0, 0, 0, read_metrics},
};

static wn_status read_holdout(wn_yaml *y, const yaml_node_t *node, wn_config *config) {
  wn_status status = WN_OK;
  reading r = {.config = config};
  wn_experiment_defaults(&r.e, WN_HOLDOUT);
  r.e.arms_len = 2;
  snprintf(r.e.arms[0].name, sizeof r.e.arms[0].name, "in");
  snprintf(r.e.arms[1].name, sizeof r.e.arms[1].name, "out");
  r.arm = &r.e.arms[0];
  if (wn_yaml_member(y, node, "share") == NULL)
    WN_TRY(wn_yaml_fail(y, node, "the key \"share\" is missing"));
  WN_TRY(wn_yaml_fields(y, node, holdout_keys, COUNT(holdout_keys), &r));
  for (size_t s = 0; s < config->surfaces.len; s++)
    WN_TRY(add_surface(y, &r.e, config->surfaces.data[s].name));
  default_metric(&r.e);
  WN_TRY(keep(y, &config->experiments, &r.e));
cleanup:
  wn_experiment_clear(&r.e);
  return status;
}

/* ---- declared over the API ---- */

static const wn_yaml_key change_keys[] = {
    {"state", WN_YAML_CALL, 0, 0, 0, read_state},
    {"traffic", WN_YAML_DOUBLE, FIELD(e.traffic), 0, 1, NULL},
    {"promoted", WN_YAML_CALL, 0, 0, 0, nothing},
};

/* What the API changed of an experiment that the file declares: the larger traffic counts, so that
 * both may raise it. */
static wn_status read_change(wn_yaml *y, const yaml_node_t *node, wn_experiment *e) {
  wn_status status = WN_OK;
  reading r = {.e = *e}; /* borrows what e owns */
  WN_TRY(wn_yaml_fields(y, node, change_keys, COUNT(change_keys), &r));
  WN_TRY(read_of_arms(y, node, &r));
  if (e->filed.traffic > r.e.traffic) r.e.traffic = e->filed.traffic;
  r.e.stopped = r.e.stopped || r.e.promoted != 0;
  *e = r.e;
cleanup:
  return status;
}

static wn_status read_declared(wn_yaml *y, wn_str name, const yaml_node_t *key,
                               const yaml_node_t *value, void *ctx) {
  wn_config *config = ctx;
  for (size_t i = 0; i < config->experiments.len; i++)
    if (wn_str_is(name, config->experiments.data[i].name))
      return read_change(y, value, &config->experiments.data[i]);
  /* A change of what the file has no more. */
  if (value->type == YAML_MAPPING_NODE && wn_yaml_member(y, value, "arms") == NULL) return WN_OK;
  wn_status status = read_experiment(y, name, key, value, config);
  if (status == WN_OK) config->experiments.data[config->experiments.len - 1].by_api = true;
  return status;
}

wn_status wn_config_declare(wn_config *config, wn_str text, const char *name, wn_error *err) {
  wn_yaml yaml = {0};
  wn_status status = wn_yaml_open(&yaml, text, name, err);
  if (status != WN_OK) return status;
  const yaml_node_t *root = wn_yaml_root(&yaml);
  snprintf(yaml.path, sizeof yaml.path, "experiments");
  if (root != NULL) WN_TRY(wn_yaml_names(&yaml, root, WN_NAME_MAX, read_declared, config));
  status = wn_experiments_validate(&config->experiments, &config->surfaces, err);
  if (status != WN_OK && root != NULL) status = wn_yaml_place(&yaml, root, "experiments");
cleanup:
  wn_yaml_close(&yaml);
  return status;
}

wn_status wn_config_read_experiments(wn_yaml *y, const yaml_node_t *root, wn_config *config) {
  wn_status status = WN_OK;
  const yaml_node_t *holdout = wn_yaml_member(y, root, "holdout");
  const yaml_node_t *experiments = wn_yaml_member(y, root, "experiments");
  if (holdout != NULL) {
    snprintf(y->path, sizeof y->path, "holdout");
    WN_TRY(read_holdout(y, holdout, config));
  }
  snprintf(y->path, sizeof y->path, "experiments");
  if (experiments != NULL)
    WN_TRY(wn_yaml_names(y, experiments, WN_NAME_MAX, read_experiment, config));
  status = wn_experiments_validate(&config->experiments, &config->surfaces, y->err);
  if (status != WN_OK && experiments != NULL) status = wn_yaml_place(y, experiments, "experiments");
cleanup:
  y->path[0] = '\0';
  return status;
}
