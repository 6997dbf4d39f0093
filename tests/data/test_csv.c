#include "read_harness.h"

#include <zlib.h>

static wn_column_map map_of(const char *field, const char *column) {
  return (wn_column_map){wn_str_of(field), wn_str_of(column)};
}

/* Reads `text` as the file `name` and compares the records. */
static void expect(const char *name, const char *text, const wn_read_options *options,
                   const char *records) {
  outcome o = {0};
  run_read(&o, write_text(name, text), options);
  if (o.status != WN_OK) {
    char buf[1024];
    fail_msg("%s", wn_error_format(&o.err, buf, sizeof buf));
  }
  assert_string_equal(records_of(&o), records);
  assert_string_equal(bad_of(&o), "");
  outcome_clear(&o);
}

static void expect_auto(const char *name, const char *text, const char *records) {
  wn_read_options options = options_for("auto");
  expect(name, text, &options, records);
}

/* Fails with this field, this line and a message that contains `says`. */
static void expect_failure(const char *text, const wn_read_options *options, const char *field,
                           long line, const char *says) {
  outcome o = {0};
  const char *path = write_text("bad.csv", text);
  run_read(&o, path, options);
  assert_int_not_equal(o.status, WN_OK);
  assert_string_equal(o.err.field, field);
  assert_int_equal(o.err.line, line);
  if (strstr(o.err.message, says) == NULL) fail_msg("\"%s\" lacks \"%s\"", o.err.message, says);
  if (line > 0) assert_string_equal(o.err.file, path);
  outcome_clear(&o);
}

static void test_events(WN_UNUSED void **state) {
  expect_auto("ratings.csv", "userId,movieId,rating,timestamp\n1,10,4.5,964982703\n2,11,,1e9\n",
              "E 1 rating 10 964982703000 value=4.5\nE 2 rating 11 1000000000000\n");
  expect_auto("log.csv",
              "event_type,Visitor ID,content-id,ts,score,event_id,slate\n"
              "VIEW,v1,c1,2020-01-01,,e1,s1\nCOMMENT CREATED,v1,c2,1577836800000,2,,\n",
              "E v1 view c1 1577836800000 id=e1 slate=s1\n"
              "E v1 comment_created c2 1577836800000 value=2\n");
  expect_auto("plain.csv", "user,item\na,b\n", "E a view b 1700000000000\n");
  expect_auto("nothing.csv", "", "");
  expect_auto("header_only.csv", "user,item\n", "");
  /* the time's unit goes by magnitude */
  expect_auto("t.csv",
              "user,item,time\na,b,1500000000\na,b,1500000000000\na,b,1500000000000000\n"
              "a,b,1500000000000000000\n",
              "E a view b 1500000000000\nE a view b 1500000000000\nE a view b 1500000000000\n"
              "E a view b 1500000000000\n");
}

static void test_shapes_of_files(WN_UNUSED void **state) {
  const char *records = "E u1 view i1 1700000000000\nE u2 view i2 1700000000000\n";
  expect_auto("a.csv", "user,item\nu1,i1\nu2,i2", records);
  expect_auto("b.csv", "\xef\xbb\xbfuser,item\r\nu1,i1\r\n\r\nu2,i2\r\n\r\n", records);
  expect_auto("c.csv", "\n \n\"user\",\"item\"\n\"u1\",i1\nu2,\"i2\"\n", records);
  expect_auto("d.tsv", "user\titem\nu1\ti1\nu2\ti2\n", records);
  expect_auto("sniffed", "user\titem\nu1\ti1\nu2\ti2\n", records);
  expect_auto("sniffed2", "user,item\nu1,i1\nu2,i2\n", records);
  /* what the header says counts, not the name's ending */
  expect_auto("tabs.csv", "user\titem\nu1\ti1\nu2\ti2\n", records);
  expect_auto("commas.tsv", "user,item\nu1,i1\nu2,i2\n", records);
  expect_auto("semicolons.csv", "user;item;\"a,b,c\"\nu1;i1;1\nu2;i2;2\n", records);
  expect_auto("sniffed3", "item;user\ni1;u1\ni2;u2\n", records);
  expect_auto("spaces.csv", " user , item \nu1,i1\nu2,i2\n", records);
}

