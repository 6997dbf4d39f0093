/* The conditional logit against a naive likelihood: no weight near by is likelier, and weights that
 * made the choices are found again. */
#include "fitting.h"

#include "base/rng.h"
#include "model/blend_logit.h"

#define MEMBERS 4u
#define DEPTH   12u
#define SLOTS   24u
#define MOMENTS 600u

typedef struct world {
  wn_logit_entry entry[MEMBERS * MOMENTS * DEPTH];
  uint16_t len[MEMBERS * MOMENTS];
  uint32_t slots[MOMENTS];
  uint32_t target[MOMENTS][WN_LOGIT_TARGETS_MAX];
  wn_logit_lists lists;
} world;

static world w;

/* Lists of different items each, falling; what is taken is drawn by `truth`, one or two at a time,
 * and some moments know nothing of it. */
static void make(const float *truth, uint64_t seed) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  w.lists = (wn_logit_lists){MEMBERS, DEPTH, MOMENTS, w.entry, w.len, w.slots, w.target};
  for (size_t at = 0; at < MOMENTS; at++) {
    float sum[SLOTS];
    w.slots[at] = SLOTS;
    for (uint32_t m = 0; m < MEMBERS; m++) {
      wn_logit_entry *list = wn_logit_list(&w.lists, m, at);
      uint32_t from = (uint32_t)wn_rng_below(&rng, SLOTS);
      uint16_t len = *wn_logit_len(&w.lists, m, at) = (uint16_t)wn_rng_below(&rng, DEPTH + 1);
      for (uint32_t p = 0; p < len; p++)
        list[p] = (wn_logit_entry){(from + 5 * p) % SLOTS, 3.0f * (float)(len - p) / (float)len};
    }
    memset(w.target[at], 0xff, sizeof w.target[at]);
    if (at % 7 == 0) w.slots[at] = 0;
    if (at % 7 == 0) continue;
    wn_logit_sum(&w.lists, truth, at, sum);
    for (size_t t = 0; t < 1 + at % 2; t++) {
      uint32_t best = 0;
      double most = -INFINITY;
      for (uint32_t s = 0; s < SLOTS; s++) { /* Gumbel */
        double key = (double)sum[s] - log(-log(wn_rng_double(&rng) + 1e-12));
        bool taken = t > 0 && w.target[at][0] == s;
        if (taken || key <= most) continue;
        best = s;
        most = key;
      }
      w.target[at][t] = best;
    }
  }
}

static double naive_loss(const float *weight, size_t begin, size_t end) {
  double loss = 0;
  for (size_t at = begin; at < end; at++) {
    double sum[SLOTS] = {0}, all = 0, taken = 0;
    size_t targets = w.slots[at] > 0 ? wn_logit_targets(&w.lists, at) : 0;
    if (targets == 0) continue;
    for (uint32_t m = 0; m < MEMBERS; m++)
      for (uint32_t p = 0; p < *wn_logit_len(&w.lists, m, at); p++) {
        wn_logit_entry e = wn_logit_list(&w.lists, m, at)[p];
        sum[e.slot] += (double)weight[m] * (double)e.says;
      }
    for (uint32_t s = 0; s < w.slots[at]; s++) all += exp(sum[s]);
    for (size_t t = 0; t < targets; t++) taken += sum[w.target[at][t]];
    loss += log(all) - taken / (double)targets;
  }
  for (uint32_t m = 0; m < MEMBERS; m++) loss += 0.5 * (double)weight[m] * (double)weight[m];
  return loss;
}

static void fit_all(float *weight, int threads) {
  wn_pool *pool = wn_pool_create(threads);
  assert_ok(wn_logit_fit(&w.lists, 0, MOMENTS, pool, weight, err));
  wn_pool_free(pool);
}

