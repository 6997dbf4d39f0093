/* Surfaces: the defaults, in one table, and the check of a declared one. */

#include "base/mem.h"
#include "funnel/surface.h"
#include "model/model.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
  SURFACE_N = 20,
  DIVERSITY_WINDOW = 50,
  HEAVY = 200,
  FATIGUE_HOURS = 24,
  QUOTA_MAX = 10000,
  PATH_MAX_BYTES = 160
};

/* The default surfaces: what each asks, how many, with which weight; "+": a fallback. Weights are
 * of scores normalised per generator (score.c), so only their ratios matter. Members of the blend
 * weigh what it says, and quotas are its depth, so that scores are the blend's own; the weights
 * here are for a snapshot without one (the best of a handful tried on two data sets, README.md). */
static const struct default_row {
  const char *surface, *model;
  uint32_t quota;
  float weight;
} default_rows[] = {
    {"home", "als", 200, 1.0f},        {"home", "covisit", 200, 0.5f},
    {"home", "content", 200, 0.25f},   {"home", "ridge", 200, 0.5f},
    {"home", "ridge-seq", 200, 0.5f},  {"home", "ease", 200, 0.25f},
    {"home", "trending", 50, 0.05f},   {"home", "popular", 200, 0.05f},
    {"home", "+popular", 300, 1.0f},   {"home", "+newest", 50, 0.2f},

    {"similar", "covisit", 300, 1.0f}, {"similar", "als", 200, 0.7f},
    {"similar", "content", 300, 0.7f}, {"similar", "+popular", 300, 1.0f},

    {"feed", "als", 300, 1.0f},        {"feed", "covisit", 300, 0.5f},
    {"feed", "content", 200, 0.25f},   {"feed", "ridge", 300, 0.5f},
    {"feed", "ridge-seq", 300, 0.5f},  {"feed", "ease", 200, 0.25f},
    {"feed", "trending", 100, 0.1f},   {"feed", "newest", 50, 0.05f},
    {"feed", "popular", 200, 0.05f},   {"feed", "+popular", 300, 1.0f},
    {"feed", "+newest", 50, 0.2f},

    {"popular", "popular", 300, 1.0f}, {"popular", "+newest", 300, 1.0f},
};

static const struct default_surface {
  const char *name;
  wn_flavour flavour;
  wn_diversity_method method;
  float mmr_lambda; /* 1: no diversity */
  wn_normalise normalise;
} default_surfaces[] = {
    {"home", WN_FLAVOUR_PERSONAL, WN_DIVERSITY_DPP, 0.97f, WN_NORM_BLEND},
    {"similar", WN_FLAVOUR_FLAT, WN_DIVERSITY_MMR, 1.0f, WN_NORM_MINMAX},
    {"feed", WN_FLAVOUR_FEED, WN_DIVERSITY_MMR, 0.85f, WN_NORM_BLEND},
    {"popular", WN_FLAVOUR_FLAT, WN_DIVERSITY_MMR, 1.0f, WN_NORM_MINMAX},
};

const char *const wn_explore_names[WN_EXPLORES] = {"",         "random", "cold",
                                                   "thompson", "linucb", "linear"};

static void copy_name(char *to, size_t size, const char *from) {
  snprintf(to, size, "%s", from);
}

void wn_surface_init(wn_surface *surface, const char *name, wn_flavour flavour) {
  memset(surface, 0, sizeof *surface);
  copy_name(surface->name, sizeof surface->name, name);
  surface->flavour = flavour;
  surface->n = SURFACE_N;
  surface->seen_all = flavour != WN_FLAVOUR_FLAT;
  surface->normalise = WN_NORM_MINMAX;
  surface->mmr_lambda = 1.0f;
  surface->log_features = true;
  surface->light = true;
  surface->fatigue_hours = FATIGUE_HOURS;
  surface->bandit = WN_SLOT_DEFAULT;
  surface->diversity_window = DIVERSITY_WINDOW;
}

