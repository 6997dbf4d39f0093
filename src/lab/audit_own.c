/* Propensities of our own impressions. Candidates differ by user, filter and time, so an item
 * cannot always be shown, and E[1{shown}/p] is the share of requests that could have shown it: at
 * most 1. More than 1 beyond chance means that propensities are too small. Too great ones are found
 * by `winnow check model`, which asks the policy itself again (serve/behaviour_log.c).
 *
 * Policies differ between surfaces and arms, so each has a check of its own. Cost: a pass for each
 * group, the 8 that came first; memory 24 bytes an item and place. */
#include "lab/audit_internal.h"

#include "base/mem.h"
#include "lab/own_log.h"

#include <stdio.h>

#define GROUPS_MAX 8

typedef struct group {
  const wn_own_slate *first;
  size_t slates;
} group;

static bool alike(const wn_own_slate *a, const wn_own_slate *b) {
  return wn_str_equal(a->surface, b->surface) && wn_str_equal(a->arms, b->arms);
}

/* Those met first; what is beyond room is not looked at. */
static size_t find_groups(const wn_own_log *own, group *groups) {
  size_t len = 0;
  for (size_t s = 0; s < own->slates.len; s++) {
    size_t g = 0;
    while (g < len && !alike(groups[g].first, &own->slates.data[s])) g++;
    if (g == GROUPS_MAX) continue;
    if (g == len) groups[len++] = (group){&own->slates.data[s], 0};
    groups[g].slates++;
  }
  return len;
}

wn_status wn_audit_own_propensities(const wn_own_log *own, wn_audit *out, wn_error *err) {
  group groups[GROUPS_MAX];
  size_t len = find_groups(own, groups);
  wn_status status = WN_OK;
  for (size_t g = 0; g < len && status == WN_OK; g++) {
    wn_logged part = {.items = own->log.items, .borrowed = true, .positions = own->log.positions};
    const wn_own_slate *first = groups[g].first;
    char of[200];
    for (size_t r = 0; r < own->log.rows.len && status == WN_OK; r++) {
      const wn_logged_row *row = &own->log.rows.data[r];
      if (alike(first, &own->slates.data[row->decision]) && !wn_vec_push(&part.rows, *row))
        status = wn_fail_memory(err);
    }
    snprintf(of, sizeof of, "surface %.*s%s%.*s, %zu slates: ", WN_STR_ARG(first->surface),
             first->arms.len > 0 ? ", arm " : "",
             (int)(first->arms.len > 80 ? 80 : first->arms.len),
             first->arms.len > 0 ? first->arms.ptr : "", groups[g].slates);
    if (status == WN_OK) status = wn_audit_propensities(&part, of, true, out, err);
    wn_vec_clear(&part.rows);
  }
  if (status == WN_OK && own->bad_propensities > 0)
    wn_audit_add(out, "propensities", WN_GUARD_FAIL,
                 (uint64_t[]){own->bad_propensities, own->slates.len + own->bad_propensities},
                 "slates with a propensity outside (0, 1]");
  return status;
}
