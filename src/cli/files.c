/* What commands on plain files of interactions share. */
#include "cli/cli.h"

#include "base/clock.h"
#include "model/blend.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_named(const wn_text_list *models, const char *name) {
  for (size_t i = 0; i < models->len; i++)
    if (strcmp(models->data[i], name) == 0) return true;
  return false;
}

wn_status wn_cli_choose_models(wn_train_options *train, const wn_text_list *models,
                               const wn_text_list *set, wn_error *err) {
  wn_train_options all = *train;
  for (size_t i = 0; i < set->len; i++) {
    char assignment[256];
    const char *equals = strchr(set->data[i], '='), *dot = strchr(set->data[i], '.');
    bool prefixed = dot != NULL && (equals == NULL || dot < equals);
    if (!prefixed && models->len != 1)
      return wn_fail(err, WN_E_ARGUMENT, "set",
                     "`%s` needs MODEL.KEY=VALUE, or exactly one --model", set->data[i]);
    snprintf(assignment, sizeof assignment, "%s%s%s", prefixed ? "" : models->data[0],
             prefixed ? "" : ".", set->data[i]);
    wn_status status = wn_train_options_set(&all, assignment, err);
    if (status != WN_OK) return status;
  }
  *train = all;
  bool blended = is_named(models, wn_model_blend.name) || is_named(models, wn_model_ranker.name);
  for (size_t m = 0; models->len > 0 && m < train->models_len; m++) {
    wn_train_spec *spec = &train->models[m];
    if (is_named(models, spec->cls->name))
      (void)wn_train_options_want(train, spec->cls->name);
    else if (!blended || !wn_blend_takes(spec->cls))
      spec->left_out = true, spec->automatic = false;
  }
  for (size_t i = 0; i < models->len; i++)
    if (wn_model_class_find(models->data[i]) == NULL)
      return wn_fail(err, WN_E_ARGUMENT, "model", "there is no model `%s`", models->data[i]);
  return WN_OK;
}

wn_cli_reader *wn_cli_format(const char *name) {
  static const struct {
    const char *name;
    wn_cli_reader *reads;
  } formats[] = {{"sequence", wn_read_sequence},
                 {"adjacency", wn_read_adjacency},
                 {"pairs", wn_read_pairs},
                 {"ratings", wn_read_ratings}};
  for (size_t i = 0; i < 4 && name != NULL; i++)
    if (strcmp(formats[i].name, name) == 0) return formats[i].reads;
  return NULL;
}

/* Memory goes by the largest id, so ids must be numbered more or less densely. */
wn_status wn_cli_check_ids(const wn_dataset_builder *builder, const char *file, wn_error *err) {
  const wn_event_list events = {wn_dataset_builder_events(builder),
                                wn_dataset_builder_count(builder)};
  uint64_t most = 1000000 + 1000 * (uint64_t)events.len;
  for (size_t i = 0; i < events.len; i++) {
    uint32_t id =
        events.data[i].user > events.data[i].item ? events.data[i].user : events.data[i].item;
    if (id > most)
      return wn_fail(err, WN_E_ARGUMENT, file,
                     "id %" PRIu32 " is too large for %zu pairs: number users and items from 0", id,
                     events.len);
  }
  return WN_OK;
}

wn_status wn_cli_read_map(const wn_text_list *texts, wn_column_map *map, size_t max,
                          wn_error *err) {
  if (texts->len > max) return wn_fail(err, WN_E_ARGUMENT, "map", "give at most %zu", max);
  for (size_t i = 0; i < texts->len; i++) {
    const char *text = texts->data[i], *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals[1] == '\0')
      return wn_fail(err, WN_E_ARGUMENT, "map", "takes FIELD=COLUMN, not `%s`", text);
    map[i] = (wn_column_map){{text, (size_t)(equals - text)}, wn_str_of(equals + 1)};
  }
  return WN_OK;
}

wn_status wn_cli_clock(const char *time, wn_error *err) {
  int64_t ms;
  if (time == NULL) return WN_OK;
  wn_status status = wn_time_parse(wn_str_of(time), &ms, err);
  if (status == WN_OK) wn_clock_set(ms);
  return status;
}