static void add_row(wn_surface *surface, const struct default_row *row) {
  bool fallback = row->model[0] == '+';
  wn_generator_spec *spec = fallback ? &surface->fallback[surface->fallback_len++]
                                     : &surface->generators[surface->generators_len++];
  copy_name(spec->model, sizeof spec->model, row->model + fallback);
  spec->quota = row->quota;
  spec->weight = row->weight;
}

wn_status wn_surfaces_defaults(wn_surfaces *surfaces, wn_error *err) {
  size_t len = sizeof default_surfaces / sizeof *default_surfaces;
  *surfaces = (wn_surfaces){.data = wn_calloc(len, sizeof *surfaces->data)};
  if (surfaces->data == NULL) return wn_fail_memory(err);
  surfaces->len = len;
  for (size_t i = 0; i < len; i++) {
    const struct default_surface *d = &default_surfaces[i];
    wn_surface *surface = &surfaces->data[i];
    wn_surface_init(surface, d->name, d->flavour);
    surface->diversity_method = d->method;
    surface->mmr_lambda = d->mmr_lambda;
    surface->normalise = d->normalise;
    surface->heavy = d->normalise == WN_NORM_BLEND ? HEAVY : 0;
    if (d->mmr_lambda < 1.0f) {
      copy_name(surface->diversity_by, sizeof surface->diversity_by, "als");
      surface->diversity_is_model = true;
    }
    for (size_t r = 0; r < sizeof default_rows / sizeof *default_rows; r++) {
      if (strcmp(default_rows[r].surface, d->name) == 0) add_row(surface, &default_rows[r]);
    }
  }
  return WN_OK;
}

void wn_surfaces_clear(wn_surfaces *surfaces) {
  wn_free(surfaces->data);
  *surfaces = (wn_surfaces){0};
}

const wn_surface *wn_surfaces_find(const wn_surfaces *surfaces, wn_str name) {
  for (size_t i = 0; i < surfaces->len; i++) {
    if (wn_str_is(name, surfaces->data[i].name)) return &surfaces->data[i];
  }
  return NULL;
}

bool wn_surface_draws(const wn_surface *surface) {
  bool draws = surface->temperature > 0 || surface->bandit.explore != WN_EXPLORE_NONE;
  for (size_t i = 0; i < surface->slots_len; i++)
    draws = draws || surface->slots[i].explore != WN_EXPLORE_NONE;
  return draws;
}

bool wn_surface_asks_linear(const wn_surface *surface) {
  bool asks = surface->bandit.explore >= WN_EXPLORE_LINUCB;
  for (size_t i = 0; i < surface->slots_len; i++)
    asks = asks || surface->slots[i].explore >= WN_EXPLORE_LINUCB;
  return asks;
}

bool wn_surface_asks_exposed(const wn_surface *surface) {
  bool asks = surface->fatigue_rate > 0 || surface->bandit.explore != WN_EXPLORE_NONE;
  for (size_t i = 0; i < surface->slots_len; i++)
    asks = asks || surface->slots[i].explore > WN_EXPLORE_RANDOM;
  return asks;
}

const char *wn_surface_source(const wn_surface *surface, unsigned source) {
  if (source < surface->generators_len) return surface->generators[source].model;
  source -= (unsigned)surface->generators_len;
  if (source < surface->fallback_len) return surface->fallback[source].model;
  return source == surface->fallback_len ? "catalogue" : NULL;
}

/* Where in the configuration a check stands. */
typedef struct check {
  const wn_surface *surface;
  wn_error *err;
  char path[PATH_MAX_BYTES];
} check;

/* "surfaces.NAME.LIST[i].KEY"; i < 0: no index; key "": none. */
static const char *path_of(check *c, const char *list, long i, const char *key) {
  char index[24] = "";
  if (i >= 0) snprintf(index, sizeof index, "[%ld]", i);
  snprintf(c->path, sizeof c->path, "surfaces.%s.%s%s%s%s", c->surface->name, list, index,
           key[0] != '\0' ? "." : "", key);
  return c->path;
}

