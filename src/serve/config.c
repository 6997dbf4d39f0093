/* winnow.yaml: defaults, then what the file says. The keys, their ranges and their meaning are
 * the tables below and in config_surface.c; docs/configuration.md describes each.
 *
 * Over libyaml's tree and not libcyaml: most keys here are the user's own names (signals,
 * surfaces, parameters of models), which a fixed schema cannot list, and a range found to be wrong
 * after loading could not be told with its line. */

#include "serve/config_internal.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/thread.h"
#include "serve/background.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIELD(type, field) offsetof(type, field)

static void server_defaults(wn_server_config *server) {
  *server = (wn_server_config){
      .host = "127.0.0.1",
      .port = 8088,
      .threads = (uint32_t)wn_cpu_count(),
      .body_bytes_max = 1 << 20,
      .connections_max = 1024,
      .request_seconds_max = 5,
      .idle_seconds_max = 30,
      .session_minutes = 1440,
      .impressions_remembered = 4000000,
      .index_items_min = 20000,
      .state_mb = 1024,
      .events_future_seconds_max = 86400,
  };
}

static void training_defaults(wn_training_config *training) {
  *training = (wn_training_config){
      .every_hours = 24,
      .retries = 3,
      .retry_seconds = 60,
      .minutes_max = 360,
      .nice = WN_BACKGROUND_IDLE,
      .keep = 5,
      .gate_users_min = 30,
      .gate_users_max = 2000,
      .gate_events_max = 20000,
  };
}

static void alert_defaults(wn_alert_config *alerts) {
  *alerts = (wn_alert_config){.every_seconds = 15, .repeat_hours = 12};
#define X(name, unit, sign, threshold, meaning) alerts->thresholds[WN_ALERT_##name] = threshold;
  WN_ALERT_RULES(X)
#undef X
}

wn_status wn_config_defaults(wn_config *config, wn_error *err) {
  *config = (wn_config){0};
  wn_signals_defaults(&config->signals);
  wn_train_options_defaults(&config->train);
  server_defaults(&config->server);
  training_defaults(&config->training);
  alert_defaults(&config->alerts);
  config->retention = (wn_retention_config){.every_hours = 24};
  return wn_surfaces_defaults(&config->surfaces, err);
}

void wn_config_clear(wn_config *config) {
  wn_surfaces_clear(&config->surfaces);
  wn_experiments_clear(&config->experiments);
}

const wn_surface *wn_config_gate_surface(const wn_surfaces *all, const char *name) {
  const wn_surface *feed = NULL;
  for (size_t i = 0; i < all->len; i++) {
    const wn_surface *s = &all->data[i];
    if (name[0] != '\0' && strcmp(s->name, name) == 0)
      return s->flavour != WN_FLAVOUR_FLAT ? s : NULL;
    if (name[0] == '\0' && s->flavour == WN_FLAVOUR_PERSONAL) return s;
    if (name[0] == '\0' && s->flavour == WN_FLAVOUR_FEED && feed == NULL) feed = s;
  }
  return feed;
}

static const char *const catalogue_words[] = {"open", "strict"};

static wn_status read_catalogue(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_config *config = target;
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, catalogue_words, 2, &word);
  config->items_strict = word == 1;
  return status;
}

static wn_status read_standing(wn_yaml *y, const yaml_node_t *node, void *target) {
  static const char *const words[] = {"none", "open", "done"}; /* wn_standing */
  size_t word = 0;
  wn_status status = wn_yaml_word(y, node, words, 3, &word);
  if (status == WN_OK) ((wn_signal *)target)->standing = (wn_standing)word;
  return status;
}

static const wn_yaml_key signal_keys[] = {
    {"weight", WN_YAML_FLOAT, FIELD(wn_signal, weight), -1000, 1000, NULL},
    {"half_life_days", WN_YAML_FLOAT, FIELD(wn_signal, half_life_days), 0, 36500, NULL},
    {"value_min", WN_YAML_FLOAT_OR_NULL, FIELD(wn_signal, value_min), -1e9, 1e9, NULL},
    {"below", WN_YAML_FLOAT, FIELD(wn_signal, below), -1000, 1000, NULL},
    {"use_value", WN_YAML_BOOL, FIELD(wn_signal, use_value), 0, 0, NULL},
    {"seen", WN_YAML_BOOL, FIELD(wn_signal, seen), 0, 0, NULL},
    {"standing", WN_YAML_CALL, 0, 0, 0, read_standing},
    {"level", WN_YAML_U16, FIELD(wn_signal, level), 0, WN_SIGNAL_LEVEL_MAX, NULL},
};

