/* From slates and the events that answer them to sums per arm (outcome.h). Slates come in time
 * order, so a unit's day is over when a slate of a later day comes. */

#include "lab/outcome.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"
#include "store/answered.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)

typedef struct unit {
  uint32_t arm;
  wn_user_ix user;
  bool crossed, overridden, bot;
  uint8_t surface; /* of the first slate: place in segments */
  int64_t first_ms;
  int64_t day;
  uint32_t slates, day_slates;
  double day_y, day_x; /* of the primary metric */
  uint64_t step;       /* 1 + place of its last step; 0: none */
} unit;

/* What a unit has of one metric. */
typedef struct tally {
  double y, x, z;
} tally;

/* What a unit had come to by then, for looks back (wn_outcome_options.look). */
typedef struct step {
  uint64_t unit;
  int64_t time_ms;
  uint32_t slates;
} step;

typedef struct collector {
  const wn_store *store;
  const wn_experiment *experiment;
  const wn_outcome_options *options;
  wn_outcome *out;
  uint32_t types[WN_METRICS_MAX]; /* WN_NO_IX: any */
  wn_map64 by_key;                /* hash of the unit's id → place in units */
  wn_map64 by_user;               /* user → place in units */
  wn_map64 items;                 /* unit and item: taken already (DISTINCT) */
  WN_VEC(unit) units;
  WN_VEC(tally) tallies; /* units × metrics */
  WN_VEC(wn_day_outcome) days;
  WN_VEC(step) steps;
  WN_VEC(tally) step_tallies; /* steps × metrics */
  int64_t step_ms;            /* one step a unit in each such part of time */
} collector;

void wn_outcome_options_defaults(wn_outcome_options *options) {
  *options = (wn_outcome_options){.until_ms = INT64_MAX, .window_ms = DAY_MS, .before_days = 28};
}

void wn_outcome_clear(wn_outcome *outcome) {
  wn_free(outcome->days);
  wn_free(outcome->groups);
  *outcome = (wn_outcome){0};
}

static void add(wn_ratio_sums *sums, double y, double x, double z) {
  sums->n++;
  sums->y += y;
  sums->x += x;
  sums->yy += y * y;
  sums->xx += x * x;
  sums->xy += x * y;
  sums->z += z;
  sums->zz += z * z;
  sums->zy += z * y;
}

/* Days come in order, but for the units that end on an earlier one: the last few are looked at. */
static wn_day_outcome *day_of(collector *c, int64_t day, wn_error *err) {
  size_t i = c->days.len;
  while (i > 0 && c->days.data[i - 1].day > day) i--;
  if (i > 0 && c->days.data[i - 1].day == day) return &c->days.data[i - 1];
  if (!wn_vec_push(&c->days, (wn_day_outcome){0})) {
    (void)!wn_fail_memory(err);
    return NULL;
  }
  memmove(&c->days.data[i + 1], &c->days.data[i], (c->days.len - 1 - i) * sizeof *c->days.data);
  c->days.data[i] = (wn_day_outcome){.day = day};
  return &c->days.data[i];
}

static wn_status end_day(collector *c, unit *u, wn_error *err) {
  wn_day_outcome *day = day_of(c, u->day, err);
  if (day == NULL) return WN_E_MEMORY;
  add(&day->primary[u->arm], u->day_y, u->day_x, 0);
  u->day_y = u->day_x = 0;
  u->day_slates = 0;
  return WN_OK;
}

static bool starts(wn_str text, const char *with) {
  size_t len = strlen(with);
  return text.len >= len && memcmp(text.ptr, with, len) == 0;
}

static uint32_t arm_named(const wn_experiment *e, wn_str name) {
  if (e->mode != WN_MODE_SHARE) return starts(name, wn_mode_names[e->mode]) ? 0 : WN_NO_IX;
  for (size_t a = 0; a < e->arms_len; a++)
    if (wn_str_is(name, e->arms[a].name)) return (uint32_t)a;
  return WN_NO_IX;
}

static uint8_t segment_of(wn_outcome *out, wn_str surface) {
  size_t s = 0;
  while (s < out->segments_len && !wn_str_is(surface, out->segments[s].surface)) s++;
  if (s == out->segments_len && s + 1 < WN_SURFACES_MAX) {
    size_t len = surface.len < WN_NAME_MAX ? surface.len : WN_NAME_MAX;
    memcpy(out->segments[s].surface, surface.ptr, len);
    out->segments_len++;
  }
  return (uint8_t)s;
}