#define REFUSE(c, path, ...)                                                                       \
  do {                                                                                             \
    status = wn_fail((c)->err, WN_E_CONFIG, path, __VA_ARGS__);                                    \
    goto cleanup;                                                                                  \
  } while (0)

static wn_status check_name(check *c) {
  wn_status status = WN_OK;
  const char *name = c->surface->name;
  for (const char *p = name; *p != '\0'; p++) {
    if (isalnum((unsigned char)*p) || *p == '_' || *p == '-') continue;
    REFUSE(c, path_of(c, "name", -1, ""),
           "a surface's name is made of letters, digits, _ and -, got \"%s\"", name);
  }
  if (name[0] == '\0') REFUSE(c, "surfaces", "a surface needs a name");
cleanup:
  return status;
}

static wn_status check_generators(check *c, const char *list, const wn_generator_spec *specs,
                                  size_t len) {
  wn_status status = WN_OK;
  for (size_t i = 0; i < len; i++) {
    const wn_generator_spec *spec = &specs[i];
    long at = (long)i;
    if (wn_model_class_find(spec->model) == NULL) {
      REFUSE(c, path_of(c, list, at, "model"), "there is no model \"%s\"", spec->model);
    }
    for (size_t j = 0; j < i; j++) {
      if (strcmp(specs[j].model, spec->model) != 0) continue;
      REFUSE(c, path_of(c, list, at, "model"), "\"%s\" is listed twice", spec->model);
    }
    if (spec->quota < 1 || spec->quota > QUOTA_MAX) {
      REFUSE(c, path_of(c, list, at, "quota"), "must be 1 to %d, got %u", QUOTA_MAX, spec->quota);
    }
    if (!(spec->weight >= 0.0f && spec->weight <= 1e6f)) {
      REFUSE(c, path_of(c, list, at, "weight"), "must be 0 to 1,000,000, got %g",
             (double)spec->weight);
    }
  }
cleanup:
  return status;
}

static wn_status check_retrieve(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  WN_TRY(check_generators(c, "retrieve", s->generators, s->generators_len));
  WN_TRY(check_generators(c, "fallback", s->fallback, s->fallback_len));
  size_t sources = s->generators_len + s->fallback_len;
  if (sources == 0) REFUSE(c, path_of(c, "retrieve", -1, ""), "at least one generator is needed");
  if (sources > WN_SOURCES_MAX) {
    REFUSE(c, path_of(c, "fallback", -1, ""),
           "at most %d generators and fallbacks together, got %zu", WN_SOURCES_MAX, sources);
  }
cleanup:
  return status;
}

/* A refused argument is here a refused configuration. */
static wn_status as_config(const check *c, wn_status status) {
  if (status != WN_E_ARGUMENT) return status;
  if (c->err != NULL) c->err->status = WN_E_CONFIG;
  return WN_E_CONFIG;
}

static wn_status check_expression(check *c, const char *path, const char *text) {
  wn_expr *expr = NULL;
  wn_status status = wn_expr_parse(wn_str_of(text), path, &expr, c->err);
  wn_expr_free(expr);
  return as_config(c, status);
}

static wn_status check_filter(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  if (s->seen_all && s->seen_len > 0) {
    REFUSE(c, path_of(c, "filter.seen", -1, ""), "either all signals or a list of them, not both");
  }
  for (size_t i = 0; i < s->seen_len; i++) {
    if (s->seen[i][0] != '\0') continue;
    REFUSE(c, path_of(c, "filter.seen", (long)i, ""), "expected the name of an event type");
  }
  if (s->where[0] != '\0') {
    WN_TRY(check_expression(c, path_of(c, "filter.where", -1, ""), s->where));
  }
cleanup:
  return status;
}

