#include "lab/world.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

#define LOOK_ON  0.85 /* at the next place */
#define ENOUGH   0.5  /* a satisfied click ends the visit */
#define ACTIVITY 1.0  /* standard deviation of log activity */

void wn_world_options_defaults(wn_world_options *options) {
  *options = (wn_world_options){.users = 1000, .items = 500, .seed = 1};
}

static void normalise(float *v) {
  double sum = 0;
  for (size_t d = 0; d < WN_WORLD_TOPICS; d++) sum += (double)v[d] * (double)v[d];
  for (size_t d = 0; d < WN_WORLD_TOPICS; d++) v[d] = (float)((double)v[d] / sqrt(sum));
}

static void make_users(wn_world *w, wn_rng *rng) {
  double sum = 0;
  for (size_t u = 0; u < w->options.users; u++) {
    float *taste = w->user_taste + u * WN_WORLD_TOPICS;
    for (size_t d = 0; d < WN_WORLD_TOPICS; d++) { /* Gamma(½)-like: a few topics dominate */
      double z = wn_rng_normal(rng);
      taste[d] = (float)(z * z * z * z + 0.01);
    }
    normalise(taste);
    sum += exp(ACTIVITY * wn_rng_normal(rng));
    w->activity[u] = sum;
  }
  for (size_t u = 0; u < w->options.users; u++) w->activity[u] /= sum;
}

static void make_items(wn_world *w, wn_rng *rng) {
  for (size_t i = 0; i < w->options.items; i++) {
    float *taste = w->item_taste + i * WN_WORLD_TOPICS;
    w->main_topic[i] = (uint8_t)wn_rng_below(rng, WN_WORLD_TOPICS);
    for (size_t d = 0; d < WN_WORLD_TOPICS; d++)
      taste[d] = (float)(0.25 * fabs(wn_rng_normal(rng)) + (d == w->main_topic[i] ? 1 : 0));
    normalise(taste);
    w->quality[i] = (float)wn_rng_normal(rng);
    w->bait[i] = (float)wn_rng_normal(rng);
  }
}

wn_status wn_world_create(const wn_world_options *options, wn_world *out, wn_error *err) {
  wn_rng rng;
  *out = (wn_world){.options = *options};
  if (options->users == 0 || options->items == 0)
    return wn_fail(err, WN_E_ARGUMENT, options->users == 0 ? "users" : "items",
                   "a world has at least one");
  out->user_taste = wn_calloc((size_t)options->users * WN_WORLD_TOPICS, sizeof(float));
  out->item_taste = wn_calloc((size_t)options->items * WN_WORLD_TOPICS, sizeof(float));
  out->quality = wn_calloc(options->items, sizeof(float));
  out->bait = wn_calloc(options->items, sizeof(float));
  out->activity = wn_calloc(options->users, sizeof(double));
  out->main_topic = wn_calloc(options->items, 1);
  if (out->user_taste == NULL || out->item_taste == NULL || out->quality == NULL ||
      out->bait == NULL || out->activity == NULL || out->main_topic == NULL) {
    wn_world_clear(out);
    return wn_fail_memory(err);
  }
  wn_rng_seed(&rng, options->seed);
  make_users(out, &rng);
  make_items(out, &rng);
  return WN_OK;
}

void wn_world_clear(wn_world *w) {
  wn_free(w->user_taste);
  wn_free(w->item_taste);
  wn_free(w->quality);
  wn_free(w->bait);
  wn_free(w->activity);
  wn_free(w->main_topic);
  *w = (wn_world){0};
}

static double match(const wn_world *w, uint32_t user, uint32_t item) {
  const float *u = w->user_taste + (size_t)user * WN_WORLD_TOPICS;
  const float *v = w->item_taste + (size_t)item * WN_WORLD_TOPICS;
  double sum = 0;
  for (size_t d = 0; d < WN_WORLD_TOPICS; d++) sum += (double)u[d] * (double)v[d];
  return sum;
}

static double logistic(double x) {
  return 1 / (1 + exp(-x));
}

double wn_world_click(const wn_world *w, uint32_t user, uint32_t item) {
  return logistic(-2.2 + 4 * (match(w, user, item) - 0.5) +
                  w->options.bait_pull * (double)w->bait[item]);
}

double wn_world_satisfied(const wn_world *w, uint32_t user, uint32_t item) {
  return logistic(0.5 + 2 * (match(w, user, item) - 0.5) + (double)w->quality[item] -
                  w->options.bait_cost * (double)w->bait[item]);
}

uint32_t wn_world_visitor(const wn_world *w, wn_rng *rng) {
  double at = wn_rng_double(rng);
  uint32_t low = 0, high = w->options.users - 1;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (w->activity[middle] < at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void wn_world_browse(const wn_world *w, uint32_t user, const uint32_t *items, size_t len,
                     wn_rng *rng, wn_browsed *out) {
  memset(out, 0, len * sizeof *out);
  for (size_t k = 0; k < len; k++) {
    if (k > 0 && wn_rng_double(rng) >= LOOK_ON) return;
    out[k].clicked = wn_rng_double(rng) < wn_world_click(w, user, items[k]);
    if (!out[k].clicked) continue;
    out[k].satisfied = wn_rng_double(rng) < wn_world_satisfied(w, user, items[k]);
    if (out[k].satisfied && wn_rng_double(rng) < ENOUGH) return;
  }
}

double wn_world_value(const wn_world *w, uint32_t user, const uint32_t *items, size_t len) {
  double value = 0, looking = 1;
  for (size_t k = 0; k < len; k++) {
    double both = wn_world_click(w, user, items[k]) * wn_world_satisfied(w, user, items[k]);
    value += looking * both;
    looking *= LOOK_ON * (1 - ENOUGH * both);
  }
  return value;
}

void wn_world_best(const wn_world *w, uint32_t user, uint32_t *items, size_t len, double *scratch) {
  size_t count = w->options.items;
  for (uint32_t i = 0; i < count; i++)
    scratch[i] = wn_world_click(w, user, i) * wn_world_satisfied(w, user, i);
  for (size_t k = 0; k < len && k < count; k++) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
      if (scratch[i] > scratch[best]) best = i;
    items[k] = best;
    scratch[best] = -1;
  }
}