static wn_str unit_id(const collector *c, const wn_slate_log *slate) {
  bool session = c->experiment->unit == WN_UNIT_SESSION && slate->session.len > 0;
  return session ? slate->session : slate->user_id;
}

static bool is_overridden(const wn_experiment *e, wn_str id) {
  for (size_t i = 0; i < e->overrides_len; i++)
    if (wn_str_is(id, e->overrides[i].unit)) return true;
  return false;
}

/* Who was unknown when the slate was shown may be known since. */
static wn_user_ix user_of(const collector *c, const wn_slate_log *slate) {
  return slate->user != WN_NO_IX ? slate->user
                                 : wn_dict_find(wn_store_users(c->store), slate->user_id);
}

/* The unit of a slate, begun when it is new. */
static wn_status unit_of(collector *c, const wn_slate_log *slate, uint32_t arm, wn_str id,
                         size_t *out, wn_error *err) {
  uint64_t *at = wn_map64_at(&c->by_key, wn_hash64(id.ptr, id.len, 0));
  size_t metrics = c->experiment->metrics_len;
  if (at == NULL) return wn_fail_memory(err);
  if (*at == 0) { /* places from 1 */
    unit fresh = {.arm = arm,
                  .user = user_of(c, slate),
                  .overridden = !c->options->everyone && is_overridden(c->experiment, id),
                  .surface = segment_of(c->out, slate->surface),
                  .first_ms = slate->time_ms,
                  .day = slate->time_ms / DAY_MS};
    if (!wn_vec_reserve(&c->tallies, c->tallies.len + metrics) || !wn_vec_push(&c->units, fresh))
      return wn_fail_memory(err);
    memset(c->tallies.data + c->tallies.len, 0, metrics * sizeof(tally));
    c->tallies.len += metrics;
    *at = c->units.len;
  }
  *out = (size_t)*at - 1;
  unit *u = &c->units.data[*out];
  u->crossed = u->crossed || u->arm != arm;
  if (u->user == WN_NO_IX) u->user = user_of(c, slate);
  return WN_OK;
}

static bool counts(const collector *c, size_t metric, uint32_t type) {
  return c->types[metric] == WN_NO_IX ? c->experiment->metrics[metric].type[0] == '\0'
                                      : c->types[metric] == type;
}

/* Whether a unit did not have the item yet. */
static wn_status first_of_item(collector *c, size_t tally_place, wn_item_ix item, tally *t,
                               wn_error *err) {
  uint64_t *taken = wn_map64_at(&c->items, (uint64_t)tally_place << 32 | item);
  if (taken == NULL) return wn_fail_memory(err);
  t->y += *taken == 0;
  *taken = 1;
  return WN_OK;
}

static void count_event(const wn_metric_spec *spec, double value, tally *t) {
  switch (spec->kind) {
  case WN_METRIC_CONVERSION: t->y = 1; break;
  case WN_METRIC_COUNT:
  case WN_METRIC_RATE: t->y++; break;
  case WN_METRIC_VALUE: t->y += isnan(value) ? 0 : value; break;
  case WN_METRIC_FINISH:
    t->x += !isnan(value);
    t->y += value >= spec->value_min;
    break;
  case WN_METRIC_DISTINCT: /* first_of_item */
  case WN_METRIC_RETURN: break;
  }
}

/* The slate itself, for the metrics that count slates. */
static void count_slate(const wn_metric_spec *spec, const unit *u, int64_t time_ms, tally *t) {
  double days = (double)(time_ms - u->first_ms) / (double)DAY_MS;
  if (spec->kind == WN_METRIC_RATE) t->x++;
  bool later = time_ms / DAY_MS > u->first_ms / DAY_MS;
  if (spec->kind == WN_METRIC_RETURN && later && days <= spec->days) t->y = 1;
}

/* "interleave:0110": the team of each item; an event credits its item's. */
static void count_credit(const collector *c, const wn_slate_log *slate, const wn_answer *answers,
                         size_t len, tally *t) {
  wn_str teams = wn_assigned_find(slate->arms, c->experiment->name);
  size_t first = strlen("interleave:");
  for (size_t i = 0; i < len; i++) {
    size_t at = first + answers[i].position - 1;
    if (!counts(c, 0, answers[i].type) || answers[i].time_ms > c->options->until_ms) continue;
    if (answers[i].position == 0 || at >= teams.len) continue;
    t->x++;
    t->y += teams.ptr[at] == '1';
  }
}