static wn_status check_diversity(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  if (!(s->mmr_lambda >= 0.0f && s->mmr_lambda <= 1.0f)) {
    REFUSE(c, path_of(c, "order.diversity.lambda", -1, ""), "must be 0 to 1, got %g",
           (double)s->mmr_lambda);
  }
  if (s->diversity_window < 2 || s->diversity_window > WN_DIVERSITY_WINDOW_MAX) {
    REFUSE(c, path_of(c, "order.diversity.window", -1, ""), "must be 2 to %d, got %u",
           WN_DIVERSITY_WINDOW_MAX, s->diversity_window);
  }
  if (s->diversity_is_model) {
    const wn_model_class *cls = wn_model_class_find(s->diversity_by);
    if (cls == NULL || cls->item_vector == NULL) {
      REFUSE(c, path_of(c, "order.diversity.by", -1, ""), "\"%s\" is not a model with item vectors",
             s->diversity_by);
    }
  }
cleanup:
  return status;
}

static wn_status check_caps(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  for (size_t i = 0; i < s->caps_len; i++) {
    const wn_cap *cap = &s->caps[i];
    if (cap->attribute[0] == '\0') {
      REFUSE(c, path_of(c, "order.caps", (long)i, "attribute"), "expected an attribute's name");
    }
    if (cap->max < 1 || cap->max > WN_SLATE_MAX) {
      REFUSE(c, path_of(c, "order.caps", (long)i, "max"), "must be 1 to %d, got %u", WN_SLATE_MAX,
             cap->max);
    }
    for (size_t j = 0; j < i; j++) {
      if (strcmp(s->caps[j].attribute, cap->attribute) != 0) continue;
      REFUSE(c, path_of(c, "order.caps", (long)i, "attribute"), "\"%s\" is capped twice",
             cap->attribute);
    }
  }
cleanup:
  return status;
}

static wn_status check_pins(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  for (size_t i = 0; i < s->pins_len; i++) {
    const wn_pin *pin = &s->pins[i];
    const char *path = path_of(c, "order.pins", (long)i, "item");
    WN_TRY(as_config(c, wn_key_check(wn_str_of(pin->item), path, c->err)));
    if (pin->position < 1 || pin->position > WN_SLATE_MAX) {
      REFUSE(c, path_of(c, "order.pins", (long)i, "position"), "must be 1 to %d, got %u",
             WN_SLATE_MAX, pin->position);
    }
    for (size_t j = 0; j < i; j++) {
      if (s->pins[j].position == pin->position) {
        REFUSE(c, path_of(c, "order.pins", (long)i, "position"), "position %u is pinned twice",
               pin->position);
      }
      if (strcmp(s->pins[j].item, pin->item) == 0) {
        REFUSE(c, path_of(c, "order.pins", (long)i, "item"), "\"%s\" is pinned twice", pin->item);
      }
    }
  }
cleanup:
  return status;
}

static wn_status check_boosts(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  for (size_t i = 0; i < s->boosts_len; i++) {
    const wn_boost *boost = &s->boosts[i];
    WN_TRY(check_expression(c, path_of(c, "order.boosts", (long)i, "where"), boost->where));
    if (!(boost->factor >= 0.0f && boost->factor <= 1000.0f)) {
      REFUSE(c, path_of(c, "order.boosts", (long)i, "factor"), "must be 0 to 1,000, got %g",
             (double)boost->factor);
    }
  }
cleanup:
  return status;
}

static wn_status check_quotas(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  for (size_t i = 0; i < s->quotas_len; i++) {
    const wn_quota *quota = &s->quotas[i];
    if ((quota->where[0] != '\0') == (quota->newer_days > 0)) {
      REFUSE(c, path_of(c, "order.quotas", (long)i, "where"),
             "give a condition, or newer_days, one of the two");
    }
    if (quota->where[0] != '\0')
      WN_TRY(check_expression(c, path_of(c, "order.quotas", (long)i, "where"), quota->where));
    if (quota->min < 1 || quota->min > WN_SLATE_MAX) {
      REFUSE(c, path_of(c, "order.quotas", (long)i, "min"), "must be 1 to %d, got %u", WN_SLATE_MAX,
             quota->min);
    }
  }
cleanup:
  return status;
}