/* Compressed under a name that does not say so; line numbers are of the text. */
static void test_compressed(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("auto");
  const char *text = "user,item\nu1,i1\n,i2\n";
  const char *path = scratch_path("packed.csv");
  gzFile f = gzopen(path, "wb");
  assert_int_equal(gzwrite(f, text, (unsigned)strlen(text)), strlen(text));
  assert_int_equal(gzclose(f), Z_OK);
  options.skip_bad = true;
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_OK);
  assert_string_equal(records_of(&o), "E u1 view i1 1700000000000\n");
  assert_non_null(strstr(bad_of(&o), "packed.csv:3: user: "));
  outcome_clear(&o);
  assert_int_equal(truncate(path, 30), 0);
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_E_FORMAT); /* also with skip_bad: the rest is unknown */
  assert_non_null(strstr(o.err.message, "ends too early"));
  assert_string_equal(o.err.file, path);
  outcome_clear(&o);
}

static void test_quotes(WN_UNUSED void **state) {
  expect_auto("items.csv",
              "id,title,description\n"
              "1,\"Batman, \"\"the\"\" film\",\"two\nlines, and\r\na third\"\n"
              "2,5\" disk,plain\n"
              "3,\"\",\"\"\"\"\n",
              "I {\"id\":\"1\",\"title\":\"Batman, \\\"the\\\" film\",\"text\":\"two\\nlines, "
              "and\\na third\",\"status\":\"active\",\"attributes\":{}}\n"
              "I {\"id\":\"2\",\"title\":\"5\\\" disk\",\"text\":\"plain\",\"status\":\"active\","
              "\"attributes\":{}}\n"
              "I {\"id\":\"3\",\"text\":\"\\\"\",\"status\":\"active\",\"attributes\":{}}\n");
}

static void test_items_and_users(WN_UNUSED void **state) {
  expect_auto(
      "films.csv",
      "movieId,title,genres,Release year,price,zip,flag,created,status,empty\n"
      "1,Heat,Action|Crime,1995,9.99,02460,true,2020-01-01,hidden,\n"
      "2,Her,Drama,2013,-1e3,,,,,\n",
      "I {\"id\":\"1\",\"title\":\"Heat\",\"status\":\"hidden\",\"created\":\"2020-01-01T00:"
      "00:00.000Z\",\"attributes\":{\"Release_year\":1995,\"flag\":\"true\",\"genres\":["
      "\"Action\",\"Crime\"],\"price\":9.99,\"zip\":\"02460\"}}\n"
      "I {\"id\":\"2\",\"title\":\"Her\",\"status\":\"active\",\"attributes\":{\"Release_"
      "year\":2013,\"genres\":\"Drama\",\"price\":-1000}}\n");
  expect_auto("people.csv", "userId,age,likes\nu1,30,a| b |\n",
              "U {\"id\":\"u1\",\"attributes\":{\"age\":30,\"likes\":[\"a\",\"b\"]}}\n");
  expect_auto("all_users.csv", "id,age\nu1,30\n",
              "U {\"id\":\"u1\",\"attributes\":{\"age\":30}}\n");
  expect_auto("things.csv", "id,age\ni1,30\n",
              "I {\"id\":\"i1\",\"status\":\"active\",\"attributes\":{\"age\":30}}\n");
  wn_read_options options = options_for("csv");
  options.list_separator = "; ";
  expect("l.csv", "sku,a,b\n1,x; y,p|q\n", &options,
         "I {\"id\":\"1\",\"status\":\"active\",\"attributes\":{\"a\":[\"x\",\"y\"],\"b\":"
         "\"p|q\"}}\n");
  options.list_separator = "";
  options.kind = WN_RECORD_ITEMS;
  expect("l.csv", "id,user,a\n1,u,x; y|z\n", &options,
         "I {\"id\":\"1\",\"status\":\"active\",\"attributes\":{\"a\":\"x; y|z\",\"user\":\"u\"}}"
         "\n");
}

