/* Offline against online. */
#include "serve/server_internal.h"

#include "lab/scatter.h"

#include <string.h>

wn_status wn_route_scatter(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"experiment", "metric", NULL};
  wn_status status = WN_OK;
  wn_json json;
  wn_policy *policy = wn_engine_policy(http->engine);
  wn_str metric = wn_query_get(&http->query, "metric");
  char name[65] = "";
  wn_scatter *scatter = wn_arena_alloc(&http->arena, sizeof *scatter);
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  if (scatter == NULL) WN_TRY(wn_fail_memory(err));
  wn_scatter_ask ask = {.experiments = &policy->experiments,
                        .surfaces = &policy->surfaces,
                        .experiment = wn_query_get(&http->query, "experiment")};
  if (metric.ptr != NULL) {
    if (metric.len >= sizeof name)
      WN_TRY(wn_fail(err, WN_E_ARGUMENT, "metric", "is no metric, such as ndcg@20"));
    memcpy(name, metric.ptr, metric.len);
    ask.metric = name;
  }
  WN_TRY(wn_scatter_of(wn_engine_store(http->engine), wn_engine_dir(http->engine), &ask, scatter,
                       err));
  wn_json_init(&json, &http->out);
  wn_scatter_to_json(scatter, &json);
cleanup:
  wn_policy_unref(policy);
  return status;
}
