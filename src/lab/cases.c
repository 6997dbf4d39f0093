/* The driver of worked cases: finds each case's kind, lets it compute, and compares value by value
 * along the paths of `expected`. Names that end in "_tol" give the tolerance of their siblings, and
 * "note"s are not compared. */
#include "lab/cases_internal.h"

#include <stdio.h>
#include <string.h>

#define ARENA_MAX ((size_t)1 << 30)
#define PATH_SIZE 256
#define COUNT_MAX 1e7

static const wn_case_kind *const families[] = {wn_cases_ranking, wn_cases_beyond,
                                               wn_cases_ope,     wn_cases_ab,
                                               wn_cases_online,  wn_cases_simulated};
#define FAMILIES (sizeof families / sizeof *families)

static const wn_case_kind *kind_of(const char *name) {
  for (size_t f = 0; f < FAMILIES; f++)
    for (const wn_case_kind *k = families[f]; k->name != NULL; k++)
      if (strcmp(k->name, name) == 0) return k;
  return NULL;
}

const char *const *wn_case_kinds(void) {
  static const char *names[128];
  size_t n = 0;
  for (size_t f = 0; f < FAMILIES; f++)
    for (const wn_case_kind *k = families[f]; k->name != NULL && n < 127; k++) names[n++] = k->name;
  return names;
}

/* --- what kinds use --- */

void *wn_case_alloc(wn_case *c, size_t count, size_t size) {
  void *p = wn_arena_calloc(&c->arena, count + 1, size);
  if (p == NULL) c->wrong = "(out of memory)";
  return p;
}

const json_t *wn_case_field(wn_case *c, const char *name) {
  const json_t *value = json_object_get(c->input, name);
  if (value == NULL) c->wrong = name;
  return value;
}

double wn_case_number(wn_case *c, const char *name) {
  const json_t *value = wn_case_field(c, name);
  if (value != NULL && !json_is_number(value)) c->wrong = name;
  return json_number_value(value);
}

size_t wn_case_count(wn_case *c, const char *name) {
  double value = wn_case_number(c, name);
  if (!(value >= 0 && value <= COUNT_MAX && value == floor(value))) c->wrong = name;
  return wn_case_ok(c) ? (size_t)value : 0;
}

double *wn_case_numbers_of(wn_case *c, const json_t *array, const char *name, size_t *len) {
  *len = json_array_size(array);
  double *out = wn_case_alloc(c, *len, sizeof *out);
  if (!json_is_array(array)) c->wrong = name;
  for (size_t i = 0; out != NULL && i < *len; i++) {
    const json_t *value = json_array_get(array, i);
    if (!json_is_number(value) && !json_is_null(value)) c->wrong = name;
    out[i] = json_is_number(value) ? json_number_value(value) : NAN;
  }
  if (out == NULL) *len = 0;
  return out;
}

double *wn_case_numbers(wn_case *c, const char *name, size_t *len) {
  return wn_case_numbers_of(c, json_object_get(c->input, name), name, len);
}