static void test_maps(WN_UNUSED void **state) {
  wn_read_options options = options_for("csv");
  wn_column_map map[] = {map_of("user", "who"), map_of("item", "what"), map_of("type", "!like"),
                         map_of("value", ""), map_of("time", "when")};
  options.map = map;
  options.map_len = 5;
  expect("m.csv", "who,what,rating,type,when,time\nu,i,5,x,1500000000,never\n", &options,
         "E u like i 1500000000000\n");
  wn_column_map items[] = {map_of("id", "Code"), map_of("title", "Label"),
                           map_of("attr.colour", "Farbe"), map_of("attr.kinds[]", "Art")};
  options.map = items;
  options.map_len = 4;
  options.kind = WN_RECORD_ITEMS;
  expect("m.csv", "id,Code,Label,Farbe,Art\n7,c1,L,red,one\n", &options,
         "I {\"id\":\"c1\",\"title\":\"L\",\"status\":\"active\",\"attributes\":{\"colour\":"
         "\"red\",\"id\":7,\"kinds\":[\"one\"]}}\n");
}

static void test_bad_maps(WN_UNUSED void **state) {
  wn_read_options options = options_for("csv");
  wn_column_map map = map_of("user", "Nutzer");
  options.map = &map;
  options.map_len = 1;
  expect_failure("a,item\n1,2\n", &options, "user", 1, "no column 'Nutzer'");
  map = map_of("usr", "a");
  expect_failure("a,item\n1,2\n", &options, "map", 1, "'usr' is no field");
  map = map_of("item", "!7");
  expect_failure("user,item\n1,2\n", &options, "map", 1, "only 'type'");
  map = map_of("title", "item");
  expect_failure("user,item\n1,2\n", &options, "map", 1, "'title' is no field of events");
  map = map_of("time", "item");
  expect_failure("item,x\n1,2\n", &options, "map", 1, "'time' is no field of items");
  options.map_len = 0;
  expect_failure("a,b\n1,2\n", &options, "user", 1, "the header has: a, b");
  expect_failure("user,b,time\n1,2,3\n", &options, "item", 1, "--map item=COLUMN");
}

/* Bad lines: each is named by file, line, field and reason. */
static const char *const bad_text = "user,item,rating,timestamp\n" /* 1 */
                                    "u,i,1,1500000000\n"
                                    "u,i,five,1500000001\n"   /* 3 */
                                    ",i,1,1500000002\n"       /* 4 */
                                    "u,i,1\n"                 /* 5 */
                                    "u,i,1,1500000003,x\n"    /* 6 */
                                    "u,i,1,yesterday\n"       /* 7 */
                                    "u,i,1,\n"                /* 8 */
                                    "u,i,1,1800000000\n"      /* 9: in the future */
                                    "u,i,1,-5\n"              /* 10 */
                                    "u,\"i\"x,1,1500000004\n" /* 11 */
                                    "u,i\x01,1,1500000005\n"  /* 12 */
                                    "u,\xff,1,1500000005\n"   /* 13 */
                                    "u,i,nan,1500000005\n"    /* 14 */
                                    "u,i,1e300,1500000005\n"  /* 15 */
                                    "u,i,2,1500000006\n";

static void test_bad_lines_skipped(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("csv");
  options.skip_bad = true;
  run_read(&o, write_text("bad.csv", bad_text), &options);
  assert_int_equal(o.status, WN_OK);
  assert_string_equal(records_of(&o), "E u rating i 1500000000000 value=1\n"
                                      "E u rating i 1500000006000 value=2\n");
  assert_int_equal(o.report.lines, 16);
  assert_int_equal(o.report.events, 2);
  assert_int_equal(o.report.bad_lines, 13);
  static const char *const starts[] = {"bad.csv:3: value: must be a number, got \"five\"",
                                       "bad.csv:4: user: ",
                                       "bad.csv:5: : has 3 columns, the header has 4",
                                       "bad.csv:6: : has 5 columns, the header has 4",
                                       "bad.csv:7: time: ",
                                       "bad.csv:8: time: is empty",
                                       "bad.csv:9: time: ",
                                       "bad.csv:10: time: ",
                                       "bad.csv:11: : column 2: text after the closing quote",
                                       "bad.csv:12: item: ",
                                       "bad.csv:13: item: ",
                                       "bad.csv:14: value: ",
                                       "bad.csv:15: value: "};
  const char *at = bad_of(&o);
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    if (strncmp(at, starts[i], strlen(starts[i])) != 0) fail_msg("%s\nis not %s", at, starts[i]);
    at = strchr(at, '\n') + 1;
  }
  assert_string_equal(at, "");
  outcome_clear(&o);
}

