#include "serve/surface_json.h"

static void put_text(wn_json *json, const char *key, const char *value) {
  wn_json_key(json, key);
  wn_json_string(json, value[0] != '\0' ? wn_str_of(value) : (wn_str){NULL, 0});
}

static void put_int(wn_json *json, const char *key, int64_t value) {
  wn_json_key(json, key);
  wn_json_int(json, value);
}

static void put_float(wn_json *json, const char *key, float value) {
  wn_json_key(json, key);
  wn_json_float(json, value);
}

static void begin(wn_json *json, const char *key) {
  wn_json_key(json, key);
  wn_json_array(json);
}

static void put_generators(wn_json *json, const char *key, const wn_generator_spec *data,
                           size_t len) {
  begin(json, key);
  for (size_t i = 0; i < len; i++) {
    wn_json_object(json);
    put_text(json, "model", data[i].model);
    put_int(json, "quota", data[i].quota);
    put_float(json, "weight", data[i].weight);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_filter(wn_json *json, const wn_surface *s) {
  wn_json_key(json, "filter");
  wn_json_object(json);
  wn_json_key(json, "seen_all");
  wn_json_bool(json, s->seen_all);
  begin(json, "seen");
  for (size_t i = 0; i < s->seen_len; i++) wn_json_cstring(json, s->seen[i]);
  wn_json_end_array(json);
  put_text(json, "where", s->where);
  wn_json_end_object(json);
}

static void put_score(wn_json *json, const wn_surface *s) {
  static const char *const words[] = {"rank", "minmax", "zscore", "none", "blend"};
  wn_json_key(json, "score");
  wn_json_object(json);
  put_text(json, "normalise", words[s->normalise]);
  put_int(json, "heavy", s->heavy);
  wn_json_end_object(json);
}

static void put_explore(wn_json *json, const wn_slot *slot) {
  put_text(json, "explore", wn_explore_names[slot->explore]);
  put_float(json, "share", slot->share);
  put_int(json, "impressions", slot->impressions);
  put_int(json, "impressions_max", slot->impressions_max);
  put_int(json, "among", slot->among);
  put_float(json, "prior", slot->prior);
  put_float(json, "width", slot->width);
}

static void put_places(wn_json *json, const wn_surface *s) {
  begin(json, "pins");
  for (size_t i = 0; i < s->pins_len; i++) {
    wn_json_object(json);
    put_text(json, "item", s->pins[i].item);
    put_int(json, "position", s->pins[i].position);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  begin(json, "slots");
  for (size_t i = 0; i < s->slots_len; i++) {
    wn_json_object(json);
    put_int(json, "position", s->slots[i].position);
    put_explore(json, &s->slots[i]);
    put_text(json, "where", s->slots[i].where);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_shares(wn_json *json, const wn_surface *s) {
  static const char *const kinds[] = {"repeat", "calibrated", "covered"};
  begin(json, "caps");
  for (size_t i = 0; i < s->caps_len; i++) {
    wn_json_object(json);
    put_text(json, "attribute", s->caps[i].attribute);
    put_int(json, "max", s->caps[i].max);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  begin(json, "quotas");
  for (size_t i = 0; i < s->quotas_len; i++) {
    wn_json_object(json);
    put_text(json, "where", s->quotas[i].where);
    put_int(json, "newer_days", s->quotas[i].newer_days);
    put_int(json, "min", s->quotas[i].min);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  begin(json, "mix");
  for (size_t i = 0; i < s->mixes_len; i++) {
    wn_json_object(json);
    put_text(json, "attribute", s->mixes[i].attribute);
    put_text(json, "kind", kinds[s->mixes[i].kind]);
    put_float(json, "weight", s->mixes[i].weight);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_boosts(wn_json *json, const wn_surface *s) {
  begin(json, "boosts");
  for (size_t i = 0; i < s->boosts_len; i++) {
    wn_json_object(json);
    put_text(json, "where", s->boosts[i].where);
    put_float(json, "factor", s->boosts[i].factor);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_order(wn_json *json, const wn_surface *s) {
  bool diverse = s->mmr_lambda < 1.0f && s->diversity_by[0] != '\0';
  wn_json_key(json, "order");
  wn_json_object(json);
  put_text(json, "diversity_by", diverse ? s->diversity_by : "");
  put_text(json, "method", s->diversity_method == WN_DIVERSITY_DPP ? "dpp" : "mmr");
  put_float(json, "lambda", s->mmr_lambda);
  put_float(json, "floor", s->floor);
  put_float(json, "temperature", s->temperature);
  wn_json_key(json, "bandit");
  wn_json_object(json);
  put_explore(json, &s->bandit);
  wn_json_end_object(json);
  put_boosts(json, s);
  put_shares(json, s);
  put_places(json, s);
  wn_json_end_object(json);
}

void wn_surface_to_json(const wn_surface *s, wn_json *json) {
  static const char *const flavours[] = {"flat", "personal", "feed"};
  wn_json_object(json);
  put_text(json, "name", s->name);
  put_text(json, "flavour", flavours[s->flavour]);
  put_int(json, "n", s->n);
  put_generators(json, "retrieve", s->generators, s->generators_len);
  put_generators(json, "fallback", s->fallback, s->fallback_len);
  put_filter(json, s);
  put_score(json, s);
  put_order(json, s);
  wn_json_end_object(json);
}