static wn_status read_signal(wn_yaml *y, wn_str name, const yaml_node_t *key,
                             const yaml_node_t *value, void *ctx) {
  wn_config *config = ctx;
  bool known = wn_signals_find(&config->signals, name) != WN_NO_IX;
  uint32_t ix = WN_NO_IX;
  if (known || config->signals.len < WN_SIGNALS_DECLARED_MAX)
    ix = wn_signals_add(&config->signals, name);
  if (ix == WN_NO_IX)
    return wn_yaml_fail(y, key, "there may be at most %d event types", WN_SIGNALS_DECLARED_MAX);
  config->signals.data[ix].declared = true;
  return wn_yaml_fields(y, value, signal_keys, sizeof signal_keys / sizeof *signal_keys,
                        &config->signals.data[ix]);
}

static wn_status read_signals(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_names(y, node, WN_SIGNAL_NAME_MAX, read_signal, target);
}

static wn_status read_text_param(wn_yaml *y, const yaml_node_t *value, wn_train_spec *spec) {
  wn_str text;
  wn_error why = {0};
  char copy[sizeof spec->params.text + 1];
  wn_status status = wn_yaml_text(y, value, &text);
  if (status != WN_OK) return status;
  snprintf(copy, sizeof copy, "%.*s", WN_STR_ARG(text));
  if (wn_params_set(spec->cls, &spec->params, spec->cls->text, copy, &why) != WN_OK)
    return wn_yaml_fail(y, value, "%s", why.message);
  return WN_OK;
}

static wn_status read_param(wn_yaml *y, wn_str name, const yaml_node_t *key,
                            const yaml_node_t *value, void *ctx) {
  wn_train_spec *spec = ctx;
  const wn_param_spec *param = NULL;
  char list[300] = "", text[64], key_text[64];
  for (size_t i = 0; i < spec->cls->params_len; i++) {
    size_t len = strlen(list);
    snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "", spec->cls->params[i].name);
    if (wn_str_is(name, spec->cls->params[i].name)) param = &spec->cls->params[i];
  }
  if (spec->cls->text != NULL && wn_str_is(name, spec->cls->text))
    return read_text_param(y, value, spec);
  if (param == NULL)
    return wn_yaml_fail(y, key, "unknown parameter of the model %s; known: %s", spec->cls->name,
                        spec->cls->params_len > 0 ? list : "none");
  double number = 0;
  wn_status status = wn_yaml_number(y, value, param->min, param->max, &number);
  if (status != WN_OK) return status;
  snprintf(text, sizeof text, "%.17g", number);
  snprintf(key_text, sizeof key_text, "%.*s", WN_STR_ARG(name));
  wn_error why = {0};
  if (wn_params_set(spec->cls, &spec->params, key_text, text, &why) != WN_OK)
    return wn_yaml_fail(y, value, "%s", why.message);
  return WN_OK;
}

static wn_status read_model(wn_yaml *y, wn_str name, const yaml_node_t *key,
                            const yaml_node_t *value, void *ctx) {
  wn_config *config = ctx;
  char list[300] = "";
  for (size_t i = 0; i < config->train.models_len; i++) {
    wn_train_spec *spec = &config->train.models[i];
    if (wn_str_is(name, spec->cls->name)) {
      spec->left_out = false;
      return wn_yaml_names(y, value, WN_NAME_MAX, read_param, spec);
    }
    size_t len = strlen(list);
    snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "", spec->cls->name);
  }
  return wn_yaml_fail(y, key, "unknown model; known: %s", list);
}

static wn_status read_models(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_names(y, node, WN_NAME_MAX, read_model, target);
}