/* Whatever a line holds, what is said about it is UTF-8. */
static void test_messages_are_clean(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("csv");
  options.skip_bad = true;
  run_read(&o, write_text("c.csv", "user,item,rating\nu,i,\"\xff\t\xc3\"\nu,i,\xe2\x82\n"),
           &options);
  assert_int_equal(o.report.bad_lines, 2);
  assert_string_equal(bad_of(&o), "c.csv:2: value: must be a number, got \"???\"\n"
                                  "c.csv:3: value: must be a number, got \"??\"\n");
  outcome_clear(&o);
  run_read(&o, write_text("c.csv", "us\xffr,b\n1,2\n"), &options);
  assert_int_equal(o.status, WN_E_FORMAT);
  assert_non_null(strstr(o.err.message, "us?r, b"));
  outcome_clear(&o);
}

static void test_bad_lines_stop(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("csv");
  const char *path = write_text("bad.csv", bad_text);
  options.bad_lines_max = 3;
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_E_FORMAT);
  assert_int_equal(o.report.bad_lines, 3);
  assert_int_equal(o.report.lines, 5);
  assert_int_equal(o.err.line, 3);
  assert_string_equal(o.err.field, "value");
  assert_string_equal(o.err.file, path);
  assert_non_null(strstr(o.err.message, "the first of 3 bad lines"));
  outcome_clear(&o);
  /* fewer than the limit: the whole file is looked at, then it fails */
  options.bad_lines_max = 20;
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_E_FORMAT);
  assert_int_equal(o.report.bad_lines, 13);
  assert_int_equal(o.report.lines, 16);
  /* nothing goes to the sink after the first bad line */
  assert_string_equal(records_of(&o), "E u rating i 1500000000000 value=1\n");
  outcome_clear(&o);
}

/* A quote that is never closed costs one line, wherever the joined record ends. */
static void test_stray_quotes(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("csv");
  options.skip_bad = true;
  run_read(&o, write_text("q.csv", "user,item\nu1,\"i1\nu2,i2\nu3,\"i3\"\nu4,i4\nu5,\"i5\nu6,i6\n"),
           &options);
  assert_int_equal(o.status, WN_OK);
  assert_string_equal(records_of(&o), "E u2 view i2 1700000000000\nE u3 view i3 1700000000000\n"
                                      "E u4 view i4 1700000000000\nE u6 view i6 1700000000000\n");
  const char *bad = bad_of(&o);
  assert_non_null(strstr(bad, "q.csv:2: : column 2: text after the closing quote"));
  assert_non_null(strstr(bad, "q.csv:6: : a quote is opened and never closed"));
  assert_int_equal(o.report.bad_lines, 2);
  assert_int_equal(o.report.lines, 7);
  outcome_clear(&o);
}

/* Every line opens a quote in every state: the work stays bounded. */
static void test_quotes_everywhere(WN_UNUSED void **state) {
  wn_buf text = {0};
  outcome o = {.quiet = true};
  wn_read_options options = options_for("csv");
  options.skip_bad = true;
  wn_buf_str(&text, "user,item\n");
  for (int i = 0; i < 20000; i++) wn_buf_str(&text, "a\",\"b\n");
  run_read(&o, write_bytes("q.csv", text.data, text.len), &options);
  assert_int_equal(o.status, WN_OK);
  assert_true(o.report.bad_lines > 0);
  outcome_clear(&o);
  wn_buf_clear(&text);
}