/* "shadow:17/20:1:812:1034": of 20 items the shadow has 17, the same first one; microseconds. */
static void count_shadow(collector *c, const wn_slate_log *slate, tally *t) {
  char text[96];
  unsigned shared, of, first, us[2];
  wn_str value = wn_assigned_find(slate->arms, c->experiment->name);
  wn_shadow_outcome *out = &c->out->shadow;
  if (value.len >= sizeof text) return;
  out->failed += wn_str_is(value, "shadow:failed");
  snprintf(text, sizeof text, "%.*s", WN_STR_ARG(value));
  if (sscanf(text, "shadow:%u/%u:%u:%u:%u", &shared, &of, &first, &us[0], &us[1]) != 5 || of == 0)
    return;
  t->y += (double)shared / of;
  t->x++;
  out->slates++;
  out->same_first += first;
  for (int i = 0; i < 2; i++) {
    double bin = us[i] > 1 ? 4 * log2(us[i]) : 0;
    out->us[i] += us[i];
    out->bins[i][bin < WN_SHADOW_BINS - 1 ? (size_t)bin : WN_SHADOW_BINS - 1]++;
  }
}

static wn_status count_metrics(collector *c, size_t place, const wn_slate_log *slate,
                               const wn_answer *answers, size_t len, wn_error *err) {
  wn_status status = WN_OK;
  unit *u = &c->units.data[place];
  for (size_t m = 0; m < c->experiment->metrics_len; m++) {
    const wn_metric_spec *spec = &c->experiment->metrics[m];
    size_t at = place * c->experiment->metrics_len + m;
    tally *t = &c->tallies.data[at];
    tally was = *t;
    count_slate(spec, u, slate->time_ms, t);
    for (size_t i = 0; i < len; i++) {
      if (!counts(c, m, answers[i].type) || answers[i].time_ms > c->options->until_ms) continue;
      count_event(spec, answers[i].value, t);
      if (spec->kind == WN_METRIC_DISTINCT) WN_TRY(first_of_item(c, at, answers[i].item, t, err));
    }
    if (m > 0) continue;
    u->day_y += t->y - was.y;
    u->day_x += t->x - was.x;
  }
cleanup:
  return status;
}

/* One step a unit and part of time: the parts grow as the time does, so that they stay few. */
static wn_status take_step(collector *c, size_t place, int64_t time_ms, wn_error *err) {
  unit *u = &c->units.data[place];
  size_t metrics = c->experiment->metrics_len;
  int64_t since = c->out->first_ms;
  while ((time_ms - since) / c->step_ms >= WN_OUTCOME_LOOKS) c->step_ms *= 2;
  step *last = u->step > 0 ? &c->steps.data[u->step - 1] : NULL;
  if (last == NULL || (last->time_ms - since) / c->step_ms != (time_ms - since) / c->step_ms) {
    if (!wn_vec_push(&c->steps, (step){.unit = place}) ||
        !wn_vec_reserve(&c->step_tallies, c->step_tallies.len + metrics))
      return wn_fail_memory(err);
    c->step_tallies.len += metrics;
    u->step = c->steps.len;
    last = &c->steps.data[u->step - 1];
  }
  last->time_ms = time_ms;
  last->slates = u->slates;
  memcpy(c->step_tallies.data + (u->step - 1) * metrics, c->tallies.data + place * metrics,
         metrics * sizeof(tally));
  return WN_OK;
}

static wn_status take_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                            size_t len, wn_error *err) {
  collector *c = ctx;
  wn_status status = WN_OK;
  size_t place = 0;
  uint32_t arm = 0;
  if (slate->time_ms > c->options->until_ms) return WN_OK;
  if (!c->options->everyone) {
    arm = arm_named(c->experiment, wn_assigned_find(slate->arms, c->experiment->name));
  } else {
    bool ours = false;
    for (size_t s = 0; s < c->experiment->surfaces_len; s++)
      ours = ours || wn_str_is(slate->surface, c->experiment->surfaces[s]);
    if (!ours) return WN_OK;
  }
  if (arm == WN_NO_IX) return WN_OK;
  wn_str id = unit_id(c, slate);
  if (id.len == 0) {
    c->out->erased_slates++;
    return WN_OK;
  }
  WN_TRY(unit_of(c, slate, arm, id, &place, err));
  unit *u = &c->units.data[place];
  if (slate->time_ms / DAY_MS != u->day) {
    WN_TRY(end_day(c, u, err));
    u->day = slate->time_ms / DAY_MS;
  }
  u->slates++;
  u->bot = u->bot || ++u->day_slates > WN_BOT_SLATES;
  if (c->out->first_ms == 0) c->out->first_ms = slate->time_ms;
  c->out->last_ms = slate->time_ms;
  if (c->experiment->mode == WN_MODE_SHARE)
    WN_TRY(count_metrics(c, place, slate, answers, len, err));
  else if (c->experiment->mode == WN_MODE_INTERLEAVE)
    count_credit(c, slate, answers, len, &c->tallies.data[place * c->experiment->metrics_len]);
  else
    count_shadow(c, slate, &c->tallies.data[place * c->experiment->metrics_len]);
  if (c->options->look != NULL) WN_TRY(take_step(c, place, slate->time_ms, err));
cleanup:
  return status;
}

