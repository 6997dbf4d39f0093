/* Experiments that are declared, changed or stopped over the API of a running server.
 *
 * A change is durable before it serves: declared.json, then the ledger, then the policy (policy.h).
 * A crash in between leaves what the next start makes whole: the file is read, and the ledger
 * brought up to it. Nobody was assigned by what was not yet the policy. */

#include "serve/engine_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lab/ledger.h"
#include "model/snapshot.h"
#include <stdio.h>
#include <string.h>

static wn_status check_type(const wn_engine *engine, const wn_experiment *e, size_t metric,
                            wn_error *err) {
  char field[160];
  const char *type = e->metrics[metric].type;
  if (type[0] == '\0' || wn_signals_find(&engine->config.signals, wn_str_of(type)) != WN_NO_IX ||
      wn_dict_find(wn_store_types(engine->store), wn_str_of(type)) != WN_NO_IX)
    return WN_OK;
  snprintf(field, sizeof field, "experiments.%s.metrics[%zu].type", e->name, metric);
  return wn_fail(err, WN_E_CONFIG, field,
                 "no event \"%s\" was ever stored, and `signals:` does not name it: the metric "
                 "would stay empty",
                 type);
}

/* Of experiments that are about to begin: what already runs may have outlived its events. */
static wn_status check_metrics(const wn_engine *engine, const wn_experiments *all, wn_error *err) {
  wn_status status = WN_OK;
  wn_ledger ledger = {0};
  WN_TRY(wn_ledger_read(engine->dir, &ledger, err));
  for (size_t i = 0; i < all->len; i++) {
    const wn_experiment *e = &all->data[i];
    const wn_ledger_entry *entry = wn_ledger_find(&ledger, e->name);
    if (e->stopped || (entry != NULL && entry->stopped_ms == 0)) continue;
    for (size_t m = 0; m < e->metrics_len; m++) WN_TRY(check_type(engine, e, m, err));
  }
cleanup:
  wn_ledger_clear(&ledger);
  return status;
}

wn_status wn_engine_check_experiments(const wn_engine *engine, wn_error *err) {
  const wn_experiments *all = &engine->policy->experiments;
  wn_status status = check_metrics(engine, all, err);
  return status == WN_OK ? wn_ledger_check(engine->dir, all, err) : status;
}

wn_status wn_engine_begin_experiments(wn_engine *engine, wn_error *err) {
  return wn_ledger_update(engine->dir, &engine->policy->experiments, wn_now_ms(), err);
}

/* ---- changes ---- */

static wn_status check_change(const wn_experiments *all, const wn_experiment_change *change,
                              wn_error *err) {
  const wn_experiment *e = wn_experiments_find(all, change->name);
  int len = change->name.len > 64 ? 64 : (int)change->name.len;
  if (wn_str_is(change->name, WN_HOLDOUT))
    return wn_fail(err, WN_E_CONFLICT, "name", "the holdout is a section of the configuration");
  if (change->kind == WN_DECLARE_NEW && e != NULL)
    return wn_fail(err, WN_E_CONFLICT, "name", "there is an experiment \"%.*s\" already", len,
                   change->name.ptr);
  if (change->kind == WN_DECLARE_NEW) return WN_OK;
  if (e == NULL)
    return wn_fail(err, WN_E_NOT_FOUND, "experiment", "no experiment \"%.*s\" is declared", len,
                   change->name.ptr);
  if (change->running && e->stopped)
    return wn_fail(err, WN_E_CONFLICT, "experiment", "%s does not run", e->name);
  if (change->kind == WN_DECLARE_FORGET && e->by_api && !e->stopped)
    return wn_fail(err, WN_E_CONFLICT, "experiment", "%s runs: stop it first", e->name);
  return WN_OK;
}

/* An invalid declaration is the sender's mistake here, and has no place in a file. */
static wn_status as(wn_status status, wn_status becomes, wn_error *err) {
  if (status != WN_E_CONFIG) return status;
  if (err != NULL) {
    err->status = becomes;
    err->file[0] = '\0';
    err->line = err->column = 0;
  }
  return becomes;
}