/* What exploring alone takes; i < 0: of `order.bandit`. */
static wn_status check_explore(check *c, const wn_slot *slot, long i) {
  wn_status status = WN_OK;
  const char *list = i < 0 ? "order.bandit" : "order.slots";
  if ((unsigned)slot->explore >= WN_EXPLORES)
    REFUSE(c, path_of(c, list, i, "explore"), "no such way to explore");
  if (!(slot->share >= 0.0f && slot->share <= 1.0f))
    REFUSE(c, path_of(c, list, i, "share"), "must be 0 to 1, got %g", (double)slot->share);
  if (slot->explore == WN_EXPLORE_NONE && slot->share != 1.0f)
    REFUSE(c, path_of(c, list, i, "share"), "is of slots that explore");
  if ((slot->explore == WN_EXPLORE_COLD) != (slot->impressions > 0))
    REFUSE(c, path_of(c, list, i, "impressions"),
           slot->impressions == 0 ? "explore: cold needs it: how often an item is to be shown"
                                  : "is of slots with explore: cold");
  if (slot->impressions > WN_IMPRESSIONS_MAX)
    REFUSE(c, path_of(c, list, i, "impressions"), "must be 1 to %d, got %u", WN_IMPRESSIONS_MAX,
           slot->impressions);
  if (slot->impressions_max > 0 && slot->explore != WN_EXPLORE_COLD)
    REFUSE(c, path_of(c, list, i, "impressions_max"), "is of slots with explore: cold");
  if (slot->impressions_max > 0 &&
      (slot->impressions_max <= slot->impressions || slot->impressions_max > WN_IMPRESSIONS_MAX))
    REFUSE(c, path_of(c, list, i, "impressions_max"),
           "must be more than impressions (%u), at most %d, got %u", slot->impressions,
           WN_IMPRESSIONS_MAX, slot->impressions_max);
  if (slot->among < 2 || slot->among > WN_BANDIT_AMONG_MAX)
    REFUSE(c, path_of(c, list, i, "among"), "must be 2 to %d, got %u", WN_BANDIT_AMONG_MAX,
           slot->among);
  if (!(slot->prior > 0.0f && slot->prior <= WN_PRIOR_MAX))
    REFUSE(c, path_of(c, list, i, "prior"), "must be more than 0, at most %d, got %g", WN_PRIOR_MAX,
           (double)slot->prior);
  if (!(slot->width >= 0.0f && slot->width <= 100.0f))
    REFUSE(c, path_of(c, list, i, "width"), "must be 0 to 100, got %g", (double)slot->width);
cleanup:
  return status;
}

/* It is a slot of every open place. */
static wn_status check_bandit(check *c) {
  const wn_slot *bandit = &c->surface->bandit;
  wn_status status = WN_OK;
  if (bandit->explore == WN_EXPLORE_RANDOM || bandit->explore == WN_EXPLORE_COLD)
    REFUSE(c, path_of(c, "order.bandit", -1, "explore"), "must be thompson, linucb or linear");
  if (bandit->explore != WN_EXPLORE_NONE && c->surface->temperature > 0)
    REFUSE(c, path_of(c, "order.temperature", -1, ""), "either a temperature or a bandit");
  status = check_explore(c, bandit, -1);
cleanup:
  return status;
}

