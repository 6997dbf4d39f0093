/* What taking part in experiments costs a request: drawing the arms, printing them, putting one
 * changed surface together.
 *
 *   bench_experiment [EXPERIMENTS (100)] [REQUESTS (200000)]
 *
 * Beside it, in the same run, the hashing of as many units with XXH3 alone, which is the least that
 * three draws an experiment can cost. */
#include "base/clock.h"
#include "base/map64.h"
#include "serve/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void declare(wn_buf *text, int experiments) {
  wn_buf_str(text, "experiments:\n");
  for (int i = 0; i < experiments; i++)
    wn_buf_printf(text, "  e%03d: {surfaces: [home], arms: {a: {}, b: {%s}}}\n", i,
                  i == 0 ? "surfaces: {home: {n: 12}}" : "");
}

static size_t request(const wn_config *config, wn_str user, wn_assigned *assigned,
                      wn_surface *changed, wn_buf *text) {
  wn_assign_context context = {.surface = WN_STR("home"), .user = user};
  size_t len = wn_experiments_assign(&config->experiments, &context, assigned);
  for (size_t i = 0; i < len; i++) {
    const wn_arm_spec *arm = &assigned[i].experiment->arms[assigned[i].arm];
    if (arm->variants_len == 0) continue;
    *changed = *wn_surfaces_find(&config->surfaces, WN_STR("home"));
    wn_surface_patch_apply(&arm->variants[0].patch, changed);
  }
  wn_buf_reset(text);
  wn_assigned_print(assigned, len, text);
  return len + (wn_hash64(text->data, text->len, config->hash) & 1);
}

int main(int argc, char **argv) {
  int experiments = argc > 1 ? atoi(argv[1]) : 100;
  long requests = argc > 2 ? atol(argv[2]) : 200000;
  wn_buf text = {0};
  wn_config config;
  wn_error err = {0};
  char user[32];
  size_t check = 0;
  if (experiments < 1 || experiments > WN_EXPERIMENTS_MAX || requests < 1) {
    fprintf(stderr, "bench_experiment: 1 to %d experiments, 1 or more requests\n",
            WN_EXPERIMENTS_MAX);
    return 2;
  }
  declare(&text, experiments);
  if (wn_config_parse((wn_str){text.data, text.len}, "bench", &config, &err) != WN_OK) {
    fprintf(stderr, "bench_experiment: %s\n", err.message);
    return 1;
  }
  wn_assigned *assigned = calloc((size_t)experiments, sizeof *assigned);
  wn_surface *changed = calloc(1, sizeof *changed);
  if (assigned == NULL || changed == NULL) return 1;
  uint64_t start = wn_mono_ns();
  for (long r = 0; r < requests; r++) {
    snprintf(user, sizeof user, "user-%ld", r);
    check += request(&config, wn_str_of(user), assigned, changed, &text);
  }
  double whole = (double)(wn_mono_ns() - start) / (double)requests;
  start = wn_mono_ns();
  for (long r = 0; r < requests; r++) {
    snprintf(user, sizeof user, "user-%ld", r);
    for (int i = 0; i < 3 * experiments; i++)
      check += wn_hash64(user, strlen(user), (uint64_t)i) & 1;
  }
  double hashes = (double)(wn_mono_ns() - start) / (double)requests;
  printf("%d experiments: %.2f us a request, %.1f times the hashes alone (%.2f us); check %zu\n",
         experiments, whole / 1e3, whole / hashes, hashes / 1e3, check);
  free(assigned);
  free(changed);
  wn_buf_clear(&text);
  wn_config_clear(&config);
  return 0;
}
