/* The fitted models on MovieLens (latest-small): each user's last liked film is to be found among
 * the first 20 of the whole catalogue. */
#include "fitting.h"

#define RATINGS_MAX 110000
#define FILMS_MAX   200000

typedef struct rating {
  fact fact;
  uint32_t at; /* place in the file */
} rating;

static int by_user_and_time(const void *a, const void *b) {
  const rating *x = a, *y = b;
  if (x->fact.user != y->fact.user) return x->fact.user < y->fact.user ? -1 : 1;
  if (x->fact.time_ms != y->fact.time_ms) return x->fact.time_ms < y->fact.time_ms ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

/* Ratings of 3 and more; film numbers become dense. */
static size_t read_ratings(const char *path, rating *out, uint32_t *films) {
  uint32_t *number = wn_calloc(FILMS_MAX, sizeof *number);
  wn_input *input = NULL;
  wn_str line;
  size_t n = 0;
  assert_ok(wn_input_open(path, &input, err));
  assert_ok(wn_input_line(input, &line, err));
  for (;;) {
    char copy[128];
    unsigned user, film;
    double value;
    long long time_s;
    assert_ok(wn_input_line(input, &line, err));
    if (line.ptr == NULL) break;
    snprintf(copy, sizeof copy, "%.*s", WN_STR_ARG(line));
    assert_int_equal(sscanf(copy, "%u,%u,%lf,%lld", &user, &film, &value, &time_s), 4);
    assert_true(film < FILMS_MAX && n < RATINGS_MAX);
    if (value < 3) continue;
    if (number[film] == 0) number[film] = ++*films;
    out[n] = (rating){{user, number[film] - 1, 1, time_s * 1000}, (uint32_t)n};
    n++;
  }
  wn_input_close(input);
  wn_free(number);
  qsort(out, n, sizeof *out, by_user_and_time);
  return n;
}

static bool load(wn_dataset *train, wn_dataset *test) {
  char path[512];
  uint32_t films = 0;
  if (data_path("movielens-latest-small/ratings.csv.xz", path, sizeof path) == NULL) return false;
  rating *all = wn_calloc(RATINGS_MAX, sizeof *all);
  fact *past = wn_calloc(RATINGS_MAX, sizeof *past), *future = wn_calloc(RATINGS_MAX, sizeof *past);
  size_t n = read_ratings(path, all, &films), past_len = 0, future_len = 0;
  for (size_t i = 0; i < n; i++) {
    bool last = i + 1 == n || all[i + 1].fact.user != all[i].fact.user;
    if (last) {
      future[future_len++] = all[i].fact;
    } else {
      past[past_len++] = all[i].fact;
    }
  }
  dataset_of(past, past_len, 700, films, train);
  dataset_of(future, future_len, 700, films, test);
  wn_free(all);
  wn_free(past);
  wn_free(future);
  return true;
}

static quality of(const wn_model_class *cls, const wn_dataset *train, const wn_dataset *test) {
  uint64_t begin = wn_mono_ns();
  wn_model *model = fit(cls, train, "");
  double seconds = (double)(wn_mono_ns() - begin) / 1e9;
  quality q = measure(model, train, test, 1);
  print_message("%s: recall@20 %.4f ndcg@20 %.4f over %u users, fit %.2f s\n", cls->name, q.recall,
                q.ndcg, q.users, seconds);
  model->cls->free(model);
  return q;
}

static void test_movielens(void **state) {
  (void)state;
  wn_dataset train, test;
  if (!load(&train, &test)) skip();
  quality popular = of(&wn_model_popular, &train, &test);
  quality als = of(&wn_model_als, &train, &test);
  quality covisit = of(&wn_model_covisit, &train, &test);
  quality ridge_seq = of(&wn_model_ridge_seq, &train, &test);
  assert_int_equal(popular.users, 609);
  assert_true(als.recall > 1.5 * popular.recall && als.ndcg > 1.5 * popular.ndcg);
  assert_true(covisit.recall > 2 * popular.recall && covisit.ndcg > 2 * popular.ndcg);
  assert_true(ridge_seq.recall > 2 * popular.recall && ridge_seq.ndcg > 2 * popular.ndcg);
  wn_dataset_clear(&train);
  wn_dataset_clear(&test);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_movielens)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