void wn_case_put(json_t *object, const char *name, double value) {
  json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

void wn_case_put_array(json_t *object, const char *name, const double *values, size_t n) {
  json_t *array = json_array();
  for (size_t i = 0; i < n; i++)
    json_array_append_new(array, isfinite(values[i]) ? json_real(values[i]) : json_null());
  json_object_set_new(object, name, array);
}

void wn_case_put_pair(json_t *object, const char *name, double low, double high) {
  wn_case_put_array(object, name, (const double[]){low, high}, 2);
}

void wn_case_range(wn_case *c, const char *path, double low, double high) {
  wn_case_put_pair(c->within, path, low, high);
}

const char *wn_case_text(const json_t *id, char room[WN_CASE_ID]) {
  if (!json_is_integer(id)) return json_string_value(id);
  snprintf(room, WN_CASE_ID, "%lld", (long long)json_integer_value(id));
  return room;
}

uint32_t wn_case_name(wn_case_names *names, const json_t *string) {
  char room[WN_CASE_ID];
  const char *name = wn_case_text(string, room);
  if (name == NULL) return WN_NO_IX;
  if (names->map == NULL) names->map = json_object();
  const json_t *known = json_object_get(names->map, name);
  if (known != NULL) return (uint32_t)json_integer_value(known);
  json_object_set_new(names->map, name, json_integer(names->len));
  return names->len++;
}

wn_lists wn_case_lists(wn_case *c, const char *field, const json_t *users, wn_case_names *items) {
  const json_t *rows = wn_case_field(c, field), *each;
  const char *user;
  size_t total = 0, n = 0;
  if (users == NULL) users = rows;
  json_object_foreach((json_t *)(uintptr_t)rows, user, each) total += json_array_size(each);
  uint64_t *ptr = wn_case_alloc(c, json_object_size(users) + 1, sizeof *ptr);
  uint32_t *item = wn_case_alloc(c, total, sizeof *item);
  if (!wn_case_ok(c)) return (wn_lists){0};
  total = 0;
  json_object_foreach((json_t *)(uintptr_t)users, user, each) {
    const json_t *row = json_object_get(rows, user);
    for (size_t i = 0; i < json_array_size(row); i++) {
      item[total] = wn_case_name(items, json_array_get(row, i));
      if (item[total++] == WN_NO_IX) c->wrong = field;
    }
    ptr[++n] = total;
  }
  return (wn_lists){n, ptr, item};
}

/* --- comparing --- */

typedef struct comparison {
  const wn_case *c;
  const char *id, *kind;
  wn_case_each *each;
  void *ctx;
  wn_case_counts *counts;
} comparison;

static void tell(comparison *t, wn_case_value value) {
  value.id = t->id;
  value.kind = t->kind;
  t->counts->values++;
  t->counts->failed += value.verdict == WN_CASE_FAILED;
  if (t->each != NULL) t->each(t->ctx, &value);
}

static bool within_range(const json_t *range, double got) {
  return got >= json_number_value(json_array_get(range, 0)) &&
         got <= json_number_value(json_array_get(range, 1));
}

static void leaf(comparison *t, const char *path, const json_t *expected, const json_t *got,
                 double tolerance) {
  const json_t *range = json_object_get(t->c->within, path);
  char *want =
      json_dumps(range != NULL ? range : expected, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
  char *have = got != NULL ? json_dumps(got, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) : NULL;
  bool same;
  if (range != NULL)
    same = json_is_number(got) && within_range(range, json_number_value(got));
  else if (json_is_number(expected) && json_is_number(got))
    same = fabs(json_number_value(got) - json_number_value(expected)) <=
           tolerance * fmax(1, fabs(json_number_value(expected)));
  else
    same = json_equal(expected, got);
  tell(t, (wn_case_value){.path = path,
                          .expected = want != NULL ? want : "",
                          .got = have != NULL ? have : "nothing",
                          .tolerance = range != NULL ? NAN : tolerance,
                          .verdict = same ? WN_CASE_PASSED : WN_CASE_FAILED});
  free(want);
  free(have);
}

/* The tolerance of `name`: that of a sibling "X_tol", X being how the name begins. */
static double tolerance_of(const json_t *object, const char *name, double otherwise) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    size_t len = strlen(key);
    if (len > 4 && strcmp(key + len - 4, "_tol") == 0 && strncmp(key, name, len - 4) == 0)
      return json_number_value(value);
  }
  return otherwise;
}

static bool is_a_remark(const char *key) {
  size_t len = strlen(key);
  return (len >= 4 && strcmp(key + len - 4, "note") == 0) ||
         (len > 4 && strcmp(key + len - 4, "_tol") == 0);
}

static void compare(comparison *t, const char *path, const json_t *expected, const json_t *got,
                    double tolerance) {
  char longer[PATH_SIZE];
  const char *key;
  json_t *value;
  const char *dot = path[0] != '\0' ? "." : "";
  if (json_is_object(expected) && json_is_object(got) && json_object_size(expected) > 0) {
    json_object_foreach((json_t *)(uintptr_t)expected, key, value) {
      if (is_a_remark(key)) continue;
      snprintf(longer, sizeof longer, "%s%s%s", path, dot, key);
      compare(t, longer, value, json_object_get(got, key), tolerance_of(expected, key, tolerance));
    }
  } else if (json_is_array(expected) && json_is_array(got) &&
             json_array_size(expected) == json_array_size(got) && json_array_size(expected) > 0) {
    for (size_t i = 0; i < json_array_size(expected); i++) {
      snprintf(longer, sizeof longer, "%s%s%zu", path, dot, i);
      compare(t, longer, json_array_get(expected, i), json_array_get(got, i), tolerance);
    }
  } else {
    leaf(t, path, expected, got, tolerance);
  }
}

/* --- one case --- */