/* Durable, or nothing of it. */
static wn_status keep(wn_engine *engine, wn_str old, wn_str fresh, const wn_experiments *all,
                      wn_error *err) {
  wn_error ignored;
  wn_status status = wn_declared_write(engine->dir, fresh, err);
  if (status != WN_OK) return status;
  status = wn_ledger_update(engine->dir, all, wn_now_ms(), err);
  if (status != WN_OK) (void)!wn_declared_write(engine->dir, old, &ignored);
  return status;
}

/* What the file says, with what `declared` says. */
static wn_status make_policy(const wn_engine *engine, wn_str declared, wn_policy **out,
                             wn_error *err) {
  wn_status status = WN_OK;
  char name[4200];
  wn_config config = engine->config;
  WN_TRY(wn_policy_filed(engine->policy, &config, err));
  snprintf(name, sizeof name, "%s/declared.json", engine->dir);
  status = wn_config_declare(&config, declared, name, err);
  if (status == WN_OK && (*out = wn_policy_create(&config)) == NULL) status = wn_fail_memory(err);
  wn_config_clear(&config);
cleanup:
  return status;
}

wn_status wn_engine_change_experiment(wn_engine *engine, const wn_experiment_change *change,
                                      wn_error *err) {
  wn_status status = WN_OK;
  wn_policy *policy = NULL;
  wn_buf old = {0}, fresh = {0};
  wn_engine_change_begin(engine);
  WN_TRY(check_change(&engine->policy->experiments, change, err));
  WN_TRY(wn_declared_read(engine->dir, &old, err));
  WN_TRY(wn_declared_edit((wn_str){old.data, old.len}, change, &fresh, err));
  wn_str text = {fresh.data, fresh.len};
  WN_TRY(as(make_policy(engine, text, &policy, err), WN_E_ARGUMENT, err));
  const wn_experiments *all = &policy->experiments;
  WN_TRY(as(check_metrics(engine, all, err), WN_E_ARGUMENT, err));
  WN_TRY(as(wn_ledger_check(engine->dir, all, err), WN_E_CONFLICT, err));
  WN_TRY(as(wn_engine_pin(engine, all, err), WN_E_ARGUMENT, err));
  WN_TRY(keep(engine, (wn_str){old.data, old.len}, text, all, err));
  WN_TRY(wn_engine_policy_swap(engine, wn_policy_ref(policy), err));
  wn_log(WN_LOG_INFO, "experiment changed name=%.*s", WN_STR_ARG(change->name));
cleanup:
  if (status != WN_OK) wn_engine_unpin(engine, &engine->policy->experiments);
  wn_engine_change_end(engine);
  wn_policy_unref(policy);
  wn_buf_clear(&old);
  wn_buf_clear(&fresh);
  return status;
}

wn_status wn_engine_stop_experiment(wn_engine *engine, wn_str name, wn_error *err) {
  json_t *body = json_pack("{s:s, s:n}", "state", "stopped", "promoted");
  wn_experiment_change change = {.kind = WN_DECLARE_PATCH, .name = name, .body = body};
  wn_status status =
      body != NULL ? wn_engine_change_experiment(engine, &change, err) : wn_fail_memory(err);
  json_decref(body);
  return status;
}

wn_status wn_engine_promote(wn_engine *engine, const wn_experiment *e, size_t arm, wn_error *err) {
  wn_status status = WN_OK;
  bool swapped = false;
  uint64_t snapshot = e->arms[arm].snapshot;
  json_t *body = json_pack("{s:s, s:s}", "state", "stopped", "promoted", e->arms[arm].name);
  if (body == NULL) WN_TRY(wn_fail_memory(err));
  wn_experiment_change change = {
      .kind = WN_DECLARE_PATCH, .name = wn_str_of(e->name), .body = body};
  WN_TRY(wn_engine_change_experiment(engine, &change, err));
  if (snapshot != 0) {
    WN_TRY(wn_snapshot_set_current(engine->dir, snapshot, err));
    WN_TRY(wn_engine_refresh(engine, &swapped, err));
  }
cleanup:
  json_decref(body);
  return status;
}
