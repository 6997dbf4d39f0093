#include "lab/world.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

#define ENOUGH     0.5 /* a satisfied click ends the visit */
#define ACTIVITY   1.0 /* standard deviation of log activity */
#define WAVE_DAYS  28.0
#define OLD_DAYS   60.0 /* items that are there at the beginning were born within so many */
#define FINISH_WON 2.0

void wn_world_options_defaults(wn_world_options *options) {
  *options = (wn_world_options){.users = 1000, .items = 500, .seed = 1};
}

static void normalise(float *v, uint32_t topics) {
  double sum = 0;
  for (size_t d = 0; d < topics; d++) sum += (double)v[d] * (double)v[d];
  for (size_t d = 0; d < topics && sum > 0; d++) v[d] = (float)((double)v[d] / sqrt(sum));
}

static void make_users(wn_world *w, wn_rng *rng) {
  double sum = 0;
  for (size_t u = 0; u < w->options.users; u++) {
    float *taste = w->user_taste + u * w->topics;
    for (size_t d = 0; d < w->topics; d++) { /* Gamma(½)-like: a few topics dominate */
      double z = wn_rng_normal(rng);
      taste[d] = (float)(z * z * z * z + 0.01);
    }
    normalise(taste, w->topics);
    w->activity[u] = exp(ACTIVITY * wn_rng_normal(rng));
    sum += w->activity[u];
  }
  for (size_t u = 0; u < w->options.users; u++) w->activity[u] /= sum;
}

static void make_items(wn_world *w, wn_rng *rng) {
  for (size_t i = 0; i < w->options.items; i++) {
    float *taste = w->item_taste + i * w->topics;
    w->main_topic[i] = (uint8_t)wn_rng_below(rng, w->topics);
    for (size_t d = 0; d < w->topics; d++)
      taste[d] = (float)(0.25 * fabs(wn_rng_normal(rng)) + (d == w->main_topic[i] ? 1 : 0));
    normalise(taste, w->topics);
  }
}

static void make_lives(wn_world *w, wn_rng *rng) {
  for (size_t i = 0; i < w->options.items; i++) {
    w->quality[i] = (float)wn_rng_normal(rng);
    w->bait[i] = (float)wn_rng_normal(rng);
    w->length[i] = (float)wn_rng_normal(rng);
    bool late = wn_rng_double(rng) < w->options.born_share;
    double at = wn_rng_double(rng);
    w->born[i] = (float)(late ? at * w->options.days : -at * OLD_DAYS);
  }
}

wn_status wn_world_create_blank(const wn_world_options *options, uint32_t topics, wn_world *out,
                                wn_error *err) {
  wn_rng rng;
  size_t users = options->users, items = options->items;
  *out = (wn_world){.options = *options, .topics = topics, .scale = 1};
  if (users == 0 || items == 0 || topics == 0 || topics > WN_WORLD_TOPICS_MAX)
    return wn_fail(err, WN_E_ARGUMENT,
                   users == 0   ? "users"
                   : items == 0 ? "items"
                                : "topics",
                   "a world has at least one, and at most %d topics", WN_WORLD_TOPICS_MAX);
  out->user_taste = wn_calloc(users * topics, sizeof(float));
  out->item_taste = wn_calloc(items * topics, sizeof(float));
  out->quality = wn_calloc(items, sizeof(float));
  out->bait = wn_calloc(items, sizeof(float));
  out->length = wn_calloc(items, sizeof(float));
  out->born = wn_calloc(items, sizeof(float));
  out->activity = wn_calloc(users, sizeof(double));
  out->main_topic = wn_calloc(items, 1);
  if (out->user_taste == NULL || out->item_taste == NULL || out->quality == NULL ||
      out->bait == NULL || out->length == NULL || out->born == NULL || out->activity == NULL ||
      out->main_topic == NULL) {
    wn_world_clear(out);
    return wn_fail_memory(err);
  }
  wn_rng_seed(&rng, wn_mix64(options->seed));
  make_lives(out, &rng);
  return WN_OK;
}

wn_status wn_world_create(const wn_world_options *options, wn_world *out, wn_error *err) {
  wn_rng rng;
  wn_status status = wn_world_create_blank(options, WN_WORLD_TOPICS, out, err);
  if (status != WN_OK) return status;
  wn_rng_seed(&rng, options->seed);
  make_items(out, &rng); /* first: the same ones however many users there are */
  make_users(out, &rng);
  return WN_OK;
}

void wn_world_clear(wn_world *w) {
  wn_free(w->user_taste);
  wn_free(w->item_taste);
  wn_free(w->quality);
  wn_free(w->bait);
  wn_free(w->length);
  wn_free(w->born);
  wn_free(w->activity);
  wn_free(w->main_topic);
  *w = (wn_world){0};
}

