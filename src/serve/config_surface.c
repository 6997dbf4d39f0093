/* The section `surfaces:`. A surface starts from the default of its name, or, for a new name or
 * another flavour, from that flavour's empty funnel; each key that is mentioned replaces the
 * default's, lists as a whole. Ranges of single values are checked here, everything that needs
 * the whole surface by wn_surface_validate(), whose complaints get their line from the tree. */

#include "serve/config_internal.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

#define FIELD(field) offsetof(wn_surface, field)
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const flavour_words[] = {"flat", "personal", "feed"};
static const char *const normalise_words[] = {"rank", "minmax", "zscore", "none", "blend"};

static wn_status read_flavour(wn_yaml *y, const yaml_node_t *node, void *target) {
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, flavour_words, COUNT(flavour_words), &word);
  if (status == WN_OK) ((wn_surface *)target)->flavour = (wn_flavour)word;
  return status;
}

static wn_status copy_name(wn_yaml *y, const yaml_node_t *node, char *out, size_t size) {
  wn_str s;
  wn_status status = wn_yaml_text(y, node, &s);
  if (status != WN_OK) return status;
  if (s.len == 0 || s.len >= size)
    return wn_yaml_fail(y, node, "must have 1 to %zu bytes, got %zu", size - 1, s.len);
  memcpy(out, s.ptr, s.len);
  out[s.len] = '\0';
  return WN_OK;
}

/* A key that an entry cannot do without. */
static wn_status require(wn_yaml *y, const yaml_node_t *node, const char *key) {
  if (wn_yaml_member(y, node, key) != NULL) return WN_OK;
  return wn_yaml_fail(y, node, "the key \"%s\" is missing", key);
}

static const wn_yaml_key generator_keys[] = {
    {"model", WN_YAML_TEXT, offsetof(wn_generator_spec, model), 0, WN_NAME_MAX + 1, NULL},
    {"quota", WN_YAML_U32, offsetof(wn_generator_spec, quota), 1, 10000, NULL},
    {"weight", WN_YAML_FLOAT, offsetof(wn_generator_spec, weight), 0, 1e6, NULL},
};

static wn_status read_generator(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_generator_spec *spec = target;
  *spec = (wn_generator_spec){.quota = 300, .weight = 1.0f};
  wn_status status = wn_yaml_fields(y, node, generator_keys, COUNT(generator_keys), spec);
  return status == WN_OK ? require(y, node, "model") : status;
}

static wn_status push_retrieve(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  return read_generator(y, node, &s->generators[s->generators_len++]);
}

static wn_status read_retrieve(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->generators_len = 0;
  return wn_yaml_list(y, node, WN_GENERATORS_MAX, push_retrieve, target);
}

static wn_status push_fallback(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  return read_generator(y, node, &s->fallback[s->fallback_len++]);
}

static wn_status read_fallback(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->fallback_len = 0;
  return wn_yaml_list(y, node, WN_GENERATORS_MAX, push_fallback, target);
}

static wn_status push_seen(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  return copy_name(y, node, s->seen[s->seen_len++], sizeof s->seen[0]);
}

static wn_status read_seen(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_str word = wn_yaml_scalar(node);
  s->seen_all = false;
  s->seen_len = 0;
  if (node->type == YAML_SEQUENCE_NODE)
    return wn_yaml_list(y, node, WN_RULES_MAX, push_seen, target);
  if (wn_str_is(word, "all"))
    s->seen_all = true;
  else if (!wn_str_is(word, "none"))
    return wn_yaml_fail(y, node, "must be all, none or a list of event types");
  return WN_OK;
}

/* Empty text takes the default's condition away. */
static wn_status read_where(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_str text;
  wn_status status = wn_yaml_text(y, node, &text);
  if (status != WN_OK) return status;
  s->where[0] = '\0';
  return text.len == 0 ? WN_OK : copy_name(y, node, s->where, sizeof s->where);
}

static const wn_yaml_key filter_keys[] = {
    {"seen", WN_YAML_CALL, 0, 0, 0, read_seen},
    {"where", WN_YAML_CALL, 0, 0, 0, read_where},
    {"required", WN_YAML_BOOL, FIELD(where_required), 0, 0, NULL},
};

static wn_status read_filter(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, filter_keys, COUNT(filter_keys), target);
}

