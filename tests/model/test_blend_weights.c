/* The conditional logit against a naive likelihood: no weight near by is likelier, and weights that
 * made the choices are found again. Of the forms the one is chosen that made the choices. */
#include "fitting.h"

#include "base/rng.h"
#include "model/blend_weights.h"

#define MEMBERS 4u
#define DEPTH   12u
#define SLOTS   24u
#define MOMENTS 600u

typedef struct world {
  wn_blend_entry entry[MEMBERS * MOMENTS * DEPTH];
  uint16_t len[MEMBERS * MOMENTS];
  uint32_t slots[MOMENTS];
  uint32_t target[MOMENTS][WN_BLEND_TARGETS_MAX];
  uint32_t taken[MOMENTS], user[MOMENTS], at[MOMENTS];
  wn_blend_lists lists;
} world;

static world w;

/* Lists of different items each, falling; what is taken is drawn by `truth`, one or two at a time,
 * and some moments know nothing of it. */
static void add_up(const float *weight, size_t at, float *sum) {
  memset(sum, 0, SLOTS * sizeof *sum);
  for (uint32_t m = 0; m < MEMBERS; m++)
    for (uint32_t p = 0; p < *wn_blend_len(&w.lists, m, at); p++) {
      wn_blend_entry e = wn_blend_entries(&w.lists, m, at)[p];
      sum[e.slot] += weight[m] * e.log;
    }
}

