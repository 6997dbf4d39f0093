/* The table of families: names, widths, names of columns. feature_rows.c and feature_extra.c fill
 * them. */
#include "model/feature.h"
#include "model/feature_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const joint_names[] = {"opinions that name it", "best place", "sum of places"};
static const char *const echo_names[] = {"sum", "most", "fading sum", "items that name it",
                                         "steps to the newest that names it"};
static const char *const near_names[] = {"newest", "nearest of ten", "mean of ten"};
static const char *const crowd_names[] = {"users who took it", "against the newest ten's",
                                          "their place in a history", "against this history's"};
static const char *const pulse_names[] = {
    "1 h", "1 d", "7 d", "28 d", "1 h of its 1 d", "1 d of its 7 d", "7 d of its 28 d"};
static const char *const taste_names[] = {"share of the history", "share of the newest ten",
                                          "like the newest item", "fading share of the history"};
static const char *const own_names[] = {"weight", "hours since"};
static const char *const user_names[] = {"items of the history", "items of the last session",
                                         "hours since the last event"};
static const char *const shown_names[] = {"click-through against its places'", "conversion",
                                          "impressions"};
static const char *const position_names[] = {"shown at"};
static const char *const pair_names[] = {"sum", "most", "fading sum"};
static const char *const text_names[] = {"newest", "nearest of ten", "the profile"};
static const char *const impression_names[] = {"times in vain", "fading times", "hours since"};
static const char *const context_names[] = {"value", "answers", "answers to the item"};
static const char *const moment_names[] = {"hour", "weekday"};

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

/* What a family has columns of. */
typedef enum per {
  PER_SET,
  PER_OPINION,
  PER_ECHO,
  PER_NEAR,
  PER_ATTRIBUTE,
  PER_PAIR,
  PER_CONTEXT
} per;

typedef struct family {
  const char *name, *doc;
  per per;
  const char *const *names;
  uint32_t len;
} family;

static const char *const place_names[] = {"place"}, *const score_names[] = {"score"};
static const char *const age_names[] = {"days since it is there"};
static const char *const price_names[] = {"against the history's median"};

static const family families[WN_FEATURE_FAMILIES] = {
    [WN_FEATURES_PLACE] = {"place", "rank in each model's list", PER_OPINION, place_names, 1},
    [WN_FEATURES_SCORE] = {"score", "standardised score in each list", PER_OPINION, score_names, 1},
    [WN_FEATURES_JOINT] = {"joint", "what all lists say together", PER_SET, joint_names,
                           COUNT(joint_names)},
    [WN_FEATURES_ECHO] = {"echo", "what each of the newest ten items suggests", PER_ECHO,
                          echo_names, COUNT(echo_names)},
    [WN_FEATURES_NEAR] = {"near", "cosine to the newest items", PER_NEAR, near_names,
                          COUNT(near_names)},
    [WN_FEATURES_CROWD] = {"crowd", "how many took it, and how early in their history", PER_SET,
                           crowd_names, COUNT(crowd_names)},
    [WN_FEATURES_PULSE] = {"pulse", "how many took it lately, and ratios", PER_SET, pulse_names,
                           COUNT(pulse_names)},
    [WN_FEATURES_AGE] = {"age", "of the item", PER_SET, age_names, COUNT(age_names)},
    [WN_FEATURES_TASTE] = {"taste", "values of attributes shared with the history", PER_ATTRIBUTE,
                           taste_names, COUNT(taste_names)},
    [WN_FEATURES_PRICE] = {"price", "against what the user takes", PER_SET, price_names,
                           COUNT(price_names)},
    [WN_FEATURES_OWN] = {"own", "the user's past with this item", PER_SET, own_names,
                         COUNT(own_names)},
    [WN_FEATURES_USER] = {"user", "how much is known of the user, and how lately", PER_SET,
                          user_names, COUNT(user_names)},
    [WN_FEATURES_SHOWN] = {"shown", "what came of showing the item, as of training", PER_SET,
                           shown_names, COUNT(shown_names)},
    [WN_FEATURES_POSITION] = {"position", "place in the slate; the first when serving", PER_SET,
                              position_names, COUNT(position_names)},
    [WN_FEATURES_MOMENT] = {"moment", "hour and weekday of the request, UTC", PER_SET, moment_names,
                            COUNT(moment_names)},
    [WN_FEATURES_PAIR] = {"pair", "co-visitation of each pair of levels of signals", PER_PAIR,
                          pair_names, COUNT(pair_names)},
    [WN_FEATURES_TEXT] = {"text", "cosine of texts and attributes to the history", PER_SET,
                          text_names, COUNT(text_names)},
    [WN_FEATURES_IMPRESSION] = {"impression", "how often this user was shown the item in vain",
                                PER_SET, impression_names, COUNT(impression_names)},
    [WN_FEATURES_CONTEXT] = {"context", "what the request says of itself, and what comes of it",
                             PER_CONTEXT, context_names, COUNT(context_names)},
};

const char *wn_feature_family_name(unsigned f) {
  return f < WN_FEATURE_FAMILIES ? families[f].name : NULL;
}
const char *wn_feature_family_doc(unsigned f) {
  return f < WN_FEATURE_FAMILIES ? families[f].doc : NULL;
}

static wn_status family_of(wn_str name, uint32_t *bit, wn_error *err) {
  char known[300] = "";
  size_t at = 0;
  for (unsigned f = 0; f < WN_FEATURE_FAMILIES; f++) {
    if (f == WN_FEATURES_POSITION) continue; /* objectives ask for it */
    *bit = 1u << f;
    if (wn_str_is(name, families[f].name)) return WN_OK;
    if (at < sizeof known)
      at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", f > 0 ? ", " : "",
                             families[f].name);
  }
  return wn_fail(err, WN_E_ARGUMENT, "features",
                 "unknown features \"%.*s\"; there are: %s, alone or with - or + before them",
                 (int)(name.len < 40 ? name.len : 40), name.ptr, known);
}