static void test_duplicate_lines(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("csv");
  run_read(&o,
           write_text("d.csv", "user,item,time\na,b,1500000000\na,b,1500000000\n"
                               "a,b,1500000001\na,b,1500000000\n"),
           &options);
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.events, 2);
  assert_int_equal(o.report.duplicate_lines, 2);
  assert_string_equal(records_of(&o), "E a view b 1500000000000\nE a view b 1500000001000\n");
  outcome_clear(&o);
  /* without a time two equal lines are two events */
  run_read(&o, write_text("d.csv", "user,item\na,b\na,b\n"), &options);
  assert_int_equal(o.report.events, 2);
  assert_int_equal(o.report.duplicate_lines, 0);
  outcome_clear(&o);
}

/* Against a naive twin: random lines, many duplicates, the set grows many times. */
static void test_many_duplicates(WN_UNUSED void **state) {
  enum { LINES = 30000, IDS = 10000 };
  wn_buf text = {0};
  outcome o = {.quiet = true};
  bool *met = calloc(IDS, sizeof *met);
  uint64_t distinct = 0, x = 99;
  wn_read_options options = options_for("csv");
  wn_buf_str(&text, "user,item,time\n");
  for (int i = 0; i < LINES; i++) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    unsigned id = (unsigned)(x >> 33) % IDS;
    distinct += !met[id];
    met[id] = true;
    wn_buf_printf(&text, "u%u,i%u,1500000000\n", id % 100, id / 100);
  }
  run_read(&o, write_bytes("d.csv", text.data, text.len), &options);
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.events, distinct);
  assert_int_equal(o.report.duplicate_lines, LINES - distinct);
  outcome_clear(&o);
  free(met);
  wn_buf_clear(&text);
}

static void test_folder(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("auto");
  write_text("shop/a_events.csv", "user,item,time\nu,i,1500000000\n");
  write_text("shop/customers.csv", "user,age\nu,30\n");
  write_text("shop/z_products.tsv", "id\ttitle\ni\tThing\n");
  write_text("shop/notes.txt", "not data");
  run_read(&o, scratch_path("shop"), &options);
  assert_int_equal(o.status, WN_OK);
  assert_string_equal(
      records_of(&o),
      "I {\"id\":\"i\",\"title\":\"Thing\",\"status\":\"active\",\"attributes\":{}}\n"
      "U {\"id\":\"u\",\"attributes\":{\"age\":30}}\nE u view i 1500000000000\n");
  assert_int_equal(o.report.lines, 6);
  outcome_clear(&o);
  /* a map must fit one of the files */
  wn_column_map map = map_of("title", "Titel");
  options.map = &map;
  options.map_len = 1;
  run_read(&o, scratch_path("shop"), &options);
  assert_int_equal(o.status, WN_E_ARGUMENT);
  assert_string_equal(o.err.field, "map");
  outcome_clear(&o);
  map = map_of("attr.years", "age");
  run_read(&o, scratch_path("shop"), &options);
  assert_int_equal(o.status, WN_OK);
  assert_non_null(strstr(records_of(&o), "{\"years\":30}"));
  outcome_clear(&o);
  options.map_len = 0;
  write_text("empty/notes.txt", "not data");
  run_read(&o, scratch_path("empty"), &options);
  assert_int_equal(o.status, WN_E_NOT_FOUND);
  outcome_clear(&o);
}

static void test_wrong_calls(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("xml");
  run_read(&o, write_text("a.csv", "user,item\n"), &options);
  assert_int_equal(o.status, WN_E_ARGUMENT);
  assert_string_equal(o.err.field, "format");
  options.format = "csv";
  run_read(&o, scratch_path("absent.csv"), &options);
  assert_int_equal(o.status, WN_E_NOT_FOUND);
  run_read(&o, NULL, &options);
  assert_int_equal(o.status, WN_E_ARGUMENT);
  options.format = "movielens";
  run_read(&o, write_text("a.csv", "user,item\n"), &options);
  assert_int_equal(o.status, WN_E_ARGUMENT);
  options.format = "auto";
  run_read(&o, write_text("prose", "once upon a time\n"), &options);
  assert_int_equal(o.status, WN_E_FORMAT);
  outcome_clear(&o);
}