static void make(const float *truth, uint64_t seed) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  w.lists =
      (wn_blend_lists){MEMBERS, DEPTH, MOMENTS, w.entry, w.len, w.slots, w.target, w.taken, w.user};
  for (size_t at = 0; at < MOMENTS; at++) {
    float sum[SLOTS];
    w.slots[at] = SLOTS;
    w.at[at] = w.user[at] = (uint32_t)at;
    w.taken[at] = 1 + at % 2;
    for (uint32_t m = 0; m < MEMBERS; m++) {
      wn_blend_entry *list = wn_blend_entries(&w.lists, m, at);
      uint32_t from = (uint32_t)wn_rng_below(&rng, SLOTS);
      uint16_t len = *wn_blend_len(&w.lists, m, at) = (uint16_t)wn_rng_below(&rng, DEPTH + 1);
      for (uint32_t p = 0; p < len; p++)
        list[p] = (wn_blend_entry){(from + 5 * p) % SLOTS, 0, 3.0f * (float)(len - p) / (float)len};
    }
    memset(w.target[at], 0xff, sizeof w.target[at]);
    if (at % 7 == 0) w.slots[at] = 0;
    if (at % 7 == 0) continue;
    add_up(truth, at, sum);
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
    size_t targets = w.slots[at] > 0 ? wn_blend_found(&w.lists, at) : 0;
    if (targets == 0) continue;
    for (uint32_t m = 0; m < MEMBERS; m++)
      for (uint32_t p = 0; p < *wn_blend_len(&w.lists, m, at); p++) {
        wn_blend_entry e = wn_blend_entries(&w.lists, m, at)[p];
        sum[e.slot] += (double)weight[m] * (double)e.log;
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
  wn_blend_part part = {&w.lists, w.at, MOMENTS, pool};
  assert_ok(wn_blend_logit(&part, weight, err));
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
  wn_blend_part first = {&w.lists, w.at, 300, pool}, empty = {&w.lists, w.at + 300, 0, pool};
  assert_ok(wn_blend_logit(&first, weight, err));
  assert_true(weight[1] == 0 && fabsf(weight[0] - 1) < 0.5f);
  assert_ok(wn_blend_logit(&empty, none, err));
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
    *wn_blend_len(&w.lists, 0, at) = 1;
    *wn_blend_entries(&w.lists, 0, at) = (wn_blend_entry){w.target[at][0], 0, 1};
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
  wn_blend_part part = {&w.lists, w.at, MOMENTS, pool};
  wn_error why;
  make(truth, 2);
  for (long n = 0; n < 2; n++) {
    float weight[MEMBERS] = {1, 1, 1, 1};
    wn_mem_fail_after(n);
    wn_status status = wn_blend_logit(&part, weight, &why);
    wn_mem_fail_after(-1);
    assert_int_equal(status, WN_E_MEMORY);
    assert_true(weight[0] == 1);
  }
  wn_pool_free(pool);
}

/* ---- the choice ---- */

static wn_blend_choice choose(size_t moments, int threads) {
  wn_blend_choice choice;
  wn_pool *pool = wn_pool_create(threads);
  wn_blend_part part = {&w.lists, w.at, moments, pool};
  assert_ok(wn_blend_choose(&part, 5, &choice, err));
  wn_pool_free(pool);
  return choice;
}

/* What is taken is drawn by the logarithms; standard scores follow them or know nothing. */
static void draw(bool standard_knows, bool log_knows) {
  const float truth[MEMBERS] = {3, 2, 1, 0};
  wn_rng rng;
  make(truth, 8);
  wn_rng_seed(&rng, 12);
  for (size_t i = 0; i < MEMBERS * MOMENTS * DEPTH; i++) {
    float noise = 3 * (float)wn_rng_double(&rng);
    w.entry[i].standard = standard_knows ? w.entry[i].log : noise;
    if (!log_knows) w.entry[i].log = noise;
  }
}

static void test_form_that_knows(void **state) {
  (void)state;
  draw(false, true);
  wn_blend_choice c = choose(MOMENTS, 2);
  assert_int_equal(c.form, WN_BLEND_LOGIT);
  assert_true(c.weight[0].log == 1 && c.weight[0].score == 0 && c.weight[0].rank == 0);
  assert_true(c.weight[1].log > 0.3f && c.held[WN_BLEND_LOGIT] > c.held[WN_BLEND_POINTS]);
  draw(true, false);
  c = choose(MOMENTS, 2);
  assert_int_equal(c.form, WN_BLEND_POINTS);
  assert_true(c.weight[0].log == 0 && c.weight[0].score > 0);
  assert_true(c.held[WN_BLEND_POINTS] > c.held[WN_BLEND_ALONE] && c.ndcg < 1);
}

/* Few moments, where both know the same: neither is surely better. */
static void test_both(void **state) {
  (void)state;
  draw(true, true);
  wn_blend_choice c = choose(40, 2);
  double more = c.held[WN_BLEND_POINTS] - c.held[WN_BLEND_LOGIT];
  assert_true(fabs(more) <= c.sure && c.form == WN_BLEND_BOTH);
  assert_true(c.weight[0].log > 0 && c.weight[0].score + c.weight[0].rank > 0);
  assert_true(c.ndcg > (double)c.alone[0]);
}

/* No form can do better than a member that is always right: the simplest it is. */
static void test_alone(void **state) {
  (void)state;
  const float truth[MEMBERS] = {0, 0, 0, 0};
  make(truth, 6);
  for (size_t at = 0; at < MOMENTS; at++) {
    *wn_blend_len(&w.lists, 2, at) = 1;
    *wn_blend_entries(&w.lists, 2, at) = (wn_blend_entry){w.target[at][0], 1, 1};
    w.target[at][1] = WN_NO_IX;
    w.taken[at] = 1;
    w.slots[at] = SLOTS;
    if (w.target[at][0] == WN_NO_IX) w.slots[at] = 0;
  }
  wn_blend_choice c = choose(MOMENTS, 2);
  assert_int_equal(c.form, WN_BLEND_ALONE);
  for (uint32_t m = 0; m < MEMBERS; m++) assert_int_equal(wn_blend_asks(&c.weight[m]), m == 2);
  assert_true(c.weight[2].rank == 1 && fabs(c.ndcg - (double)c.alone[2]) < 1e-6);
}

static void test_too_few(void **state) {
  (void)state;
  draw(true, true);
  for (size_t moments = 0; moments < 30; moments += 29) {
    wn_blend_choice c = choose(moments, 1);
    for (uint32_t m = 0; m < MEMBERS; m++)
      assert_true(c.weight[m].rank == 1 && c.weight[m].score == 0 && c.weight[m].log == 0);
  }
}

static void test_choice_does_not_hang_on_threads(void **state) {
  (void)state;
  draw(true, true);
  wn_blend_choice one = choose(200, 1), three = choose(200, 3);
  assert_memory_equal(one.weight, three.weight, MEMBERS * sizeof *one.weight);
  assert_memory_equal(one.held, three.held, sizeof one.held);
  assert_true(one.form == three.form && one.ndcg == three.ndcg);
}

/* NDCG@5 by sorting. */
static double naive_gain(const wn_blend_weight *weight, size_t at) {
  double sum[SLOTS] = {0}, gain = 0, ideal = 0;
  for (uint32_t m = 0; m < MEMBERS; m++)
    for (uint32_t p = 0; p < *wn_blend_len(&w.lists, m, at); p++) {
      wn_blend_entry e = wn_blend_entries(&w.lists, m, at)[p];
      sum[e.slot] += (double)weight[m].score * (double)e.standard +
                     (double)weight[m].rank * 11 / (11 + p) + (double)weight[m].log * (double)e.log;
    }
  for (int place = 0; place < 5 && w.slots[at] > 0; place++) {
    uint32_t best = 0;
    for (uint32_t s = 1; s < SLOTS; s++)
      if (sum[s] > sum[best]) best = s;
    for (size_t t = 0; t < wn_blend_found(&w.lists, at); t++)
      if (w.target[at][t] == best) gain += 1 / log2(place + 2);
    sum[best] = -1;
  }
  for (uint32_t i = 0; i < w.taken[at]; i++) ideal += 1 / log2(i + 2);
  return gain / ideal;
}

static void test_gains(void **state) {
  (void)state;
  const wn_blend_weight weight[MEMBERS] = {{.3f, 1, .1f}, {0, .2f, .7f}, {.5f, .05f, 0}, {0, 0, 0}};
  static double gain[MOMENTS];
  wn_pool *pool = wn_pool_create(2);
  draw(false, true);
  w.taken[8] = 3; /* one of them is no candidate */
  wn_blend_part part = {&w.lists, w.at, MOMENTS, pool};
  assert_ok(wn_blend_gains(&part, 5, weight, gain, err));
  for (size_t at = 0; at < MOMENTS; at++)
    assert_true(fabs(gain[at] - naive_gain(weight, at)) < 1e-6);
  wn_pool_free(pool);
}

static void test_choice_without_memory(void **state) {
  (void)state;
  wn_pool *pool = wn_pool_create(1);
  wn_blend_choice choice;
  wn_error why;
  draw(true, true);
  wn_blend_part part = {&w.lists, w.at, 40, pool};
  wn_mem_fail_after(-1);
  assert_ok(wn_blend_choose(&part, 5, &choice, err));
  long total = wn_mem_allocations();
  assert_true(total >= 6);
  for (long n = 0; n < total; n++) {
    wn_mem_fail_after(n);
    wn_status status = wn_blend_choose(&part, 5, &choice, &why);
    wn_mem_fail_after(-1);
    assert_int_equal(status, WN_E_MEMORY);
  }
  wn_pool_free(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_optimum),   cmocka_unit_test(test_start_and_threads_do_not_matter),
      cmocka_unit_test(test_part),      cmocka_unit_test(test_certain),
      cmocka_unit_test(test_no_memory), cmocka_unit_test(test_form_that_knows),
      cmocka_unit_test(test_both),      cmocka_unit_test(test_alone),
      cmocka_unit_test(test_too_few),   cmocka_unit_test(test_choice_does_not_hang_on_threads),
      cmocka_unit_test(test_gains),     cmocka_unit_test(test_choice_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