static wn_status check_slots(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  for (size_t i = 0; i < s->slots_len; i++) {
    const wn_slot *slot = &s->slots[i];
    const char *position = path_of(c, "order.slots", (long)i, "position");
    if (slot->position < 1 || slot->position > WN_SLATE_MAX)
      REFUSE(c, position, "must be 1 to %d, got %u", WN_SLATE_MAX, slot->position);
    for (size_t j = 0; j < i; j++)
      if (s->slots[j].position == slot->position)
        REFUSE(c, position, "position %u has two slots", slot->position);
    for (size_t j = 0; j < s->pins_len; j++)
      if (s->pins[j].position == slot->position)
        REFUSE(c, position, "position %u has a pin", slot->position);
    if (slot->explore == WN_EXPLORE_NONE && slot->where[0] == '\0')
      REFUSE(c, path_of(c, "order.slots", (long)i, "where"), "give a condition, or explore");
    if (slot->where[0] != '\0')
      WN_TRY(check_expression(c, path_of(c, "order.slots", (long)i, "where"), slot->where));
    WN_TRY(check_explore(c, slot, (long)i));
  }
cleanup:
  return status;
}

static wn_status check_mixes(check *c) {
  const wn_surface *s = c->surface;
  wn_status status = WN_OK;
  for (size_t i = 0; i < s->mixes_len; i++) {
    const wn_mix *mix = &s->mixes[i];
    float most = mix->kind == WN_MIX_REPEAT ? 1.0f : 100.0f;
    if (mix->attribute[0] == '\0')
      REFUSE(c, path_of(c, "order.mix", (long)i, "attribute"), "expected an attribute's name");
    if (!(mix->weight >= 0.0f && mix->weight <= most)) {
      REFUSE(c, path_of(c, "order.mix", (long)i, "weight"), "must be 0 to %g, got %g", (double)most,
             (double)mix->weight);
    }
  }
cleanup:
  return status;
}

wn_status wn_surface_validate(const wn_surface *surface, wn_error *err) {
  check c = {.surface = surface, .err = err};
  wn_status status = WN_OK;
  WN_TRY(check_name(&c));
  if (surface->n < 1 || surface->n > WN_SLATE_MAX) {
    REFUSE(&c, path_of(&c, "n", -1, ""), "must be 1 to %d, got %u", WN_SLATE_MAX, surface->n);
  }
  WN_TRY(check_retrieve(&c));
  WN_TRY(check_filter(&c));
  if ((unsigned)surface->normalise > WN_NORM_BLEND) {
    REFUSE(&c, path_of(&c, "score.normalise", -1, ""),
           "expected rank, minmax, zscore, none or blend");
  }
  if (surface->heavy > WN_HEAVY_MAX) {
    REFUSE(&c, path_of(&c, "score.heavy", -1, ""), "must be 0 to %d, got %u", WN_HEAVY_MAX,
           surface->heavy);
  }
  if (!(surface->perturb >= 0.0f && surface->perturb <= 1.0f))
    REFUSE(&c, path_of(&c, "score.perturb", -1, ""), "must be 0 to 1");
  if (!(surface->fatigue_rate >= 0.0f && surface->fatigue_rate <= 1.0f))
    REFUSE(&c, path_of(&c, "score.fatigue.rate", -1, ""), "must be 0 to 1");
  if (!(surface->fatigue_hours > 0.0f && surface->fatigue_hours <= 8760.0f))
    REFUSE(&c, path_of(&c, "score.fatigue.half_life_hours", -1, ""),
           "must be more than 0, at most 8760");
  WN_TRY(check_diversity(&c));
  WN_TRY(check_caps(&c));
  WN_TRY(check_pins(&c));
  WN_TRY(check_boosts(&c));
  WN_TRY(check_quotas(&c));
  WN_TRY(check_slots(&c));
  WN_TRY(check_mixes(&c));
  WN_TRY(check_bandit(&c));
  if (!(surface->floor >= 0.0f && surface->floor <= 1000.0f))
    REFUSE(&c, path_of(&c, "order.floor", -1, ""), "must be 0 to 1,000");
  if (!(surface->temperature >= 0.0f && surface->temperature <= 100.0f))
    REFUSE(&c, path_of(&c, "order.temperature", -1, ""), "must be 0 to 100");
cleanup:
  return status;
}