static wn_status read_normalise(wn_yaml *y, const yaml_node_t *node, void *target) {
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, normalise_words, COUNT(normalise_words), &word);
  if (status == WN_OK) ((wn_surface *)target)->normalise = (wn_normalise)word;
  return status;
}

static const wn_yaml_key fatigue_keys[] = {
    {"rate", WN_YAML_FLOAT, FIELD(fatigue_rate), 0, 1, NULL},
    {"half_life_hours", WN_YAML_FLOAT, FIELD(fatigue_hours), 0, 8760, NULL},
};

static wn_status read_fatigue(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_status status = wn_yaml_fields(y, node, fatigue_keys, COUNT(fatigue_keys), target);
  return status == WN_OK ? require(y, node, "rate") : status;
}

static const wn_yaml_key score_keys[] = {
    {"normalise", WN_YAML_CALL, 0, 0, 0, read_normalise},
    {"log_features", WN_YAML_BOOL, FIELD(log_features), 0, 0, NULL},
    {"heavy", WN_YAML_U32, FIELD(heavy), 0, WN_HEAVY_MAX, NULL},
    {"light", WN_YAML_BOOL, FIELD(light), 0, 0, NULL},
    {"fatigue", WN_YAML_CALL, 0, 0, 0, read_fatigue},
    {"objectives", WN_YAML_CALL, 0, 0, 0, wn_config_read_objective_weights},
    {"perturb", WN_YAML_FLOAT, FIELD(perturb), 0, 1, NULL},
};

static wn_status read_score(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, score_keys, COUNT(score_keys), target);
}

static wn_status read_by_model(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  s->diversity_is_model = true;
  return copy_name(y, node, s->diversity_by, sizeof s->diversity_by);
}

static wn_status read_by_attribute(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  s->diversity_is_model = false;
  return copy_name(y, node, s->diversity_by, sizeof s->diversity_by);
}

static wn_status read_method(wn_yaml *y, const yaml_node_t *node, void *target) {
  static const char *const words[] = {"mmr", "dpp"};
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, words, COUNT(words), &word);
  if (status == WN_OK) ((wn_surface *)target)->diversity_method = (wn_diversity_method)word;
  return status;
}

static const wn_yaml_key diversity_keys[] = {
    {"method", WN_YAML_CALL, 0, 0, 0, read_method},
    {"window", WN_YAML_U32, FIELD(diversity_window), 2, WN_DIVERSITY_WINDOW_MAX, NULL},
    {"lambda", WN_YAML_FLOAT, FIELD(mmr_lambda), 0, 1, NULL},
    {"by", WN_YAML_CALL, 0, 0, 0, read_by_model},
    {"by_attribute", WN_YAML_CALL, 0, 0, 0, read_by_attribute},
};

static wn_status read_diversity(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  if (wn_str_is(wn_yaml_scalar(node), "none")) {
    s->diversity_by[0] = '\0';
    s->diversity_is_model = false;
    return WN_OK;
  }
  if (wn_yaml_member(y, node, "by") != NULL && wn_yaml_member(y, node, "by_attribute") != NULL)
    return wn_yaml_fail(y, node, "give `by` (a model) or `by_attribute`, not both");
  if (wn_yaml_member(y, node, "lambda") != NULL) s->diversity_method = WN_DIVERSITY_MMR;
  wn_status status = wn_yaml_fields(y, node, diversity_keys, COUNT(diversity_keys), target);
  if (status == WN_OK && s->diversity_by[0] == '\0' && !wn_yaml_is_null(node))
    return wn_yaml_fail(y, node, "needs `by` (a model) or `by_attribute`");
  return status;
}

static const wn_yaml_key cap_keys[] = {
    {"attribute", WN_YAML_TEXT, offsetof(wn_cap, attribute), 0, WN_NAME_MAX + 1, NULL},
    {"max", WN_YAML_U32, offsetof(wn_cap, max), 1, WN_SLATE_MAX, NULL},
};

static wn_status push_cap(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_cap *cap = &s->caps[s->caps_len++];
  wn_status status = WN_OK;
  *cap = (wn_cap){0};
  WN_TRY(wn_yaml_fields(y, node, cap_keys, COUNT(cap_keys), cap));
  WN_TRY(require(y, node, "attribute"));
  WN_TRY(require(y, node, "max"));
cleanup:
  return status;
}