static void test_sink_failure(WN_UNUSED void **state) {
  outcome o = {.fail_after = 2};
  wn_read_options options = options_for("csv");
  options.skip_bad = true;
  const char *path = write_text("s.csv", "user,item\na,b\nc,d\ne,f\n");
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_E_CONFLICT);
  assert_string_equal(o.err.file, path);
  assert_int_equal(o.err.line, 3);
  assert_string_equal(o.err.message, "is full up");
  outcome_clear(&o);
}

static bool stop_at_once(WN_UNUSED void *ctx, WN_UNUSED const char *stage, WN_UNUSED double done,
                         WN_UNUSED double total, WN_UNUSED const char *unit) {
  return false;
}

static bool note_progress(void *ctx, const char *stage, double done, double total,
                          const char *unit) {
  double *last = ctx;
  assert_non_null(strstr(stage, "p.csv"));
  assert_string_equal(unit, "bytes");
  assert_true(done >= last[0] && done <= total);
  last[0] = done;
  last[1] = total;
  return true;
}

static void test_progress(WN_UNUSED void **state) {
  outcome o = {.quiet = true};
  double last[2] = {0};
  wn_progress progress = {last, note_progress}, stop = {NULL, stop_at_once};
  wn_read_options options = options_for("csv");
  wn_buf text = {0};
  wn_buf_str(&text, "user,item\n");
  for (int i = 0; i < 100000; i++) wn_buf_printf(&text, "u%d,i%d\n", i, i);
  const char *path = write_bytes("p.csv", text.data, text.len);
  options.progress = &progress;
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_OK);
  assert_true(last[0] == last[1] && last[0] == (double)text.len);
  options.progress = &stop;
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_E_CANCELLED);
  outcome_clear(&o);
  wn_buf_clear(&text);
}

static void test_memory_failures(WN_UNUSED void **state) {
  wn_read_options options = options_for("csv");
  const char *path = write_text("films.csv", "movieId,title,genres\n1,\"He\nat\",a|b\n2,x,c|d\n");
  bool done = false;
  for (long n = 0; !done && n < 200; n++) {
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

static void test_deskdrop(WN_UNUSED void **state) {
  const char *path = real_data("deskdrop/users_interactions.csv.xz");
  if (path == NULL) skip();
  outcome o = {.quiet = true};
  wn_read_options options = options_for("csv");
  wn_column_map map[] = {map_of("user", "personId"), map_of("item", "contentId"),
                         map_of("type", "eventType"), map_of("time", "timestamp")};
  options.map = map;
  options.map_len = 4;
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_OK);
  /* 72,312 events, 11 of them byte-identical to an earlier one (sort | uniq -d) */
  assert_int_equal(o.report.events + o.report.duplicate_lines, 72312);
  assert_int_equal(o.report.duplicate_lines, 11);
  assert_int_equal(o.report.bad_lines, 0);
  outcome_clear(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_events),
      cmocka_unit_test(test_shapes_of_files),
      cmocka_unit_test(test_compressed),
      cmocka_unit_test(test_quotes),
      cmocka_unit_test(test_items_and_users),
      cmocka_unit_test(test_maps),
      cmocka_unit_test(test_bad_maps),
      cmocka_unit_test(test_bad_lines_skipped),
      cmocka_unit_test(test_messages_are_clean),
      cmocka_unit_test(test_bad_lines_stop),
      cmocka_unit_test(test_stray_quotes),
      cmocka_unit_test(test_quotes_everywhere),
      cmocka_unit_test(test_duplicate_lines),
      cmocka_unit_test(test_many_duplicates),
      cmocka_unit_test(test_folder),
      cmocka_unit_test(test_wrong_calls),
      cmocka_unit_test(test_sink_failure),
      cmocka_unit_test(test_progress),
      cmocka_unit_test(test_memory_failures),
      cmocka_unit_test(test_deskdrop),
  };
  return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