static void test_optimum(void **state) {
  (void)state;
  const float truth[MEMBERS] = {1.2f, 0.4f, 0.8f, 0};
  for (uint64_t seed = 1; seed <= 5; seed++) {
    float weight[MEMBERS] = {1, 1, 1, 1};
    make(truth, seed);
    fit_all(weight, 2);
    double best = naive_loss(weight, 0, MOMENTS);
    for (uint32_t m = 0; m < MEMBERS; m++) {
      assert_true(fabsf(weight[m] - truth[m]) < 0.35f);
      for (float by = -0.02f; by < 0.03f; by += 0.04f) {
        float near[MEMBERS];
        memcpy(near, weight, sizeof near);
        near[m] = fmaxf(near[m] + by, 0);
        assert_true(naive_loss(near, 0, MOMENTS) >= best - 1e-4);
      }
    }
  }
}

static void test_start_and_threads_do_not_matter(void **state) {
  (void)state;
  const float truth[MEMBERS] = {0.5f, 0, 1, 0.2f};
  float one[MEMBERS] = {1, 1, 1, 1}, three[MEMBERS] = {1, 1, 1, 1}, far[MEMBERS] = {9, .1f, 5, 3};
  make(truth, 9);
  fit_all(one, 1);
  fit_all(three, 3);
  fit_all(far, 2);
  assert_memory_equal(one, three, sizeof one);
  for (uint32_t m = 0; m < MEMBERS; m++) assert_true(fabsf(one[m] - far[m]) < 1e-3f);
}

/* Who comes in without weight stays out; moments outside of the part do not count. */
static void test_part(void **state) {
  (void)state;
  const float truth[MEMBERS] = {1, 1, 0, 0};
  float weight[MEMBERS] = {1, 0, 1, 1}, none[MEMBERS] = {1, 2, 3, 4};
  wn_pool *pool = wn_pool_create(1);
  make(truth, 3);
  for (size_t at = 300; at < MOMENTS; at++) w.target[at][0] = 0; /* others' taste */
  assert_ok(wn_logit_fit(&w.lists, 0, 300, pool, weight, err));
  assert_true(weight[1] == 0 && fabsf(weight[0] - 1) < 0.5f);
  assert_ok(wn_logit_fit(&w.lists, 300, 300, pool, none, err));
  assert_true(none[0] == 1 && none[3] == 4);
  wn_pool_free(pool);
}

/* A member that is always right does not get weight without end. */
static void test_certain(void **state) {
  (void)state;
  const float truth[MEMBERS] = {0, 0, 0, 0};
  float weight[MEMBERS] = {1, 1, 1, 1};
  make(truth, 4);
  for (size_t at = 0; at < MOMENTS; at++) {
    *wn_logit_len(&w.lists, 0, at) = 1;
    *wn_logit_list(&w.lists, 0, at) = (wn_logit_entry){w.target[at][0], 1};
    w.target[at][1] = WN_NO_IX;
  }
  fit_all(weight, 2);
  assert_true(weight[0] > 4 && weight[0] < 30 && isfinite(naive_loss(weight, 0, MOMENTS)));
  for (uint32_t m = 1; m < MEMBERS; m++) assert_true(weight[m] < 1);
}

static void test_no_memory(void **state) {
  (void)state;
  const float truth[MEMBERS] = {1, 1, 1, 1};
  wn_pool *pool = wn_pool_create(1);
  wn_error why;
  make(truth, 2);
  for (long n = 0; n < 2; n++) {
    float weight[MEMBERS] = {1, 1, 1, 1};
    wn_mem_fail_after(n);
    wn_status status = wn_logit_fit(&w.lists, 0, MOMENTS, pool, weight, &why);
    wn_mem_fail_after(-1);
    assert_int_equal(status, WN_E_MEMORY);
    assert_true(weight[0] == 1);
  }
  wn_pool_free(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_optimum),   cmocka_unit_test(test_start_and_threads_do_not_matter),
      cmocka_unit_test(test_part),      cmocka_unit_test(test_certain),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