static wn_status read_dataset_key(wn_yaml *y, wn_str name, const yaml_node_t *key,
                                  const yaml_node_t *value, void *ctx) {
  wn_config *config = ctx;
  char list[300] = "";
  for (size_t i = 0; i < wn_dataset_keys_len; i++) {
    const wn_dataset_key *known = &wn_dataset_keys[i];
    double number = 0;
    wn_error why = {0};
    size_t len = strlen(list);
    snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "", known->name);
    if (!wn_str_is(name, known->name)) continue;
    wn_status status = wn_yaml_number(y, value, known->min, known->max, &number);
    if (status == WN_OK && wn_dataset_key_put(known, number, &config->train.dataset, &why) != WN_OK)
      status = wn_yaml_fail(y, value, "%s", why.message);
    return status;
  }
  return wn_yaml_fail(y, key, "unknown key; known here: %s", list);
}

static wn_status read_dataset(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_names(y, node, WN_NAME_MAX, read_dataset_key, target);
}

static wn_status read_threads(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_server_config *server = target;
  double number = 0;
  wn_status status = wn_yaml_number(y, node, 0, 256, &number);
  if (status != WN_OK) return status;
  if (number != floor(number)) return wn_yaml_fail(y, node, "must be a whole number");
  server->threads = number > 0 ? (uint32_t)number : (uint32_t)wn_cpu_count();
  return WN_OK;
}

static const wn_yaml_key server_keys[] = {
    {"host", WN_YAML_TEXT, FIELD(wn_server_config, host), 0, 256, NULL},
    {"port", WN_YAML_U16, FIELD(wn_server_config, port), 0, 65535, NULL},
    {"open", WN_YAML_BOOL, FIELD(wn_server_config, open), 0, 0, NULL},
    {"cors_origins", WN_YAML_TEXT, FIELD(wn_server_config, cors_origins), 0, 1024, NULL},
    {"threads", WN_YAML_CALL, 0, 0, 0, read_threads},
    {"body_bytes_max", WN_YAML_U32, FIELD(wn_server_config, body_bytes_max), 1024, 1 << 26, NULL},
    {"connections_max", WN_YAML_U32, FIELD(wn_server_config, connections_max), 1, 65536, NULL},
    {"request_seconds_max", WN_YAML_U32, FIELD(wn_server_config, request_seconds_max), 1, 3600,
     NULL},
    {"idle_seconds_max", WN_YAML_U32, FIELD(wn_server_config, idle_seconds_max), 1, 3600, NULL},
    {"session_minutes", WN_YAML_U32, FIELD(wn_server_config, session_minutes), 1, 525600, NULL},
    {"impressions_remembered", WN_YAML_U32, FIELD(wn_server_config, impressions_remembered), 1000,
     1000000000, NULL},
    {"index_items_min", WN_YAML_U32, FIELD(wn_server_config, index_items_min), 1, 1u << 30, NULL},
    {"state_mb", WN_YAML_FLOAT, FIELD(wn_server_config, state_mb), 0.001, 1 << 20, NULL},
    {"events_future_seconds_max", WN_YAML_U32, FIELD(wn_server_config, events_future_seconds_max),
     0, 86400, NULL},
};

static wn_status read_server(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, server_keys, sizeof server_keys / sizeof *server_keys,
                        &((wn_config *)target)->server);
}

static const wn_yaml_key gate_keys[] = {
    {"surface", WN_YAML_TEXT, FIELD(wn_training_config, gate_surface), 0, WN_NAME_MAX + 1, NULL},
    {"users_min", WN_YAML_U32, FIELD(wn_training_config, gate_users_min), 2, 1000000, NULL},
    {"users_max", WN_YAML_U32, FIELD(wn_training_config, gate_users_max), 2, 1000000, NULL},
    {"events_max", WN_YAML_U32, FIELD(wn_training_config, gate_events_max), 0, 10000000, NULL},
};

static wn_status read_gate(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, gate_keys, sizeof gate_keys / sizeof *gate_keys, target);
}

