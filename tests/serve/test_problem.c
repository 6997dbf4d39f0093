/* Problem documents, the table of routes and the metrics' text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "serve/http.h"
#include "serve/openapi.h"
#include <jansson.h>
#include <pthread.h>
#include <string.h>

static json_t *written(const wn_problem *problem) {
  wn_buf out = {0};
  wn_problem_write(problem, &out);
  json_t *json = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
  wn_buf_clear(&out);
  assert_non_null(json);
  return json;
}

static void test_problem(void **state) {
  (void)state;
  wn_error err = {0};
  assert_int_equal(wn_fail(&err, WN_E_ARGUMENT, "n", "must be \"1\""), WN_E_ARGUMENT);
  err.line = 3;
  wn_problem problem = wn_problem_of(&err);
  problem.index = 7;
  json_t *json = written(&problem);
  const char *type, *title, *detail, *field;
  int status, index, line;
  assert_int_equal(json_unpack(json, "{s:s,s:s,s:s,s:s,s:i,s:i,s:i!}", "type", &type, "title",
                               &title, "detail", &detail, "field", &field, "status", &status,
                               "index", &index, "line", &line),
                   0);
  assert_string_equal(type, "urn:winnow:problem:invalid-argument");
  assert_string_equal(detail, "must be \"1\"");
  assert_string_equal(field, "n");
  assert_int_equal(status, 400);
  assert_int_equal(index, 7);
  assert_int_equal(line, 3);
  json_decref(json);
}

/* Each status of the library, and each of HTTP's own, has a proper type. */
static void test_all_types(void **state) {
  (void)state;
  static const int http[] = {403, 404, 405, 406, 408, 411, 413, 414, 415, 431, 503};
  for (size_t i = 0; i < WN_STATUS_COUNT - 1 + sizeof http / sizeof http[0]; i++) {
    wn_error err = {.status = (wn_status)(i + 1)};
    wn_problem problem = i < WN_STATUS_COUNT - 1
                             ? wn_problem_of(&err)
                             : wn_problem_http(http[i - (WN_STATUS_COUNT - 1)], NULL);
    json_t *json = written(&problem);
    const char *type = json_string_value(json_object_get(json, "type"));
    assert_non_null(type);
    assert_int_equal(strspn(type, "abcdefghijklmnopqrstuvwxyz:-"), strlen(type));
    assert_int_equal(json_integer_value(json_object_get(json, "status")), problem.http);
    assert_string_not_equal(wn_http_reason(problem.http), "Unknown");
    json_decref(json);
  }
}

static void test_routes(void **state) {
  (void)state;
  static const struct {
    const char *url, *path;
  } rows[] = {
      {"/", "/"},
      {"/v1/events", "/v1/events"},
      {"/v1/items", "/v1/items"},
      {"/v1/items/x", "/v1/items/{id}"},
      {"/v1/items/similar", "/v1/items/{id}"},
      {"/v1/items/x/similar?n=3", "/v1/items/{id}/similar"},
      {"/v1/surfaces/home/slate", "/v1/surfaces/{surface}/slate"},
      {"/v1/items/", "/v1/items/{id}"}, /* an empty id: refused by the key's check */
      {"/v1/item", NULL},
      {"/v2/items", NULL},
      {"//", NULL},
      {"/v1/items/x/y", NULL},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    wn_target target;
    wn_str captured = {NULL, 0};
    char name[32];
    assert_true(wn_target_parse(wn_str_of(rows[i].url), &target));
    size_t route = wn_route_find(&target, &captured, name);
    if (rows[i].path == NULL) {
      assert_int_equal(route, SIZE_MAX);
    } else {
      assert_int_not_equal(route, SIZE_MAX);
      assert_string_equal(wn_routes[route].path, rows[i].path);
    }
  }
}

static const char *lower(const char *method, char *buf) {
  size_t i = 0;
  for (; method[i] != '\0'; i++) buf[i] = (char)(method[i] - 'A' + 'a');
  buf[i] = '\0';
  return buf;
}