static wn_status read_caps(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->caps_len = 0;
  return wn_yaml_list(y, node, WN_RULES_MAX, push_cap, target);
}

static const wn_yaml_key pin_keys[] = {
    {"item", WN_YAML_TEXT, offsetof(wn_pin, item), 0, sizeof(((wn_pin *)NULL)->item), NULL},
    {"position", WN_YAML_U32, offsetof(wn_pin, position), 1, WN_SLATE_MAX, NULL},
};

static wn_status push_pin(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_pin *pin = &s->pins[s->pins_len++];
  wn_status status = WN_OK;
  *pin = (wn_pin){0};
  WN_TRY(wn_yaml_fields(y, node, pin_keys, COUNT(pin_keys), pin));
  WN_TRY(require(y, node, "item"));
  WN_TRY(require(y, node, "position"));
cleanup:
  return status;
}

static wn_status read_pins(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->pins_len = 0;
  return wn_yaml_list(y, node, WN_RULES_MAX, push_pin, target);
}

static const wn_yaml_key boost_keys[] = {
    {"where", WN_YAML_TEXT, offsetof(wn_boost, where), 0, sizeof(((wn_boost *)NULL)->where), NULL},
    {"factor", WN_YAML_FLOAT, offsetof(wn_boost, factor), 0, 1000, NULL},
};

static wn_status push_boost(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_boost *boost = &s->boosts[s->boosts_len++];
  wn_status status = WN_OK;
  *boost = (wn_boost){0};
  WN_TRY(wn_yaml_fields(y, node, boost_keys, COUNT(boost_keys), boost));
  WN_TRY(require(y, node, "where"));
  WN_TRY(require(y, node, "factor"));
cleanup:
  return status;
}

static wn_status read_boosts(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->boosts_len = 0;
  return wn_yaml_list(y, node, WN_RULES_MAX, push_boost, target);
}

static const wn_yaml_key quota_keys[] = {
    {"where", WN_YAML_TEXT, offsetof(wn_quota, where), 0, sizeof(((wn_quota *)NULL)->where), NULL},
    {"newer_days", WN_YAML_U32, offsetof(wn_quota, newer_days), 1, 36500, NULL},
    {"min", WN_YAML_U32, offsetof(wn_quota, min), 1, WN_SLATE_MAX, NULL},
};

static wn_status push_quota(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_quota *quota = &s->quotas[s->quotas_len++];
  *quota = (wn_quota){0};
  wn_status status = wn_yaml_fields(y, node, quota_keys, COUNT(quota_keys), quota);
  return status == WN_OK ? require(y, node, "min") : status;
}

static wn_status read_quotas(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->quotas_len = 0;
  return wn_yaml_list(y, node, WN_RULES_MAX, push_quota, target);
}

/* `true` is the word of the time when there was one way. */
static wn_status read_explore(wn_yaml *y, const yaml_node_t *node, void *target) {
  static const char *const words[] = {"false",  "random", "cold", "thompson",
                                      "linucb", "linear", "true"};
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, words, COUNT(words), &word);
  if (status == WN_OK)
    ((wn_slot *)target)->explore = word == WN_EXPLORES ? WN_EXPLORE_RANDOM : (wn_explore)word;
  return status;
}

static const wn_yaml_key bandit_keys[] = {
    {"explore", WN_YAML_CALL, 0, 0, 0, read_explore},
    {"share", WN_YAML_FLOAT, offsetof(wn_slot, share), 0, 1, NULL},
    {"among", WN_YAML_U32, offsetof(wn_slot, among), 2, WN_BANDIT_AMONG_MAX, NULL},
    {"prior", WN_YAML_FLOAT, offsetof(wn_slot, prior), 0, WN_PRIOR_MAX, NULL},
    {"width", WN_YAML_FLOAT, offsetof(wn_slot, width), 0, 100, NULL},
};

static wn_status read_bandit(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  s->bandit = WN_SLOT_DEFAULT;
  wn_status status = wn_yaml_fields(y, node, bandit_keys, COUNT(bandit_keys), &s->bandit);
  return status == WN_OK ? require(y, node, "explore") : status;
}