/* What the same users did before, by the same rule without slates. */
static wn_status take_before(void *ctx, const wn_stored_event *event, wn_error *err WN_UNUSED) {
  collector *c = ctx;
  int64_t from = c->options->since_ms - (int64_t)(c->options->before_days * (double)DAY_MS);
  if (event->time_ms < from || event->time_ms >= c->options->since_ms) return WN_OK;
  const uint64_t *at = wn_map64_find(&c->by_user, event->user);
  if (at == NULL) return WN_OK;
  for (size_t m = 0; m < c->experiment->metrics_len; m++) {
    const wn_metric_spec *spec = &c->experiment->metrics[m];
    tally *t = &c->tallies.data[*at * c->experiment->metrics_len + m];
    tally before = {.y = t->z};
    if (!c->out->with_before[m] || !counts(c, m, event->type)) continue;
    count_event(spec, event->value, &before);
    if (spec->kind == WN_METRIC_DISTINCT) before.y++; /* events stand for items */
    t->z = before.y;
  }
  return WN_OK;
}

static wn_status look_before(collector *c, wn_store *store, wn_error *err) {
  wn_status status = WN_OK;
  bool any = false;
  if (c->experiment->mode != WN_MODE_SHARE || c->experiment->unit != WN_UNIT_USER ||
      !(c->options->before_days > 0))
    return WN_OK;
  for (size_t m = 0; m < c->experiment->metrics_len; m++) {
    wn_metric_kind kind = c->experiment->metrics[m].kind;
    c->out->with_before[m] = kind == WN_METRIC_CONVERSION || kind == WN_METRIC_COUNT ||
                             kind == WN_METRIC_VALUE || kind == WN_METRIC_DISTINCT;
    any = any || c->out->with_before[m];
  }
  for (size_t i = 0; any && i < c->units.len; i++) {
    if (c->units.data[i].user == WN_NO_IX) continue;
    uint64_t *at = wn_map64_at(&c->by_user, c->units.data[i].user);
    if (at == NULL) WN_TRY(wn_fail_memory(err));
    *at = i;
  }
  if (any) WN_TRY(wn_store_scan_events(store, 0, 0, take_before, c, err));
cleanup:
  return status;
}

static void sum_unit(collector *c, size_t place) {
  unit *u = &c->units.data[place];
  wn_arm_outcome *arm = &c->out->arms[u->arm];
  arm->units++;
  arm->slates += u->slates;
  if (u->surface < c->out->segments_len) c->out->segments[u->surface].units[u->arm]++;
  if (c->experiment->mode != WN_MODE_SHARE) {
    const tally *t = &c->tallies.data[place * c->experiment->metrics_len];
    bool shadow = c->experiment->mode == WN_MODE_SHADOW;
    if (t->x > 0) add(shadow ? &c->out->shadow.agreement : &arm->metrics[0], t->y, t->x, 0);
    return;
  }
  for (size_t m = 0; m < c->experiment->metrics_len; m++) {
    const wn_metric_spec *spec = &c->experiment->metrics[m];
    const tally *t = &c->tallies.data[place * c->experiment->metrics_len + m];
    bool ratio = spec->kind == WN_METRIC_RATE || spec->kind == WN_METRIC_FINISH;
    double seen_days = (double)(c->out->last_ms - u->first_ms) / (double)DAY_MS;
    if (spec->kind == WN_METRIC_RETURN && seen_days < spec->days) continue; /* too young */
    add(&arm->metrics[m], t->y, ratio ? t->x : 1, t->z);
  }
}

/* Sums over the units that count. Those of the days hold bots and the like, too: they were summed
 * before it was known. */
static wn_status sum_up(collector *c, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t i = 0; i < c->units.len; i++) {
    unit *u = &c->units.data[i];
    WN_TRY(end_day(c, u, err));
    c->out->overridden += u->overridden;
    c->out->crossed += u->crossed && !u->overridden;
    c->out->bots += u->bot && !u->crossed && !u->overridden;
    if (u->overridden || u->crossed || u->bot) continue;
    wn_day_outcome *day = day_of(c, u->first_ms / DAY_MS, err);
    if (day == NULL) return WN_E_MEMORY;
    day->new_units[u->arm]++;
    sum_unit(c, i);
  }