static double match(const wn_world *w, uint32_t user, uint32_t item) {
  const float *u = w->user_taste + (size_t)user * w->topics;
  const float *v = w->item_taste + (size_t)item * w->topics;
  double sum = 0;
  for (size_t d = 0; d < w->topics; d++) sum += (double)u[d] * (double)v[d];
  return fmin(fmax((double)w->scale * sum + (double)w->offset, 0), 1);
}

static double logistic(double x) {
  return 1 / (1 + exp(-x));
}

bool wn_world_alive(const wn_world *w, uint32_t item, double day) {
  double age = day - (double)w->born[item];
  return age >= 0 && (w->options.life_days <= 0 || age < w->options.life_days);
}

double wn_world_click(const wn_world *w, const wn_visitor *v, uint32_t item) {
  const wn_world_options *o = &w->options;
  if (o->once && v->taken != NULL && wn_bitset_test(v->taken, item)) return 0;
  double x = -2.2 + 4 * (match(w, v->user, item) - 0.5) + o->bait_pull * (double)w->bait[item];
  if (o->ageing > 0) x -= o->ageing * fmax(0, v->day - (double)w->born[item]);
  if (o->trend > 0)
    x += o->trend *
         sin(2 * M_PI * (v->day / WAVE_DAYS + (double)w->main_topic[item] / (double)w->topics));
  return logistic(x);
}

double wn_world_satisfied(const wn_world *w, uint32_t user, uint32_t item) {
  return logistic(0.5 + 2 * (match(w, user, item) - 0.5) + (double)w->quality[item] -
                  w->options.bait_cost * (double)w->bait[item]);
}

static wn_browsed click_on(const wn_world *w, uint32_t user, uint32_t item, wn_rng *rng) {
  const wn_world_options *o = &w->options;
  wn_browsed b = {.clicked = true};
  b.satisfied = wn_rng_double(rng) < wn_world_satisfied(w, user, item);
  b.finished = b.satisfied;
  if (o->trap > 0)
    b.finished = wn_rng_double(rng) < logistic((b.satisfied ? FINISH_WON : -FINISH_WON) -
                                               o->trap * (double)w->length[item]);
  if (o->likes > 0) b.liked = b.satisfied && wn_rng_double(rng) < o->likes;
  return b;
}

void wn_world_browse(const wn_world *w, const wn_visitor *v, const uint32_t *items, size_t len,
                     wn_rng *rng, wn_browsed *out) {
  memset(out, 0, len * sizeof *out);
  for (size_t k = 0; k < len; k++) {
    if (k > 0 && wn_rng_double(rng) >= WN_WORLD_LOOK_ON) return;
    if (wn_rng_double(rng) >= wn_world_click(w, v, items[k])) continue;
    out[k] = click_on(w, v->user, items[k], rng);
    if (out[k].satisfied && wn_rng_double(rng) < ENOUGH) return;
  }
}

double wn_world_value(const wn_world *w, const wn_visitor *v, const uint32_t *items, size_t len) {
  double value = 0, looking = 1;
  for (size_t k = 0; k < len; k++) {
    double both = wn_world_click(w, v, items[k]) * wn_world_satisfied(w, v->user, items[k]);
    value += looking * both;
    looking *= WN_WORLD_LOOK_ON * (1 - ENOUGH * both);
  }
  return value;
}

double wn_world_any_click(const wn_world *w, const wn_visitor *v, const uint32_t *items,
                          size_t len) {
  double none = 0, looking = 1; /* and nothing clicked so far */
  for (size_t k = 0; k < len; k++) {
    if (k > 0) none += looking * (1 - WN_WORLD_LOOK_ON);
    if (k > 0) looking *= WN_WORLD_LOOK_ON;
    looking *= 1 - wn_world_click(w, v, items[k]);
  }
  return 1 - none - looking;
}

size_t wn_world_best(const wn_world *w, const wn_visitor *v, uint32_t *items, size_t len,
                     double *scratch) {
  size_t count = w->options.items, k = 0;
  for (uint32_t i = 0; i < count; i++)
    scratch[i] = wn_world_alive(w, i, v->day)
                     ? wn_world_click(w, v, i) * wn_world_satisfied(w, v->user, i)
                     : -1;
  for (; k < len && k < count; k++) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
      if (scratch[i] > scratch[best]) best = i;
    if (scratch[best] < 0) break;
    items[k] = best;
    scratch[best] = -1;
  }
  return k;
}

void wn_world_drift(wn_world *w, uint32_t user, uint32_t item) {
  float *u = w->user_taste + (size_t)user * w->topics;
  const float *v = w->item_taste + (size_t)item * w->topics;
  double before = 0;
  if (w->options.drift <= 0) return;
  for (size_t d = 0; d < w->topics; d++) before += (double)u[d] * (double)u[d];
  for (size_t d = 0; d < w->topics; d++) u[d] += (float)w->options.drift * v[d];
  normalise(u, w->topics);
  for (size_t d = 0; d < w->topics; d++) u[d] *= (float)sqrt(before);
}