static const wn_yaml_key slot_keys[] = {
    {"position", WN_YAML_U32, offsetof(wn_slot, position), 1, WN_SLATE_MAX, NULL},
    {"where", WN_YAML_TEXT, offsetof(wn_slot, where), 0, sizeof(((wn_slot *)NULL)->where), NULL},
    {"explore", WN_YAML_CALL, 0, 0, 0, read_explore},
    {"share", WN_YAML_FLOAT, offsetof(wn_slot, share), 0, 1, NULL},
    {"among", WN_YAML_U32, offsetof(wn_slot, among), 2, WN_BANDIT_AMONG_MAX, NULL},
    {"prior", WN_YAML_FLOAT, offsetof(wn_slot, prior), 0, WN_PRIOR_MAX, NULL},
    {"width", WN_YAML_FLOAT, offsetof(wn_slot, width), 0, 100, NULL},
    {"impressions", WN_YAML_U32, offsetof(wn_slot, impressions), 1, WN_IMPRESSIONS_MAX, NULL},
    {"impressions_max", WN_YAML_U32, offsetof(wn_slot, impressions_max), 2, WN_IMPRESSIONS_MAX,
     NULL},
};

static wn_status push_slot(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_slot *slot = &s->slots[s->slots_len++];
  *slot = WN_SLOT_DEFAULT;
  wn_status status = wn_yaml_fields(y, node, slot_keys, COUNT(slot_keys), slot);
  return status == WN_OK ? require(y, node, "position") : status;
}

static wn_status read_slots(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->slots_len = 0;
  return wn_yaml_list(y, node, WN_RULES_MAX, push_slot, target);
}

static wn_status read_mix_kind(wn_yaml *y, const yaml_node_t *node, void *target) {
  static const char *const words[] = {"repeat", "calibrated", "covered"}; /* wn_mix_kind */
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, words, COUNT(words), &word);
  if (status == WN_OK) ((wn_mix *)target)->kind = (wn_mix_kind)word;
  return status;
}

static const wn_yaml_key mix_keys[] = {
    {"attribute", WN_YAML_TEXT, offsetof(wn_mix, attribute), 0, WN_NAME_MAX + 1, NULL},
    {"kind", WN_YAML_CALL, 0, 0, 0, read_mix_kind},
    {"weight", WN_YAML_FLOAT, offsetof(wn_mix, weight), 0, 100, NULL},
};

static wn_status push_mix(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_surface *s = target;
  wn_mix *mix = &s->mixes[s->mixes_len++];
  wn_status status = WN_OK;
  *mix = (wn_mix){0};
  WN_TRY(wn_yaml_fields(y, node, mix_keys, COUNT(mix_keys), mix));
  WN_TRY(require(y, node, "attribute"));
  WN_TRY(require(y, node, "kind"));
  WN_TRY(require(y, node, "weight"));
cleanup:
  return status;
}

static wn_status read_mixes(wn_yaml *y, const yaml_node_t *node, void *target) {
  ((wn_surface *)target)->mixes_len = 0;
  return wn_yaml_list(y, node, WN_RULES_MAX, push_mix, target);
}

static const wn_yaml_key order_keys[] = {
    {"diversity", WN_YAML_CALL, 0, 0, 0, read_diversity},
    {"caps", WN_YAML_CALL, 0, 0, 0, read_caps},
    {"pins", WN_YAML_CALL, 0, 0, 0, read_pins},
    {"boosts", WN_YAML_CALL, 0, 0, 0, read_boosts},
    {"quotas", WN_YAML_CALL, 0, 0, 0, read_quotas},
    {"slots", WN_YAML_CALL, 0, 0, 0, read_slots},
    {"mix", WN_YAML_CALL, 0, 0, 0, read_mixes},
    {"bandit", WN_YAML_CALL, 0, 0, 0, read_bandit},
    {"floor", WN_YAML_FLOAT, FIELD(floor), 0, 1000, NULL},
    {"temperature", WN_YAML_FLOAT, FIELD(temperature), 0, 100, NULL},
};

static wn_status read_order(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, order_keys, COUNT(order_keys), target);
}

static wn_status read_fill(wn_yaml *y, const yaml_node_t *node, void *target) {
  static const char *const words[] = {"false", "true"};
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, words, COUNT(words), &word);
  ((wn_surface *)target)->short_slates = word == 0;
  return status;
}