static const wn_yaml_key training_keys[] = {
    {"every_hours", WN_YAML_FLOAT, FIELD(wn_training_config, every_hours), 0, 8760, NULL},
    {"events", WN_YAML_U32, FIELD(wn_training_config, events), 0, 4e9, NULL},
    {"drift", WN_YAML_FLOAT, FIELD(wn_training_config, drift), 0, 1000, NULL},
    {"retries", WN_YAML_U32, FIELD(wn_training_config, retries), 0, 100, NULL},
    {"retry_seconds", WN_YAML_U32, FIELD(wn_training_config, retry_seconds), 1, 86400, NULL},
    {"minutes_max", WN_YAML_FLOAT, FIELD(wn_training_config, minutes_max), 0.01, 10080, NULL},
    {"memory_mb", WN_YAML_U32, FIELD(wn_training_config, memory_mb), 0, 1 << 30, NULL},
    {"nice", WN_YAML_U32, FIELD(wn_training_config, nice), 0, WN_BACKGROUND_IDLE, NULL},
    {"threads", WN_YAML_U32, FIELD(wn_training_config, threads), 0, 1024, NULL},
    {"keep", WN_YAML_U32, FIELD(wn_training_config, keep), 2, 10000, NULL},
    {"gate", WN_YAML_CALL, 0, 0, 0, read_gate},
};

static wn_status read_training(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, training_keys, sizeof training_keys / sizeof *training_keys,
                        &((wn_config *)target)->training);
}

static const wn_yaml_key alert_rule_keys[] = {
#define X(name, unit, sign, threshold, meaning)                                                    \
  {#name, WN_YAML_FLOAT, FIELD(wn_alert_config, thresholds[WN_ALERT_##name]), 0, 1e12, NULL},
    WN_ALERT_RULES(X)
#undef X
};

static wn_status read_alert_rules(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, alert_rule_keys, WN_ALERT_COUNT, target);
}

static const wn_yaml_key alert_keys[] = {
    {"webhook", WN_YAML_TEXT, FIELD(wn_alert_config, webhook), 0, 1024, NULL},
    {"every_seconds", WN_YAML_U32, FIELD(wn_alert_config, every_seconds), 1, 3600, NULL},
    {"repeat_hours", WN_YAML_FLOAT, FIELD(wn_alert_config, repeat_hours), 0, 8760, NULL},
    {"rules", WN_YAML_CALL, 0, 0, 0, read_alert_rules},
};

static const wn_yaml_key retention_keys[] = {
    {"events_days", WN_YAML_FLOAT, FIELD(wn_retention_config, events_days), 0, 36500, NULL},
    {"every_hours", WN_YAML_FLOAT, FIELD(wn_retention_config, every_hours), 0.01, 8760, NULL},
};

static wn_status read_retention(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, retention_keys, sizeof retention_keys / sizeof *retention_keys,
                        &((wn_config *)target)->retention);
}

static wn_status read_alerts(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, alert_keys, sizeof alert_keys / sizeof *alert_keys,
                        &((wn_config *)target)->alerts);
}

/* A relative folder lies beside the configuration file. */
static wn_status read_model2vec(wn_yaml *y, const yaml_node_t *node, void *target) {
  wn_config *config = target;
  char *out = config->train.model2vec;
  size_t size = sizeof config->train.model2vec;
  wn_str folder;
  wn_status status = wn_yaml_text(y, node, &folder);
  if (status != WN_OK) return status;
  const char *slash = folder.len > 0 && folder.ptr[0] == '/' ? NULL : strrchr(y->file, '/');
  int beside = slash != NULL ? (int)(slash - y->file) + 1 : 0;
  int len = snprintf(out, size, "%.*s%.*s", beside, y->file, WN_STR_ARG(folder));
  if (folder.len == 0 || len < 0 || (size_t)len >= size)
    return wn_yaml_fail(y, node, "must be a folder, its path at most %zu bytes long", size - 1);
  (void)wn_train_options_want(&config->train, "vectors");
  return WN_OK;
}

static const wn_yaml_key vectors_keys[] = {
    {"model2vec", WN_YAML_CALL, 0, 0, 0, read_model2vec},
};

static wn_status read_vectors(wn_yaml *y, const yaml_node_t *node, void *target) {
  return wn_yaml_fields(y, node, vectors_keys, sizeof vectors_keys / sizeof *vectors_keys, target);
}

/* Objectives are named by surfaces, and arms are variants of these: read before and after. */
static wn_status read_elsewhere(wn_yaml *y WN_UNUSED, const yaml_node_t *node WN_UNUSED,
                                void *target WN_UNUSED) {
  return WN_OK;
}