/* The description and the table name the same paths and methods. */
static void test_openapi(void **state) {
  (void)state;
  wn_str text = wn_openapi_json();
  json_error_t why;
  json_t *doc = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
  if (doc == NULL) fail_msg("line %d: %s", why.line, why.text);
  json_t *paths = json_object_get(doc, "paths");
  assert_int_equal(json_object_size(paths), wn_route_count());
  for (size_t r = 0; r < wn_route_count(); r++) {
    json_t *path = json_object_get(paths, wn_routes[r].path);
    assert_non_null(path);
    size_t methods = 0;
    for (size_t m = 0; m < WN_METHODS; m++) {
      char name[16];
      json_t *operation = json_object_get(path, lower(wn_method_names[m], name));
      const wn_action *action = &wn_routes[r].actions[m];
      assert_int_equal(operation != NULL, action->handle != NULL);
      if (operation == NULL) continue;
      methods++;
      assert_int_equal(json_object_get(operation, "requestBody") != NULL, action->body);
    }
    assert_int_equal(json_object_size(path), methods);
  }
  json_decref(doc);
}

static void test_allow(void **state) {
  (void)state;
  wn_target target;
  wn_str captured;
  char name[32], allow[40];
  assert_true(wn_target_parse(WN_STR("/v1/items/x"), &target));
  wn_route_allow(&wn_routes[wn_route_find(&target, &captured, name)], allow, sizeof allow);
  assert_string_equal(allow, "GET, HEAD, PUT, PATCH, DELETE");
}

typedef struct counting {
  wn_metrics *metrics;
} counting;

static void *count(void *arg) {
  wn_metrics *metrics = ((counting *)arg)->metrics;
  for (int i = 0; i < 1000; i++) {
    wn_metrics_request(metrics, 1, 200, 700000); /* 0.7 ms */
    wn_metrics_request(metrics, 0, 404, 20000);
    wn_metrics_count(metrics, WN_COUNT_EVENTS_ACCEPTED, 3);
    wn_metrics_slate(metrics, WN_STR("home"), true, 20);
  }
  return NULL;
}

static void has_line(const wn_buf *text, const char *line) {
  if (strstr(text->data, line) == NULL) fail_msg("lacks %s in\n%s", line, text->data);
}

static void test_metrics(void **state) {
  (void)state;
  static const char *const routes[] = {"/a", "/b"};
  wn_surface surface;
  wn_surfaces surfaces = {&surface, 1};
  wn_engine_stats stats = {.items = 5};
  wn_metrics_gauges gauges = {.connections = 2};
  pthread_t threads[4];
  wn_buf out = {0};
  memset(&surface, 0, sizeof surface);
  strcpy(surface.name, "home");
  counting shared = {wn_metrics_create(routes, 2, &surfaces)};
  assert_non_null(shared.metrics);
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, count, &shared), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  wn_metrics_render(shared.metrics, &stats, &gauges, &out);
  assert_non_null(wn_buf_c(&out));
  has_line(&out, "winnow_http_requests_total{route=\"/b\",status=\"200\"} 4000\n");
  has_line(&out, "winnow_http_requests_total{route=\"/a\",status=\"404\"} 4000\n");
  has_line(&out, "winnow_http_request_seconds_bucket{route=\"/b\",le=\"0.0005\"} 0\n");
  has_line(&out, "winnow_http_request_seconds_bucket{route=\"/b\",le=\"0.001\"} 4000\n");
  has_line(&out, "winnow_http_request_seconds_bucket{route=\"/b\",le=\"+Inf\"} 4000\n");
  has_line(&out, "winnow_http_request_seconds_sum{route=\"/b\"} 2.8\n");
  has_line(&out, "winnow_events_accepted_total 12000\n");
  has_line(&out, "winnow_slates_total{surface=\"home\",personal=\"true\"} 4000\n");
  has_line(&out, "winnow_slate_items_total{surface=\"home\"} 80000\n");
  has_line(&out, "winnow_items 5\n");
  has_line(&out, "winnow_connections 2\n");
  wn_metrics_free(shared.metrics);
  wn_buf_clear(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_problem), cmocka_unit_test(test_all_types),
      cmocka_unit_test(test_routes),  cmocka_unit_test(test_openapi),
      cmocka_unit_test(test_allow),   cmocka_unit_test(test_metrics),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
