/* How many units of each arm there are of each value of users' attributes: an assignment that loses
 * users of one country or one device is seen there first. Strings and booleans; a number has too
 * many values to be a group. Attributes are those of now: one that an arm changes (a plan that is
 * bought) differs between the arms and is no fault, so an experiment can name those to go by. */
#include "lab/outcome.h"

#include "base/dict.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct grouping {
  const wn_experiment *experiment;
  const wn_counted_unit *units; /* ascending by user */
  size_t len;
  wn_outcome *out;
  wn_dict *names; /* → place in out->groups */
} grouping;

static int by_user(const void *left, const void *right) {
  const wn_counted_unit *a = left, *b = right;
  return (a->user > b->user) - (a->user < b->user);
}

static size_t first_of(const grouping *g, wn_user_ix user) {
  size_t low = 0, high = g->len;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (g->units[mid].user < user)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static bool is_wanted(const wn_experiment *e, const wn_attr *attr) {
  bool is_group = attr->kind == WN_ATTR_BOOL || attr->kind == WN_ATTR_STRING;
  if (!is_group || attr->name.len > WN_NAME_MAX || attr->string.len > WN_NAME_MAX) return false;
  for (size_t s = 0; s < e->segments_len; s++)
    if (wn_str_is(attr->name, e->segments[s])) return true;
  return !e->segments_given;
}

/* NULL: there are too many, or no memory (which `err` tells). */
static wn_group_outcome *group_of(grouping *g, const wn_attr *attr, wn_error *err) {
  char name[2 * WN_NAME_MAX + 2];
  bool added;
  uint32_t at;
  wn_str value = attr->string;
  if (attr->kind == WN_ATTR_BOOL) value = wn_str_of(attr->boolean ? "true" : "false");
  snprintf(name, sizeof name, "%.*s=%.*s", WN_STR_ARG(attr->name), WN_STR_ARG(value));
  at = wn_dict_find(g->names, wn_str_of(name));
  if (at != WN_NO_IX) return &g->out->groups[at];
  if (g->out->groups_len == WN_GROUPS_MAX) return NULL;
  if (wn_dict_add(g->names, wn_str_of(name), &at, &added) != WN_OK) {
    (void)!wn_fail_memory(err);
    return NULL;
  }
  memcpy(g->out->groups[at].name, name, sizeof name);
  g->out->groups_len = at + 1;
  return &g->out->groups[at];
}

static wn_status take_user(void *ctx, wn_user_ix ix, const wn_user_record *user, wn_error *err) {
  grouping *g = ctx;
  size_t first = first_of(g, ix);
  if (first == g->len || g->units[first].user != ix) return WN_OK;
  for (size_t a = 0; a < user->attrs.len; a++) {
    const wn_attr *attr = &user->attrs.data[a];
    if (!is_wanted(g->experiment, attr)) continue;
    wn_group_outcome *group = group_of(g, attr, err);
    if (group == NULL && g->out->groups_len < WN_GROUPS_MAX) return WN_E_MEMORY;
    for (size_t i = first; group != NULL && i < g->len && g->units[i].user == ix; i++)
      group->units[g->units[i].arm]++;
  }
  return WN_OK;
}

wn_status wn_outcome_group(wn_store *store, const wn_experiment *experiment, wn_counted_unit *units,
                           size_t len, wn_outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  grouping g = {.experiment = experiment, .units = units, .len = len, .out = out};
  if (len == 0 || (experiment->segments_given && experiment->segments_len == 0)) return WN_OK;
  qsort(units, len, sizeof *units, by_user);
  out->groups = wn_calloc(WN_GROUPS_MAX, sizeof *out->groups);
  g.names = wn_dict_create();
  if (out->groups == NULL || g.names == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_store_scan_users(store, take_user, &g, err));
cleanup:
  wn_dict_free(g.names);
  return status;
}
