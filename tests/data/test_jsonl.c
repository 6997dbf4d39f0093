#include "read_harness.h"

static void expect(const char *name, const char *text, const wn_read_options *options,
                   const char *records) {
  outcome o = {0};
  run_read(&o, write_text(name, text), options);
  if (o.status != WN_OK) {
    char buf[1024];
    fail_msg("%s", wn_error_format(&o.err, buf, sizeof buf));
  }
  assert_string_equal(records_of(&o), records);
  outcome_clear(&o);
}

static void test_records(WN_UNUSED void **state) {
  wn_read_options options = options_for("auto");
  expect("a.jsonl",
         "{\"user\":\"u\",\"item\":\"i\",\"type\":\"view\",\"time\":1500000000}\n"
         "\n"
         "{\"user\":7,\"item\":8,\"type\":\"buy\",\"value\":2.5,\"time\":\"2020-01-01T00:00:00Z\","
         "\"id\":\"e1\",\"slate\":\"s\"}\r\n"
         "{\"user\":\"u\",\"item\":\"i\",\"type\":\"view\",\"value\":null}\n"
         "{\"id\":\"i\",\"title\":\"T\",\"text\":\"x\",\"status\":\"hidden\",\"created\":"
         "1500000000,\"attributes\":{\"a\":1,\"b\":[\"x\",\"y\"],\"c\":true,\"d\":null}}\n"
         "{\"item\":\"j\"}\n"
         "{\"user\":\"u\",\"attributes\":{\"age\":30}}",
         &options,
         "E u view i 1500000000000\n"
         "E 7 buy 8 1577836800000 value=2.5 id=e1 slate=s\n"
         "E u view i 1700000000000\n"
         "I {\"id\":\"i\",\"title\":\"T\",\"text\":\"x\",\"status\":\"hidden\",\"created\":"
         "\"2017-07-14T02:40:00.000Z\",\"attributes\":{\"a\":1,\"b\":[\"x\",\"y\"],\"c\":true}}\n"
         "I {\"id\":\"j\",\"status\":\"active\",\"attributes\":{}}\n"
         "U {\"id\":\"u\",\"attributes\":{\"age\":30}}\n");
  expect("users.ndjson", "{\"id\":\"u\"}\n", &options, "U {\"id\":\"u\",\"attributes\":{}}\n");
  expect("sniffed", "{\"id\":\"i\"}\n", &options,
         "I {\"id\":\"i\",\"status\":\"active\",\"attributes\":{}}\n");
  options.kind = WN_RECORD_USERS;
  expect("any.jsonl", "{\"id\":\"u\"}\n", &options, "U {\"id\":\"u\",\"attributes\":{}}\n");
}

static void test_maps(WN_UNUSED void **state) {
  wn_column_map map[] = {{WN_STR("user"), WN_STR("who")},
                         {WN_STR("item"), WN_STR("what")},
                         {WN_STR("type"), WN_STR("!like")}};
  wn_read_options options = options_for("jsonl");
  options.map = map;
  options.map_len = 3;
  expect("m.jsonl",
         "{\"who\":\"u\",\"what\":\"i\",\"time\":1500000000,\"session\":4,\"type\":\"other\"}\n",
         &options, "E u like i 1500000000000\n");
  wn_column_map items[] = {{WN_STR("id"), WN_STR("sku")},
                           {WN_STR("title"), WN_STR("name")},
                           {WN_STR("attr.colour"), WN_STR("farbe")}};
  options.map = items;
  expect("m.jsonl",
         "{\"sku\":5,\"name\":\"N\",\"farbe\":\"red\",\"price\":3,\"type\":\"book\","
         "\"attributes\":{\"x\":1}}\n",
         &options,
         "I {\"id\":\"5\",\"title\":\"N\",\"status\":\"active\",\"attributes\":{\"colour\":\"red\","
         "\"price\":3,\"type\":\"book\",\"x\":1}}\n");
}

