/* Options of models: numbers, and one text a class at most. */

#include "model/model.h"

#include <stdio.h>
#include <string.h>

void wn_params_defaults(const wn_model_class *cls, wn_params *params) {
  memset(params, 0, sizeof *params);
  for (size_t i = 0; i < cls->params_len; i++) params->value[i] = cls->params[i].value;
}

static size_t find(const wn_model_class *cls, const char *name) {
  size_t i = 0;
  while (i < cls->params_len && strcmp(cls->params[i].name, name) != 0) i++;
  return i;
}

double wn_param(const wn_model_class *cls, const wn_params *params, const char *name) {
  size_t i = find(cls, name);
  return i < cls->params_len ? params->value[i] : 0.0;
}

static wn_status fail_key(const wn_model_class *cls, const char *key, wn_error *err) {
  char keys[320] = "";
  size_t at = 0;
  for (size_t i = 0; i < cls->params_len && at < sizeof keys; i++)
    at += (size_t)snprintf(keys + at, sizeof keys - at, "%s%s", i > 0 ? ", " : "",
                           cls->params[i].name);
  if (cls->text != NULL && at < sizeof keys)
    snprintf(keys + at, sizeof keys - at, "%s%s", at > 0 ? ", " : "", cls->text);
  if (keys[0] == '\0') return wn_fail(err, WN_E_ARGUMENT, key, "%s has no options", cls->name);
  return wn_fail(err, WN_E_ARGUMENT, key, "%s has no such option; it has %s", cls->name, keys);
}

wn_status wn_params_set(const wn_model_class *cls, wn_params *params, const char *key,
                        const char *value, wn_error *err) {
  size_t i = find(cls, key);
  if (cls->text != NULL && strcmp(key, cls->text) == 0) {
    if (strlen(value) >= sizeof params->text)
      return wn_fail(err, WN_E_ARGUMENT, key, "must have less than %zu bytes", sizeof params->text);
    wn_status status = cls->check_text != NULL ? cls->check_text(value, err) : WN_OK;
    if (status != WN_OK) return status;
    memset(params->text, 0, sizeof params->text);
    memcpy(params->text, value, strlen(value));
    return WN_OK;
  }
  if (i == cls->params_len) return fail_key(cls, key, err);
  const wn_param_spec *spec = &cls->params[i];
  double number;
  if (!wn_parse_double(wn_str_of(value), &number) || number < spec->min || number > spec->max)
    return wn_fail(err, WN_E_ARGUMENT, key, "must be a number from %g to %g, got \"%.64s\"",
                   spec->min, spec->max, value);
  params->value[i] = number;
  return WN_OK;
}