static void run_case(comparison *t, const json_t *json) {
  wn_case c = {.input = json_object_get(json, "input"),
               .expected = json_object_get(json, "expected")};
  const char *kind = json_string_value(json_object_get(json, "kind"));
  const char *id = json_string_value(json_object_get(json, "id"));
  const json_t *tolerance = json_object_get(json, "tol");
  char wrong[160];
  t->c = &c;
  t->id = id != NULL ? id : "(no id)";
  t->kind = kind != NULL ? kind : "(no kind)";
  t->counts->cases++;
  const wn_case_kind *known = kind != NULL ? kind_of(kind) : NULL;
  if (known == NULL || !json_is_object(c.input) ||
      !(json_is_object(c.expected) || json_is_null(c.expected))) {
    tell(t,
         (wn_case_value){.path = "",
                         .expected = known == NULL ? "a kind that is known" : "input and expected",
                         .got = t->kind,
                         .verdict = WN_CASE_FAILED});
    return;
  }
  c.got = json_object();
  c.within = json_object();
  wn_arena_init(&c.arena, ARENA_MAX);
  known->run(&c);
  if (c.skip != NULL) {
    t->counts->skipped++;
    wn_case_value value = {.id = t->id,
                           .kind = t->kind,
                           .path = "",
                           .expected = "",
                           .got = c.skip,
                           .verdict = WN_CASE_SKIPPED};
    if (t->each != NULL) t->each(t->ctx, &value);
  } else if (c.wrong != NULL) {
    snprintf(wrong, sizeof wrong, "input without a usable `%s`", c.wrong);
    tell(t, (wn_case_value){.path = "",
                            .expected = "an input of its kind",
                            .got = wrong,
                            .verdict = WN_CASE_FAILED});
  } else {
    /* null: the case is left out of every mean */
    bool nothing = json_is_null(c.expected) && json_is_true(json_object_get(c.got, "excluded"));
    compare(t, "", c.expected, nothing ? c.expected : c.got,
            json_is_number(tolerance) ? json_number_value(tolerance) : 1e-9);
  }
  json_decref(c.got);
  json_decref(c.within);
  wn_arena_clear(&c.arena);
}

/* Numbers of whole protocols over a data set that the file only names. */
static void skip_protocols(comparison *t) {
  t->counts->cases++;
  t->counts->skipped++;
  wn_case_value value = {.id = t->id,
                         .kind = "protocols",
                         .path = "",
                         .expected = "",
                         .got = "needs a data set that the file does not carry",
                         .verdict = WN_CASE_SKIPPED};
  if (t->each != NULL) t->each(t->ctx, &value);
}

/* Numbers that are none, as Python's json writes them, become null. */
static void without_nan(wn_str text, wn_buf *out) {
  static const char *const words[] = {"NaN", "-Infinity", "Infinity"};
  bool quoted = false;
  for (size_t i = 0; i < text.len; i++) {
    size_t word = 0, len = 0;
    for (; !quoted && word < 3 && len == 0; word++) {
      size_t n = strlen(words[word]);
      if (text.len - i >= n && memcmp(text.ptr + i, words[word], n) == 0) len = n;
    }
    if (len > 0) {
      wn_buf_append(out, "null", 4);
      i += len - 1;
      continue;
    }
    if (text.ptr[i] == '"') quoted = !quoted;
    wn_buf_char(out, text.ptr[i]);
    if (quoted && text.ptr[i] == '\\' && i + 1 < text.len) wn_buf_char(out, text.ptr[++i]);
  }
}

wn_status wn_cases_run(wn_str text, const char *file, wn_case_each *each, void *ctx,
                       wn_case_counts *counts, wn_error *err) {
  json_error_t why;
  wn_buf plain = {0};
  without_nan(text, &plain);
  if (plain.failed) {
    wn_buf_clear(&plain);
    return wn_fail(err, WN_E_MEMORY, "", "%s", file);
  }
  json_t *root = json_loadb(plain.data, plain.len, JSON_REJECT_DUPLICATES, &why);
  wn_buf_clear(&plain);
  if (root == NULL) {
    wn_fail(err, WN_E_FORMAT, "", "%s", why.text);
    return err != NULL ? wn_error_at(err, file, why.line, why.column) : WN_E_FORMAT;
  }
  const json_t *cases = json_is_array(root) ? root : json_object_get(root, "cases");
  comparison t = {.id = file, .each = each, .ctx = ctx, .counts = counts};
  if (json_is_object(json_object_get(root, "protocols"))) {
    skip_protocols(&t);
  } else if (!json_is_array(cases)) {
    json_decref(root);
    return wn_fail(err, WN_E_FORMAT, "cases", "%s: there is no array of cases", file);
  }
  for (size_t i = 0; i < json_array_size(cases); i++) run_case(&t, json_array_get(cases, i));
  json_decref(root);
  return WN_OK;
}