wn_status wn_feature_families_parse(const char *text, uint32_t *out, wn_error *err) {
  uint32_t only = 0, more = 0, less = 0;
  for (const char *at = text; *at != '\0';) {
    size_t len = strcspn(at, ",");
    wn_str name = wn_str_trim((wn_str){at, len});
    uint32_t bit, *into = &only;
    if (name.len > 0 && (name.ptr[0] == '-' || name.ptr[0] == '+')) {
      into = name.ptr[0] == '-' ? &less : &more;
      name = wn_str_trim((wn_str){name.ptr + 1, name.len - 1});
    }
    wn_status status = family_of(name, &bit, err);
    if (status != WN_OK) return status;
    *into |= bit;
    at += len + (at[len] == ',');
  }
  *out = ((only != 0 ? only : WN_FEATURES_DEFAULT) | more) & ~less;
  if (*out == 0) return wn_fail(err, WN_E_ARGUMENT, "features", "none are left");
  return WN_OK;
}

static bool counts(const wn_opinion *o, per of) {
  return of == PER_OPINION || (of == PER_ECHO && (o->flags & WN_OPINION_ECHO) != 0) ||
         (of == PER_NEAR && (o->flags & WN_OPINION_NEAR) != 0);
}

static uint32_t groups_of(const wn_feature_set *set, per of) {
  uint32_t n = 0;
  if (of == PER_SET) return 1;
  if (of == PER_ATTRIBUTE) return set->attrs;
  if (of == PER_PAIR) return (uint32_t)set->levels * set->levels;
  if (of == PER_CONTEXT) return set->contexts;
  for (uint32_t o = 0; o < set->opinions; o++) n += counts(&set->opinion[o], of);
  return n;
}

uint32_t wn_features_begin(const wn_feature_set *set, unsigned f) {
  uint32_t at = 0;
  for (unsigned i = 0; i < f && i < WN_FEATURE_FAMILIES; i++)
    if ((set->families >> i & 1) != 0) at += groups_of(set, families[i].per) * families[i].len;
  return at;
}

uint32_t wn_features_count(const wn_feature_set *set) {
  return wn_features_begin(set, WN_FEATURE_FAMILIES);
}

/* The opinion that the family's group number `group` is of. */
static const wn_opinion *opinion_of(const wn_feature_set *set, per of, uint32_t group) {
  for (uint32_t o = 0; o < set->opinions; o++)
    if (counts(&set->opinion[o], of) && group-- == 0) return &set->opinion[o];
  return &set->opinion[0];
}

const char *wn_feature_name(const wn_feature_set *set, const wn_item_facts *facts, uint32_t at,
                            char *buf, size_t size) {
  unsigned f = 0;
  while (f + 1 < WN_FEATURE_FAMILIES && wn_features_begin(set, f + 1) <= at) f++;
  const family *of = &families[f];
  uint32_t column = at - wn_features_begin(set, f), group = column / of->len;
  const char *name = of->names[column % of->len];
  if (of->per == PER_SET) {
    snprintf(buf, size, "%s: %s", of->name, name);
  } else if (of->per == PER_ATTRIBUTE) {
    snprintf(buf, size, "%s of %s: %s", of->name, facts->head.attr[group], name);
  } else if (of->per == PER_PAIR) {
    snprintf(buf, size, "%s, level %" PRIu32 " to %" PRIu32 ": %s", of->name, group / set->levels,
             group % set->levels, name);
  } else if (of->per == PER_CONTEXT) {
    snprintf(buf, size, "%s %s: %s", of->name, facts->head.context[group], name);
  } else {
    const wn_opinion *o = opinion_of(set, of->per, group);
    char newest[24] = "";
    if (o->newest > 0) snprintf(newest, sizeof newest, ", newest %" PRIu32, o->newest);
    snprintf(buf, size, "%s in %s%s%s%s", of->name, o->model, newest, of->len > 1 ? ": " : "",
             of->len > 1 ? name : "");
  }
  return buf;
}

wn_status wn_feature_set_check(const wn_feature_set *set, const char *section, wn_error *err) {
  if (set->version != WN_FEATURES_VERSION)
    return wn_fail(err, WN_E_CORRUPT, section,
                   "features of version %" PRIu32 ", this build makes version %d: train again",
                   set->version, WN_FEATURES_VERSION);
  if (set->families >> WN_FEATURE_FAMILIES != 0 || set->opinions > WN_OPINIONS_MAX ||
      set->depth < 1 || set->depth > WN_OPINION_DEPTH_MAX || set->attrs > WN_FACTS_ATTRS ||
      set->levels > WN_SIGNAL_LEVEL_MAX + 1 || set->contexts > WN_FACTS_CONTEXTS)
    return wn_fail(err, WN_E_CORRUPT, section, "%" PRIu32 " opinions, lists of %" PRIu32,
                   set->opinions, set->depth);
  for (uint32_t o = 0; o < set->opinions; o++)
    if (memchr(set->opinion[o].model, '\0', sizeof set->opinion[o].model) == NULL)
      return wn_fail(err, WN_E_CORRUPT, section, "the name of opinion %" PRIu32 " has no end", o);
  if (wn_features_count(set) > WN_FEATURES_MAX)
    return wn_fail(err, WN_E_CORRUPT, section, "%" PRIu32 " features", wn_features_count(set));
  return WN_OK;
}
