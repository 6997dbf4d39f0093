#include "harness.h"

#include "base/log.h"

#include <pthread.h>

typedef struct seen {
  int lines;
  wn_log_level level;
  char last[4096];
} seen;

static void remember(void *ctx, wn_log_level level, const char *line) {
  seen *s = ctx;
  s->lines++;
  s->level = level;
  snprintf(s->last, sizeof s->last, "%s", line);
  wn_log(WN_LOG_ERROR, "from inside the writer"); /* dropped, no deadlock */
}

static void test_levels(WN_UNUSED void **state) {
  seen s = {0};
  wn_log(WN_LOG_ERROR, "nobody listens");
  wn_log_set(remember, &s, WN_LOG_INFO);
  wn_log(WN_LOG_DEBUG, "too quiet");
  assert_int_equal(s.lines, 0);
  wn_log(WN_LOG_WARN, "key=%s n=%d", "a\nb\x1b[31m", 3);
  assert_int_equal(s.lines, 1);
  assert_int_equal(s.level, WN_LOG_WARN);
  assert_string_equal(s.last, "key=a b [31m n=3");
  char big[4000];
  memset(big, 'x', sizeof big - 1);
  big[sizeof big - 1] = '\0';
  wn_log(WN_LOG_ERROR, "%s", big);
  assert_int_equal(strlen(s.last), 2047);
  wn_log_set(NULL, NULL, WN_LOG_DEBUG);
  wn_log(WN_LOG_ERROR, "gone");
  assert_int_equal(s.lines, 2);
  assert_string_equal(wn_log_level_name(WN_LOG_DEBUG), "DEBUG");
  assert_string_equal(wn_log_level_name(WN_LOG_ERROR), "ERROR");
}

static void *shout(void *arg) {
  for (int i = 0; i < 500; i++) wn_log(WN_LOG_INFO, "line %d of %p", i, arg);
  return NULL;
}

static void test_threads(WN_UNUSED void **state) {
  seen s = {0};
  pthread_t threads[3];
  wn_log_set(remember, &s, WN_LOG_INFO);
  for (size_t i = 0; i < COUNT_OF(threads); i++) pthread_create(&threads[i], NULL, shout, &s);
  for (size_t i = 0; i < COUNT_OF(threads); i++) pthread_join(threads[i], NULL);
  wn_log_set(NULL, NULL, WN_LOG_INFO);
  assert_int_equal(s.lines, 1500);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_levels),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
