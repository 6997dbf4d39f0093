/* The filter language: what parses to what, where errors point, what each rule means, and that the
 * pass by columns agrees with the item-by-item twin. */
#include "fixture.h"

static wn_expr *parse(const char *text) {
  wn_error err = {0};
  wn_expr *expr = NULL;
  if (wn_expr_parse(wn_str_of(text), "filter", &expr, &err) != WN_OK) {
    fail_msg("%s: %ld:%ld: %s", text, err.line, err.column, err.message);
  }
  return expr;
}

static void test_good(void **state) {
  (void)state;
  static const struct {
    const char *text, *canonical;
  } rows[] = {
      {"category == \"games\" and price < 20 and not (\"adult\" in tags)",
       "category == \"games\" and price < 20 and not tags == \"adult\""},
      {"true", "true"},
      {"  false\n", "false"},
      {"a==1", "a == 1"},
      {"a != -2.5e3", "a != -2500"},
      {"a<=1 or b>=2 and c>3", "a <= 1 or b >= 2 and c > 3"},
      {"(a<=1 or b>=2) and c>3", "(a <= 1 or b >= 2) and c > 3"},
      {"a == 1 and (b == 2 and c == 3)", "a == 1 and (b == 2 and c == 3)"},
      {"(a == 1 and b == 2) and c == 3", "a == 1 and b == 2 and c == 3"},
      {"not not a == true", "not not a == true"},
      {"not (a == 1 or b == 2)", "not (a == 1 or b == 2)"},
      {"a in [1, 'x', true]", "a in [1, \"x\", true]"},
      {"a not in [1]", "not a in [1]"},
      {"'x' not in a", "not a == \"x\""},
      {"has(a) and starts_with(b, 'lib')", "has(a) and starts_with(b, \"lib\")"},
      {"has == 1", "has == 1"},
      {"`release year` == 1 and `in` == 2", "`release year` == 1 and `in` == 2"},
      {"a.b-c == 1", "a.b-c == 1"},
      {"\xC3\xA9t\xC3\xA9 == 1", "\xC3\xA9t\xC3\xA9 == 1"},
      {"a == 'it\\'s \"x\"\\n\\t\\\\'", "a == \"it's \\\"x\\\"\\n\\t\\\\\""},
      {"created >= \"2024-05-01\"", "created >= 1714521600"},
      {"created in ['1970-01-02', 5]", "created in [86400, 5]"},
      {"id == 'x' or title == 'y'", "id == \"x\" or title == \"y\""},
      {"price<-3", "price < -3"},
      {"a == .5 or a == +1 or a == -0", "a == 0.5 or a == 1 or a == 0"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    wn_buf out = {0};
    wn_expr *expr = parse(rows[i].text);
    wn_expr_print(expr, &out);
    assert_string_equal(wn_buf_c(&out), rows[i].canonical);
    assert_true(wn_str_is(wn_expr_text(expr), rows[i].text));
    wn_expr_free(expr);
    wn_buf_clear(&out);
  }
}

static void test_bad(void **state) {
  (void)state;
  static const struct {
    const char *text;
    long line, column;
    const char *part;
  } rows[] = {
      {"", 1, 1, "expected a condition, found the end"},
      {"   ", 1, 4, "found the end"},
      {"a", 1, 2, "expected an operator"},
      {"a = 1", 1, 3, "expected =="},
      {"a == ", 1, 6, "expected a string, a number"},
      {"a == b", 1, 6, "found b"},
      {"a == 1 &&  b == 2", 1, 8, "expected and"},
      {"a == 1 || b == 2", 1, 8, "expected or"},
      {"!a", 1, 1, "expected not"},
      {"a & b", 1, 3, "unexpected \"&\""},
      {"a == 1 b == 2", 1, 8, "expected and, or, or the end"},
      {"(a == 1", 1, 8, "expected and, or, or )"},
      {"a == 1)", 1, 7, "found )"},
      {"a in 1", 1, 6, "["},
      {"a in []", 1, 7, "a string, a number"},
      {"a in [1 2]", 1, 9, ", or ]"},
      {"a in [1,]", 1, 9, "found ]"},
      {"a in [1", 1, 8, "found the end"},
      {"a not == 1", 1, 7, "expected in"},
      {"1 == a", 1, 1, "expected a condition, found 1"},
      {"'x' == a", 1, 5, "expected in and"},
      {"'x' in 'y'", 1, 8, "an attribute's name"},
      {"'x' in and", 1, 8, "an attribute's name, found and"},
      {"and a == 1", 1, 1, "expected a condition, found and"},
      {"a == 'x", 1, 6, "closing '"},
      {"a == \"x'", 1, 6, "closing \""},
      {"a == 'x\ny'", 1, 6, "closing '"},
      {"a == '\\x'", 1, 7, "unknown escape"},
      {"a == 'x\\", 1, 8, "unknown escape"},
      {"`a == 1", 1, 1, "closing `"},
      {"`` == 1", 1, 1, "1 to 64 bytes"},
      {"a == 0x10", 1, 6, "not a number"},
      {"a == 1e999", 1, 6, "not a number"},
      {"a == nan", 1, 6, "found nan"},
      {"a == -inf", 1, 6, "not a number"},
      {"a == 12abc", 1, 6, "not a number"},
      {"foo(a)", 1, 1, "unknown function \"foo\""},
      {"has()", 1, 5, "an attribute's name"},
      {"has('a')", 1, 5, "an attribute's name"},
      {"has(a", 1, 6, "expected )"},
      {"starts_with(a)", 1, 14, ", and a string"},
      {"starts_with(a, 1)", 1, 16, "a string, found 1"},
      {"created > 'yesterday'", 1, 11, "a date"},
      {"a == 1 and\n  b ~ 2", 2, 5, "unexpected \"~\""},
      {"'\xC3\xA9t\xC3\xA9' in tags ?", 1, 15, "unexpected \"?\""},
      {"a == 1 \x01", 1, 8, "unexpected byte 0x01"},
      {"a == 1 \"x\"", 1, 8, "found \"x\""},
      {"true == 1", 1, 6, "expected and, or, or the end"},
      {"has(true)", 1, 5, "found true"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    wn_error err = {0};
    wn_expr *expr = NULL;
    wn_status status = wn_expr_parse(wn_str_of(rows[i].text), "filter", &expr, &err);
    if (status != WN_E_ARGUMENT || err.line != rows[i].line || err.column != rows[i].column ||
        strstr(err.message, rows[i].part) == NULL || strcmp(err.field, "filter") != 0) {
      fail_msg("%s: status %d at %ld:%ld: %s", rows[i].text, (int)status, err.line, err.column,
               err.message);
    }
    assert_null(expr);
  }
}

static void test_odd_bytes(void **state) {
  (void)state;
  wn_error err = {0};
  wn_expr *expr;
  assert_int_equal(wn_expr_parse((wn_str){"a == 1\0", 7}, "f", &expr, &err), WN_E_ARGUMENT);
  assert_int_equal(err.column, 7);
  assert_int_equal(wn_expr_parse(WN_STR("a == '\xFF'"), "f", &expr, &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "UTF-8"));
  assert_int_equal(wn_expr_parse((wn_str){NULL, 0}, "f", &expr, NULL), WN_E_ARGUMENT);
}

static void repeat(wn_buf *out, const char *text, int times) {
  for (int i = 0; i < times; i++) wn_buf_str(out, text);
}

static wn_status parse_status(wn_buf *text) {
  wn_error err;
  wn_expr *expr;
  wn_status status = wn_expr_parse((wn_str){text->data, text->len}, "f", &expr, &err);
  wn_expr_free(expr);
  wn_buf_reset(text);
  return status;
}

static void test_limits(void **state) {
  (void)state;
  wn_buf text = {0};
  for (int depth = 31; depth <= 34; depth++) {
    wn_status expected = depth <= WN_EXPR_DEPTH_MAX ? WN_OK : WN_E_ARGUMENT;
    repeat(&text, "(", depth), repeat(&text, "true", 1), repeat(&text, ")", depth);
    assert_int_equal(parse_status(&text), expected);
    repeat(&text, "not ", depth), repeat(&text, "true", 1);
    assert_int_equal(parse_status(&text), expected);
  }
  /* n conditions and n − 1 operators */
  repeat(&text, "a<1 or ", 127), repeat(&text, "a<1", 1);
  assert_int_equal(parse_status(&text), WN_OK);
  repeat(&text, "a<1 or ", 128), repeat(&text, "a<1", 1);
  assert_int_equal(parse_status(&text), WN_E_ARGUMENT);
  repeat(&text, "true", 1), repeat(&text, " ", WN_EXPR_BYTES_MAX - 4);
  assert_int_equal(parse_status(&text), WN_OK);
  repeat(&text, "true", 1), repeat(&text, " ", WN_EXPR_BYTES_MAX - 3);
  assert_int_equal(parse_status(&text), WN_E_ARGUMENT);
  /* a list may be as long as the text */
  repeat(&text, "a in ['1'", 1), repeat(&text, ",'1'", 1000), repeat(&text, "]", 1);
  assert_int_equal(parse_status(&text), WN_OK);
  repeat(&text, "id in ['1'", 1), repeat(&text, ",'1'", 1000), repeat(&text, "]", 1);
  assert_int_equal(parse_status(&text), WN_OK);
  /* but what looks at every item is counted: numbers, titles, texts by order */
  repeat(&text, "a in [1", 1), repeat(&text, ",1", 255), repeat(&text, "]", 1);
  assert_int_equal(parse_status(&text), WN_OK);
  repeat(&text, "a in [1", 1), repeat(&text, ",1", 256), repeat(&text, "]", 1);
  assert_int_equal(parse_status(&text), WN_E_ARGUMENT);
  const char *dear[] = {"title == 'x'", "id < 'x'", "starts_with(a, 'x')", "a >= 'x'"};
  for (size_t i = 0; i < 4; i++) {
    for (int n = 8; n <= 9; n++) {
      repeat(&text, dear[i], 1);
      for (int more = 1; more < n; more++) repeat(&text, " or ", 1), repeat(&text, dear[i], 1);
      assert_int_equal(parse_status(&text), n == 8 ? WN_OK : WN_E_ARGUMENT);
    }
  }
  repeat(&text, "a", 64), repeat(&text, "==1", 1);
  assert_int_equal(parse_status(&text), WN_OK);
  repeat(&text, "a", 65), repeat(&text, "==1", 1);
  assert_int_equal(parse_status(&text), WN_E_ARGUMENT);
  wn_buf_clear(&text);
}

/* A catalogue by hand: every kind of value, and missing ones. */
static void put_by_hand(fx_world *w) {
  wn_str two[] = {WN_STR("red"), WN_STR("blue")}, one[] = {WN_STR("red")};
  wn_attr rows[][2] = {
      {{.name = WN_STR("c"), .kind = WN_ATTR_STRING, .string = WN_STR("red")},
       {.name = WN_STR("p"), .kind = WN_ATTR_NUMBER, .number = 20}},
      {{.name = WN_STR("c"), .kind = WN_ATTR_LIST, .list = two, .list_len = 2},
       {.name = WN_STR("p"), .kind = WN_ATTR_NUMBER, .number = 10.5}},
      {{.name = WN_STR("c"), .kind = WN_ATTR_NUMBER, .number = 1},
       {.name = WN_STR("p"), .kind = WN_ATTR_STRING, .string = WN_STR("20")}},
      {{.name = WN_STR("c"), .kind = WN_ATTR_BOOL, .boolean = true},
       {.name = WN_STR("p"), .kind = WN_ATTR_NUMBER, .number = -1}},
      {{.name = WN_STR("c"), .kind = WN_ATTR_LIST, .list = one, .list_len = 0},
       {.name = WN_STR("p"), .kind = WN_ATTR_NUMBER, .number = 0}},
      {{.name = WN_STR("x"), .kind = WN_ATTR_BOOL}, {.name = WN_STR("y"), .kind = WN_ATTR_BOOL}},
  };
  for (wn_item_ix i = 0; i < 6; i++) {
    char id[8];
    wn_error err;
    fx_id(w, i);
    snprintf(id, sizeof id, "i%u", i);
    wn_item_record record = {.id = wn_str_of(id), .attrs = {rows[i], 2}, .created_ms = 1000 + i};
    if (i > 0) record.title = i % 2 == 0 ? WN_STR("even") : WN_STR("odd");
    assert_int_equal(wn_catalog_put(w->catalog, i, &record, &err), WN_OK);
  }
}

static void test_meaning(void **state) {
  (void)state;
  static const struct {
    const char *text, *matches; /* one digit an item */
  } rows[] = {
      {"c == 'red'", "110000"},
      {"c != 'red'", "001110"}, /* not the item without c */
      {"not (c == 'red')", "001111"},
      {"'red' in c", "110000"},
      {"'red' not in c", "001111"},
      {"'blue' in c", "010000"},
      {"c == 1", "001000"},
      {"c == true", "000100"},
      {"c == false", "000000"},
      {"c != true", "111010"},
      {"c in ['blue', 1, true]", "011100"},
      {"c not in ['blue', 1, true]", "100011"},
      {"c < 'z'", "100000"}, /* no order on lists */
      {"c >= true", "000000"},
      {"has(c)", "111110"},
      {"not has(c)", "000001"},
      {"starts_with(c, 're')", "110000"},
      {"starts_with(c, '')", "110000"},
      {"starts_with(c, 'blue')", "010000"},
      {"starts_with(c, 'bluer')", "000000"},
      {"p < 20", "010110"},
      {"p <= 20", "110110"},
      {"p > 10.5", "100000"},
      {"p >= 10.5 and p != 20", "010000"},
      {"p == '20'", "001000"},
      {"p == 0", "000010"},
      {"p == -1 or c == 1", "001100"},
      {"nothing == 1", "000000"},
      {"nothing != 1", "000000"},
      {"not nothing != 1", "111111"},
      {"id == 'i2'", "001000"},
      {"id != 'i2'", "110111"},
      {"id in ['i1', 'i5', 'i9']", "010001"},
      {"starts_with(id, 'i')", "111111"},
      {"has(id)", "111111"},
      {"title == 'odd'", "010101"},
      {"title != 'odd'", "001010"},
      {"has(title)", "011111"},
      {"title > 'f'", "010101"},
      {"'even' in title", "001010"},
      {"created <= 1.002", "111000"},
      {"created > '1970-01-01T00:00:01.003Z'", "000011"},
      {"created in [1, 1.005]", "100001"},
      {"true", "111111"},
      {"false", "000000"},
      {"not false and x == false", "000001"},
      {"p == 20 or p == 10.5 and c == 1", "100000"},
  };
  fx_world w = {0};
  w.ids = wn_dict_create();
  w.catalog = wn_catalog_create(w.ids);
  put_by_hand(&w);
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    wn_bitset out;
    wn_error err;
    wn_expr *expr = parse(rows[r].text);
    assert_true(wn_bitset_init(&out, 6));
    assert_int_equal(wn_expr_eval(expr, w.catalog, &out, &err), WN_OK);
    char got[7] = "", twin[7] = "";
    for (wn_item_ix i = 0; i < 6; i++) {
      got[i] = wn_bitset_test(&out, i) ? '1' : '0';
      twin[i] = wn_expr_test(expr, w.catalog, i) ? '1' : '0';
    }
    if (strcmp(got, rows[r].matches) != 0 || strcmp(twin, rows[r].matches) != 0) {
      fail_msg("%s: expected %s, by columns %s, by item %s", rows[r].text, rows[r].matches, got,
               twin);
    }
    assert_false(wn_expr_test(expr, w.catalog, 6));
    wn_bitset_clear(&out);
    wn_expr_free(expr);
  }
  wn_catalog_free(w.catalog);
  wn_dict_free(w.ids);
}

static void random_literal(wn_rng *rng, wn_buf *out) {
  static const char *const literals[] = {
      "\"red\"", "'green'", "\"a \\\"b\\\"\"", "''",   "'s1'",      "'s3'", "-1.5", "0",
      "2",       "true",    "false",           "'i7'", "'Title 3'", "1e3"};
  wn_buf_str(out, literals[wn_rng_below(rng, sizeof literals / sizeof *literals)]);
}

static void random_leaf(wn_rng *rng, wn_buf *out) {
  static const char *const names[] = {"section", "tags", "price", "free",
                                      "mixed",   "id",   "title", "absent"};
  static const char *const ops[] = {" == ", " != ", " < ", " <= ", " > ", " >= "};
  const char *name = names[wn_rng_below(rng, 8)];
  switch (wn_rng_below(rng, 7)) {
  case 0: wn_buf_printf(out, "has(%s)", name); break;
  case 1:
    wn_buf_printf(out, "starts_with(%s, '%s')", name, wn_rng_below(rng, 2) ? "s" : "r");
    break;
  case 2: wn_buf_printf(out, "'blue' %sin %s", wn_rng_below(rng, 2) ? "not " : "", name); break;
  case 3:
    wn_buf_printf(out, "%s %sin [", name, wn_rng_below(rng, 2) ? "not " : "");
    for (uint64_t i = wn_rng_below(rng, 4);; i--) {
      random_literal(rng, out);
      if (i == 0) break;
      wn_buf_str(out, ", ");
    }
    wn_buf_str(out, "]");
    break;
  case 4:
    wn_buf_printf(out, "created%s%u", ops[wn_rng_below(rng, 6)],
                  86400 * (unsigned)wn_rng_below(rng, 5));
    break;
  default:
    wn_buf_str(out, name);
    wn_buf_str(out, ops[wn_rng_below(rng, 6)]);
    random_literal(rng, out);
  }
}

static void random_expr(wn_rng *rng, int depth, wn_buf *out) {
  uint64_t kind = depth == 0 ? 9 : wn_rng_below(rng, 10);
  if (kind < 5) {
    wn_buf_str(out, "(");
    random_expr(rng, depth - 1, out);
    wn_buf_str(out, kind < 3 ? " and " : " or ");
    random_expr(rng, depth - 1, out);
    if (wn_rng_below(rng, 3) == 0) {
      wn_buf_str(out, wn_rng_below(rng, 2) ? " or " : " and ");
      random_leaf(rng, out);
    }
    wn_buf_str(out, ")");
  } else if (kind == 5) {
    wn_buf_str(out, "not ");
    random_expr(rng, depth - 1, out);
  } else {
    random_leaf(rng, out);
  }
}

/* eval == test for each item; print parses back to what prints the same and matches the same. */
static void check_expr(const fx_world *w, const wn_buf *text) {
  wn_bitset out, again;
  wn_error err = {0};
  wn_buf printed = {0}, reprinted = {0};
  wn_expr *expr = NULL, *back = NULL;
  if (wn_expr_parse((wn_str){text->data, text->len}, "f", &expr, &err) != WN_OK) {
    assert_non_null(strstr(err.message, "more than")); /* too large: the only way to fail */
    return;
  }
  wn_expr_print(expr, &printed);
  if (wn_expr_parse((wn_str){printed.data, printed.len}, "f", &back, &err) != WN_OK) {
    fail_msg("%s: %s", wn_buf_c(&printed), err.message);
  }
  wn_expr_print(back, &reprinted);
  assert_string_equal(wn_buf_c(&printed), wn_buf_c(&reprinted));
  assert_true(wn_bitset_init(&out, w->items));
  assert_true(wn_bitset_init(&again, w->items));
  assert_int_equal(wn_expr_eval(expr, w->catalog, &out, &err), WN_OK);
  assert_int_equal(wn_expr_eval(back, w->catalog, &again, &err), WN_OK);
  for (wn_item_ix i = 0; i < w->items; i++) {
    bool expected = wn_expr_test(expr, w->catalog, i);
    if (wn_bitset_test(&out, i) != expected || wn_bitset_test(&again, i) != expected) {
      fail_msg("%.*s: item %u", (int)text->len, text->data, i);
    }
  }
  wn_bitset_clear(&out);
  wn_bitset_clear(&again);
  wn_buf_clear(&printed);
  wn_buf_clear(&reprinted);
  wn_expr_free(expr);
  wn_expr_free(back);
}

static void test_random(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    fx_world w;
    wn_rng rng;
    wn_buf text = {0};
    fx_init(&w, 20 + (uint32_t)seed * 37, seed);
    wn_rng_seed(&rng, seed * 7919);
    for (int i = 0; i < 250; i++) {
      wn_buf_reset(&text);
      random_expr(&rng, (int)wn_rng_below(&rng, 5), &text);
      check_expr(&w, &text);
    }
    wn_buf_clear(&text);
    fx_clear(&w);
  }
}