static const wn_yaml_key config_keys[] = {
    {"catalogue", WN_YAML_CALL, 0, 0, 0, read_catalogue},
    {"signals", WN_YAML_CALL, 0, 0, 0, read_signals},
    {"dataset", WN_YAML_CALL, 0, 0, 0, read_dataset},
    {"models", WN_YAML_CALL, 0, 0, 0, read_models},
    {"vectors", WN_YAML_CALL, 0, 0, 0, read_vectors},
    {"objectives", WN_YAML_CALL, 0, 0, 0, read_elsewhere},
    {"surfaces", WN_YAML_CALL, 0, 0, 0, wn_config_read_surfaces},
    {"holdout", WN_YAML_CALL, 0, 0, 0, read_elsewhere},
    {"experiments", WN_YAML_CALL, 0, 0, 0, read_elsewhere},
    {"training", WN_YAML_CALL, 0, 0, 0, read_training},
    {"alerts", WN_YAML_CALL, 0, 0, 0, read_alerts},
    {"retention", WN_YAML_CALL, 0, 0, 0, read_retention},
    {"server", WN_YAML_CALL, 0, 0, 0, read_server},
};

/* What a surface asks is trained. One that scores by the blend takes the members that there are. */
static void want_asked(wn_config *config) {
  for (size_t i = 0; i < config->surfaces.len; i++) {
    const wn_surface *s = &config->surfaces.data[i];
    for (size_t g = 0; g < s->generators_len && s->normalise != WN_NORM_BLEND; g++)
      (void)wn_train_options_want(&config->train, s->generators[g].model);
    for (size_t g = 0; g < s->fallback_len; g++)
      (void)wn_train_options_want(&config->train, s->fallback[g].model);
  }
}

wn_status wn_config_parse(wn_str text, const char *name, wn_config *config, wn_error *err) {
  wn_error ignored = {0};
  wn_yaml yaml = {0};
  wn_status status = WN_OK;
  if (err == NULL) err = &ignored;
  *config = (wn_config){0};
  if (text.len > WN_CONFIG_BYTES_MAX) {
    wn_fail(err, WN_E_TOO_LARGE, "", "a configuration may have at most %d bytes, got %zu",
            WN_CONFIG_BYTES_MAX, text.len);
    return wn_error_at(err, name, 0, 0);
  }
  status = wn_yaml_open(&yaml, text, name, err);
  if (status != WN_OK) return status;
  WN_TRY(wn_config_defaults(config, err));
  config->hash = text.len > 0 ? wn_hash64(text.ptr, text.len, 0) : 0;
  const yaml_node_t *root = wn_yaml_root(&yaml);
  if (root != NULL) WN_TRY(wn_config_read_objectives(&yaml, root, config));
  if (root != NULL)
    WN_TRY(
        wn_yaml_fields(&yaml, root, config_keys, sizeof config_keys / sizeof *config_keys, config));
  wn_config_spread_objectives(config);
  if (root != NULL) WN_TRY(wn_config_read_experiments(&yaml, root, config));
  want_asked(config);
  if (config->training.gate_surface[0] != '\0' &&
      wn_config_gate_surface(&config->surfaces, config->training.gate_surface) == NULL) {
    status =
        wn_fail(err, WN_E_CONFIG, "training.gate.surface",
                "must be a surface that is not flat, got \"%s\"", config->training.gate_surface);
    (void)wn_error_at(err, name, 0, 0);
  }
cleanup:
  wn_yaml_close(&yaml);
  if (status != WN_OK) wn_config_clear(config);
  return status;
}

wn_status wn_config_load(const char *path, wn_config *config, wn_error *err) {
  wn_buf text = {0};
  wn_status status = WN_OK;
  *config = (wn_config){0};
  if (path == NULL) return wn_config_defaults(config, err);
  WN_TRY(wn_read_file(path, WN_CONFIG_BYTES_MAX, &text, err));
  WN_TRY(wn_config_parse((wn_str){text.data, text.len}, path, config, err));
  int len = snprintf(config->file, sizeof config->file, "%s", path);
  if (len < 0 || (size_t)len >= sizeof config->file) {
    wn_config_clear(config);
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "config", "the path of the file is too long"));
  }
cleanup:
  wn_buf_clear(&text);
  return status;
}
