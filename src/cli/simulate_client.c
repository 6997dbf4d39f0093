#include "cli/simulate_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_status wn_sim_clock(wn_http_client *c, int64_t ms, wn_error *err) {
  char header[64];
  snprintf(header, sizeof header, "Winnow-Now: %" PRId64, ms);
  return wn_http_header(c, header, err);
}

wn_status wn_sim_post(wn_http_client *c, const char *path, const wn_buf *json, wn_error *err) {
  wn_str ignored;
  return wn_http_post_json(c, path, json, &ignored, err);
}

static uint32_t number_of(const char *id) {
  char *end = NULL;
  if (id == NULL || strncmp(id, "sim-i", 5) != 0) return UINT32_MAX;
  unsigned long number = strtoul(id + 5, &end, 10);
  return *end == '\0' && number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static void read_slate(const json_t *root, const char *experiment, wn_sim_slate *out) {
  const char *arm = experiment == NULL ? "all" : NULL;
  const char *id = json_string_value(json_object_get(root, "slate"));
  const json_t *items = json_object_get(root, "items");
  if (experiment != NULL)
    arm = json_string_value(json_object_get(json_object_get(root, "arms"), experiment));
  snprintf(out->id, sizeof out->id, "%s", id != NULL ? id : "");
  snprintf(out->arm, sizeof out->arm, "%s", arm != NULL ? arm : "-");
  out->len = json_array_size(items) < WN_SIM_SLATE_MAX ? json_array_size(items) : WN_SIM_SLATE_MAX;
  for (size_t k = 0; k < out->len; k++)
    out->items[k] = number_of(json_string_value(json_object_get(json_array_get(items, k), "id")));
}

wn_status wn_sim_get(wn_http_client *c, const char *path, json_t **out, wn_error *err) {
  wn_status status = WN_OK;
  wn_str body;
  *out = NULL;
  WN_TRY(wn_http_get(c, path, &body, err));
  *out = json_loadb(body.ptr, body.len, 0, NULL);
  if (!json_is_object(*out)) {
    json_decref(*out);
    *out = NULL;
    status = wn_fail(err, WN_E_IO, "url", "%s is not answered by JSON", path);
  }
cleanup:
  return status;
}

wn_status wn_sim_slate_get(wn_http_client *c, const wn_sim_ask *ask, wn_sim_slate *out,
                           wn_error *err) {
  char path[256], n[32] = "";
  json_t *root = NULL;
  if (ask->n > 0) snprintf(n, sizeof n, "&n=%" PRIu32, ask->n);
  snprintf(path, sizeof path, "/v1/surfaces/%.100s/slate?user=sim-u%" PRIu32 "%s", ask->surface,
           ask->user, n);
  wn_status status = wn_sim_get(c, path, &root, err);
  if (status == WN_OK) read_slate(root, ask->experiment, out);
  json_decref(root);
  return status;
}