static const wn_yaml_key surface_keys[] = {
    {"flavour", WN_YAML_CALL, 0, 0, 0, read_flavour},
    {"n", WN_YAML_U32, FIELD(n), 1, WN_SLATE_MAX, NULL},
    {"retrieve", WN_YAML_CALL, 0, 0, 0, read_retrieve},
    {"fallback", WN_YAML_CALL, 0, 0, 0, read_fallback},
    {"fill", WN_YAML_CALL, 0, 0, 0, read_fill},
    {"filter", WN_YAML_CALL, 0, 0, 0, read_filter},
    {"score", WN_YAML_CALL, 0, 0, 0, read_score},
    {"order", WN_YAML_CALL, 0, 0, 0, read_order},
};

/* The default of that name, or a new one at the end of the list. */
static wn_status surface_at(wn_yaml *y, wn_config *config, wn_str name, const yaml_node_t *key,
                            wn_surface **out) {
  wn_surfaces *all = &config->surfaces;
  for (size_t i = 0; i < all->len; i++)
    if (wn_str_is(name, all->data[i].name)) {
      *out = &all->data[i];
      return WN_OK;
    }
  if (all->len >= WN_SURFACES_MAX)
    return wn_yaml_fail(y, key, "there may be at most %d surfaces", WN_SURFACES_MAX);
  wn_surface *data = wn_reallocarray(all->data, all->len + 1, sizeof *data);
  if (data == NULL) return wn_fail_memory(y->err);
  all->data = data;
  *out = &data[all->len++];
  char copy[WN_NAME_MAX + 1];
  snprintf(copy, sizeof copy, "%.*s", WN_STR_ARG(name));
  wn_surface_init(*out, copy, WN_FLAVOUR_PERSONAL);
  return WN_OK;
}

bool wn_config_name_good(wn_str name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
          c == '-'))
      return false;
  }
  return true;
}

/* The validator names two fields otherwise than the file does. */
static void rename_field(wn_yaml *y, const char *from, const char *to) {
  char *at = strstr(y->err->field, from);
  if (at != NULL) snprintf(at, sizeof y->err->field - (size_t)(at - y->err->field), "%s", to);
}

/* Who lists generators with weights means these, not a blend's that came with the default. */
static void weigh_as_declared(wn_yaml *y, const yaml_node_t *node, wn_surface *surface) {
  const yaml_node_t *score = wn_yaml_member(y, node, "score");
  bool said = score != NULL && wn_yaml_member(y, score, "normalise") != NULL;
  if (!said && surface->normalise == WN_NORM_BLEND && wn_yaml_member(y, node, "retrieve") != NULL)
    surface->normalise = WN_NORM_MINMAX;
}

wn_status wn_config_read_surface_keys(wn_yaml *y, const yaml_node_t *node, wn_surface *surface) {
  wn_status status = WN_OK;
  WN_TRY(wn_yaml_fields(y, node, surface_keys, COUNT(surface_keys), surface));
  weigh_as_declared(y, node, surface);
  status = wn_surface_validate(surface, y->err);
  if (status == WN_OK) goto cleanup;
  rename_field(y, ".order.mmr_lambda", ".order.diversity.lambda");
  rename_field(y, ".order.diversity_by", ".order.diversity.by");
  status = wn_yaml_place(y, node, y->path);
cleanup:
  return status;
}

static wn_status read_surface(wn_yaml *y, wn_str name, const yaml_node_t *key,
                              const yaml_node_t *value, void *ctx) {
  wn_surface *surface = NULL;
  wn_status status = WN_OK;
  if (!wn_config_name_good(name))
    return wn_yaml_fail(y, key, "the name of a surface is made of letters, digits, _ and -");
  WN_TRY(surface_at(y, ctx, name, key, &surface));
  const yaml_node_t *flavour = wn_yaml_member(y, value, "flavour");
  size_t word = (size_t)surface->flavour;
  for (size_t i = 0; flavour != NULL && i < COUNT(flavour_words); i++)
    if (wn_str_is(wn_yaml_scalar(flavour), flavour_words[i])) word = i;
  if (word != (size_t)surface->flavour) {
    char copy[WN_NAME_MAX + 1];
    memcpy(copy, surface->name, sizeof copy);
    wn_surface_init(surface, copy, (wn_flavour)word);
  }
  WN_TRY(wn_config_read_surface_keys(y, value, surface));
  WN_TRY(wn_config_check_objectives(y, value, &((wn_config *)ctx)->train.objectives, surface));
cleanup:
  return status;
}

wn_status wn_config_read_surfaces(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_names(y, node, WN_NAME_MAX, read_surface, target);
}