cleanup:
  return status;
}

/* ---- looks back ---- */

/* All units as they were at the end of the step; those whose first one is yet to come have no
 * slate. */
static wn_status look_back(collector *c, int64_t until_ms, wn_error *err) {
  wn_outcome *whole = c->out;
  wn_outcome then = {.first_ms = whole->first_ms, .last_ms = until_ms};
  memcpy(then.with_before, whole->with_before, sizeof then.with_before);
  memcpy(then.without_events, whole->without_events, sizeof then.without_events);
  c->out = &then;
  for (size_t i = 0; i < c->units.len; i++) {
    const unit *u = &c->units.data[i];
    if (u->slates > 0 && !u->overridden && !u->crossed && !u->bot) sum_unit(c, i);
  }
  c->out = whole;
  return c->options->look(c->options->look_ctx, until_ms, &then, err);
}

/* Plays the steps again. They are in the order of their parts of time, though not within one. */
static wn_status play_steps(collector *c, wn_error *err) {
  wn_status status = WN_OK;
  size_t metrics = c->experiment->metrics_len, at = 0;
  int64_t since = c->out->first_ms, end = since;
  for (size_t i = 0; i < c->units.len; i++) c->units.data[i].slates = 0;
  for (size_t i = 0; i < c->tallies.len; i++) c->tallies.data[i].x = c->tallies.data[i].y = 0;
  while (at < c->steps.len) {
    end += c->step_ms;
    for (; at < c->steps.len && c->steps.data[at].time_ms < end; at++) {
      const step *s = &c->steps.data[at];
      c->units.data[s->unit].slates = s->slates;
      for (size_t m = 0; m < metrics; m++) { /* z is of before: known all the time */
        tally *t = &c->tallies.data[s->unit * metrics + m];
        t->y = c->step_tallies.data[at * metrics + m].y;
        t->x = c->step_tallies.data[at * metrics + m].x;
      }
    }
    WN_TRY(look_back(c, end < c->out->last_ms ? end : c->out->last_ms, err));
  }
cleanup:
  return status;
}

/* Sizes of the arms by what is known of the users. */
static wn_status group_units(collector *c, wn_store *store, wn_error *err) {
  size_t len = 0;
  if (c->options->everyone) return WN_OK;
  wn_counted_unit *counted = wn_reallocarray(NULL, c->units.len + 1, sizeof *counted);
  if (counted == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < c->units.len; i++) {
    const unit *u = &c->units.data[i];
    if (u->overridden || u->crossed || u->bot || u->user == WN_NO_IX) continue;
    counted[len++] = (wn_counted_unit){u->user, u->arm};
  }
  wn_status status = wn_outcome_group(store, c->experiment, counted, len, c->out, err);
  wn_free(counted);
  return status;
}

static void find_types(collector *c, wn_store *store) {
  for (size_t m = 0; m < c->experiment->metrics_len; m++) {
    const char *type = c->experiment->metrics[m].type;
    c->types[m] = WN_NO_IX;
    if (type[0] == '\0') continue;
    c->types[m] = wn_dict_find(wn_store_types(store), wn_str_of(type));
    c->out->without_events[m] = c->types[m] == WN_NO_IX;
  }
}

wn_status wn_outcome_collect(wn_store *store, const wn_experiment *experiment,
                             const wn_outcome_options *options, wn_outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  collector c = {
      .store = store, .experiment = experiment, .options = options, .out = out, .step_ms = 1000};
  wn_answered_options answered = {.since_ms = options->since_ms, .window_ms = options->window_ms};
  *out = (wn_outcome){0};
  wn_map64_init(&c.by_key);
  wn_map64_init(&c.by_user);
  wn_map64_init(&c.items);
  find_types(&c, store);
  WN_TRY(wn_store_scan_answered(store, &answered, take_slate, &c, err));
  WN_TRY(look_before(&c, store, err));
  WN_TRY(sum_up(&c, err));
  WN_TRY(group_units(&c, store, err));
  out->days = c.days.data;
  out->days_len = c.days.len;
  c.days.data = NULL;
  if (options->look != NULL) WN_TRY(play_steps(&c, err));
cleanup:
  wn_vec_clear(&c.steps);
  wn_vec_clear(&c.step_tallies);
  wn_vec_clear(&c.units);
  wn_vec_clear(&c.tallies);
  wn_vec_clear(&c.days);
  wn_map64_clear(&c.by_key);
  wn_map64_clear(&c.by_user);
  wn_map64_clear(&c.items);
  return status;
}
