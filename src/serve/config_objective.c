/* `objectives:` and `score.objectives` of surfaces: what the ranker predicts, and what each
 * probability counts. A surface that names none weighs all by their own weights. */

#include "serve/config_internal.h"

#include <stdio.h>
#include <string.h>

#define FIELD(field) offsetof(wn_objective, field)
#define COUNT(array) (sizeof(array) / sizeof *(array))
#define WEIGHT_MAX   1000

static wn_status read_label(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_objective *o = target;
  wn_str text;
  wn_error why = {0};
  wn_status status = wn_yaml_text(y, node, &text);
  if (status != WN_OK) return status;
  if (wn_label_rule_parse(text, &o->rule, &why) != WN_OK)
    return wn_yaml_fail(y, node, "%s", why.message);
  return WN_OK;
}

static wn_status read_position(wn_yaml *y, const yaml_node_t *node, void *target) {
  const char *words[WN_POSITION_METHODS];
  size_t word = 0;
  for (unsigned m = 0; m < WN_POSITION_METHODS; m++) words[m] = wn_position_method_name(m);
  wn_status status = wn_yaml_word(y, node, words, WN_POSITION_METHODS, &word);
  ((wn_objective *)target)->position = (uint32_t)word;
  return status;
}

static const wn_yaml_key objective_keys[] = {
    {"label", WN_YAML_CALL, 0, 0, 0, read_label},
    {"weight", WN_YAML_FLOAT, FIELD(weight), -WEIGHT_MAX, WEIGHT_MAX, NULL},
    {"position", WN_YAML_CALL, 0, 0, 0, read_position},
    {"among", WN_YAML_TEXT, FIELD(among), 0, WN_AMONG_MAX + 1, NULL},
};

/* `click:` alone is the event type click; `finish: watch >= 0.75` a rule of weight 1. */
static wn_status read_objective(wn_yaml *y, wn_str name, const yaml_node_t *key,
                                const yaml_node_t *value, void *ctx) {
  wn_objectives *all = ctx;
  if (!wn_config_name_good(name))
    return wn_yaml_fail(y, key, "the name of an objective is made of letters, digits, _ and -");
  if (all->len == WN_OBJECTIVES_MAX)
    return wn_yaml_fail(y, key, "there may be at most %d objectives", WN_OBJECTIVES_MAX);
  wn_objective *o = &all->data[all->len++];
  memset(o, 0, sizeof *o);
  memcpy(o->name, name.ptr, name.len);
  o->weight = 1;
  snprintf(o->rule.term[0].type, sizeof o->rule.term[0].type, "%.*s", WN_STR_ARG(name));
  o->rule.terms = 1;
  if (wn_yaml_scalar(value).ptr != NULL && !wn_yaml_is_null(value)) return read_label(y, value, o);
  return wn_yaml_fields(y, value, objective_keys, COUNT(objective_keys), o);
}

wn_status wn_config_read_objectives(wn_yaml *y, const yaml_node_t *root, wn_config *config) {
  wn_objectives *all = &config->train.objectives;
  const yaml_node_t *node = wn_yaml_member(y, root, "objectives");
  if (node == NULL) return WN_OK;
  snprintf(y->path, sizeof y->path, "objectives");
  wn_status status = wn_yaml_names(y, node, WN_OBJECTIVE_NAME_MAX, read_objective, all);
  y->path[0] = '\0';
  if (all->len > 0) (void)wn_train_options_want(&config->train, "ranker");
  return status;
}

static wn_status read_weight(wn_yaml *y, wn_str name, const yaml_node_t *key,
                             const yaml_node_t *value, void *ctx) {
  wn_surface *s = ctx;
  double number = 0;
  if (s->objectives_len == WN_OBJECTIVES_MAX)
    return wn_yaml_fail(y, key, "there may be at most %d objectives", WN_OBJECTIVES_MAX);
  wn_status status = wn_yaml_number(y, value, -WEIGHT_MAX, WEIGHT_MAX, &number);
  if (status != WN_OK) return status;
  wn_objective_weight *w = &s->objectives[s->objectives_len++];
  memset(w, 0, sizeof *w);
  memcpy(w->name, name.ptr, name.len);
  w->weight = (float)number;
  return WN_OK;
}

wn_status wn_config_read_objective_weights(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  memset(s->objectives, 0, sizeof s->objectives);
  s->objectives_len = 0;
  return wn_yaml_names(y, node, WN_OBJECTIVE_NAME_MAX, read_weight, s);
}

wn_status wn_config_check_objectives(wn_yaml *y, const yaml_node_t *node,
                                     const wn_objectives *known, const wn_surface *surface) {
  const yaml_node_t *score = wn_yaml_member(y, node, "score");
  const yaml_node_t *weights = score != NULL ? wn_yaml_member(y, score, "objectives") : NULL;
  char list[300] = "none";
  size_t at = 0;
  if (weights == NULL) return WN_OK;
  for (size_t k = 0; k < known->len && at < sizeof list; k++)
    at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", k > 0 ? ", " : "",
                           known->data[k].name);
  for (size_t i = 0; i < surface->objectives_len; i++) {
    size_t k = 0;
    while (k < known->len && strcmp(known->data[k].name, surface->objectives[i].name) != 0) k++;
    if (k == known->len)
      return wn_yaml_fail(y, weights,
                          "there is no objective \"%s\"; under `objectives:` there is: %s",
                          surface->objectives[i].name, list);
  }
  if (surface->objectives_len > 0 && surface->heavy == 0)
    return wn_yaml_fail(y, weights, "objectives need the ranker: score.heavy must not be 0");
  return WN_OK;
}

void wn_config_spread_objectives(wn_config *config) {
  const wn_objectives *known = &config->train.objectives;
  for (size_t i = 0; i < config->surfaces.len; i++) {
    wn_surface *s = &config->surfaces.data[i];
    if (s->objectives_len > 0) continue;
    for (size_t k = 0; k < known->len; k++) {
      wn_objective_weight *w = &s->objectives[s->objectives_len++];
      memcpy(w->name, known->data[k].name, sizeof w->name);
      w->weight = known->data[k].weight;
    }
  }
}