static void test_bad_lines(WN_UNUSED void **state) {
  static const struct {
    const char *line;
    const char *says;
  } rows[] = {
      {"{\"user\":\"u\"", "bad.jsonl:1: : "},
      {"[1,2]", "must be a JSON object"},
      {"7", "bad.jsonl:1: : "},
      {"{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\",\"itme\":1}",
       "itme: \"itme\" is no known key; known are user, item, type, value, time, id, slate"},
      {"{\"user\":\"u\",\"item\":\"i\"}", "type: "},
      {"{\"user\":\"\",\"item\":\"i\",\"type\":\"v\"}", "user: "},
      {"{\"user\":1.5,\"item\":\"i\",\"type\":\"v\"}", "user: must be a string or a whole number"},
      {"{\"user\":\"u\",\"item\":\"i\",\"type\":7}", "type: must be a string"},
      {"{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\",\"value\":\"1\"}", "value: must be a number"},
      {"{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\",\"time\":\"soon\"}", "time: "},
      {"{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\",\"time\":[]}", "time: must be a number or"},
      {"{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\",\"time\":1800000000}", "time: "},
      {"{\"user\":\"u\",\"user\":\"x\",\"item\":\"i\",\"type\":\"v\"}", "duplicate"},
      {"{\"user\":\"u\",\"item\":\"\\u0000\",\"type\":\"v\"}", "bad.jsonl:1: : "},
      {"{\"id\":\"i\",\"attributes\":[]}", "attributes: must be a JSON object"},
      {"{\"id\":\"i\",\"attributes\":{\"a\":{}}}", "attributes: "},
      {"{\"id\":\"i\",\"status\":\"gone\"}", "status: must be \"active\" or \"hidden\""},
      {"{\"id\":\"i\",\"created\":\"1066-10-14\"}", "created"},
      {"{\"id\":null}", "id: "},
      {"{}", "id: "},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    outcome o = {0};
    wn_read_options options = options_for("jsonl");
    options.skip_bad = true;
    run_read(&o, write_text("bad.jsonl", rows[i].line), &options);
    assert_int_equal(o.status, WN_OK);
    assert_int_equal(o.report.bad_lines, 1);
    if (strstr(bad_of(&o), rows[i].says) == NULL) {
      fail_msg("%s\nlacks \"%s\"", bad_of(&o), rows[i].says);
    }
    outcome_clear(&o);
  }
}

static void test_duplicates(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("jsonl");
  const char *line = "{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\",\"time\":1500000000}\n";
  char text[512];
  snprintf(text, sizeof text, "%s%s%s%s", line, line, "{\"id\":\"i\"}\n{\"id\":\"i\"}\n",
           "{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\"}\n"
           "{\"user\":\"u\",\"item\":\"i\",\"type\":\"v\"}\n");
  run_read(&o, write_text("d.jsonl", text), &options);
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.duplicate_lines, 1);
  assert_int_equal(o.report.events, 3);
  assert_int_equal(o.report.items, 2);
  outcome_clear(&o);
}

/* What is written reads back as the same text. */
static void test_round_trip(WN_UNUSED void **state) {
  static const char *const texts[] = {
      "{\"id\":\"a\\\"b\\\\ \xc3\xa9\",\"title\":\"T\",\"text\":\"l1\\nl2\",\"status\":\"hidden\","
      "\"created\":\"2017-07-14T02:40:00.500Z\",\"attributes\":{\"a\":0.1,\"b\":[],\"c\":false,"
      "\"d\":\"\"}}",
      "{\"id\":\"i\",\"status\":\"active\",\"attributes\":{}}"};
  for (size_t i = 0; i < 2; i++) {
    wn_arena arena;
    wn_buf out = {0};
    wn_item_record item;
    wn_error err;
    wn_arena_init(&arena, 1 << 20);
    json_t *json = json_loads(texts[i], 0, NULL);
    assert_int_equal(wn_item_from_json(json, &arena, &item, &err), WN_OK);
    wn_item_to_json(&item, &out);
    assert_string_equal(wn_buf_c(&out), texts[i]);
    json_decref(json);
    wn_buf_clear(&out);
    wn_arena_clear(&arena);
  }
}

static void test_memory_failures(WN_UNUSED void **state) {
  wn_read_options options = options_for("jsonl");
  wn_column_map map = {WN_STR("title"), WN_STR("name")};
  options.map = &map;
  options.map_len = 1;
  const char *path = write_text("m.jsonl", "{\"id\":1,\"name\":\"x\",\"a\":[\"p\",\"q\"]}\n"
                                           "{\"user\":1,\"item\":2,\"type\":\"v\",\"time\":1e9}\n");
  bool done = false;
  for (long n = 0; !done && n < 300; n++) {
    outcome o = {.quiet = true};
    wn_mem_fail_after(n);
    run_read(&o, path, &options);
    wn_mem_fail_after(-1);
    assert_true(o.status == WN_OK || o.status == WN_E_MEMORY);
    done = o.status == WN_OK;
    outcome_clear(&o);
  }
  assert_true(done);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_records),    cmocka_unit_test(test_maps),
      cmocka_unit_test(test_bad_lines),  cmocka_unit_test(test_duplicates),
      cmocka_unit_test(test_round_trip), cmocka_unit_test(test_memory_failures),
  };
  return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