static void test_empty_catalogue(void **state) {
  (void)state;
  fx_world w;
  wn_bitset out;
  wn_error err;
  fx_init(&w, 0, 1);
  assert_true(wn_bitset_init(&out, 0));
  wn_expr *expr = parse("not (a == 1 and has(b)) or id == 'x'");
  assert_int_equal(wn_expr_eval(expr, w.catalog, &out, &err), WN_OK);
  assert_int_equal(wn_bitset_count(&out), 0);
  wn_bitset_clear(&out);
  assert_true(wn_bitset_init(&out, 3));
  assert_int_equal(wn_expr_eval(expr, w.catalog, &out, &err), WN_E_INTERNAL);
  wn_bitset_clear(&out);
  wn_expr_free(expr);
  fx_clear(&w);
}

static void test_memory(void **state) {
  (void)state;
  fx_world w;
  wn_error err;
  wn_bitset out;
  const char *text = "(a == 'x' or tags in ['red', 'b']) and not (price < 3 or has(free))";
  fx_init(&w, 50, 3);
  assert_true(wn_bitset_init(&out, w.items));
  bool done = false;
  for (long n = 0; !done; n++) {
    wn_expr *expr = NULL;
    assert_true(n < 1000);
    wn_mem_fail_after(n);
    wn_status status = wn_expr_parse(wn_str_of(text), "f", &expr, &err);
    if (status == WN_OK) status = wn_expr_eval(expr, w.catalog, &out, &err);
    done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    assert_int_equal(status, done ? WN_OK : WN_E_MEMORY);
    wn_expr_free(expr);
  }
  wn_bitset_clear(&out);
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),
      cmocka_unit_test(test_bad),
      cmocka_unit_test(test_odd_bytes),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_meaning),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_empty_catalogue),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
