#include "read_harness.h"

static void read_folder(outcome *o, const char *format, const char *name) {
  wn_read_options options = options_for(format);
  run_read(o, scratch_path(name), &options);
  if (o->status == WN_OK) return;
  char buf[1024];
  fail_msg("%s", wn_error_format(&o->err, buf, sizeof buf));
}

static void test_latest(WN_UNUSED void **state) {
  outcome o = {0};
  write_text("latest/movies.csv",
             "movieId,title,genres\r\n1,\"Thing, The (1982)\",Horror|Sci-Fi\r\n"
             "2,M (1931),(no genres listed)\r\n3,No year,Drama\r\n");
  write_text("latest/ratings.csv", "userId,movieId,rating,timestamp\n7,1,4.5,964982703\n"
                                   "7,1,4.5,964982703\n");
  write_text("latest/tags.csv", "userId,movieId,tag,timestamp\n7,1,Scary,1\n8,1,ice,1\n"
                                "9,1,ICE ,1\n9,9,gone,1\n");
  write_text("latest/links.csv", "movieId,imdbId,tmdbId\n1,2,3\n");
  read_folder(&o, "auto", "latest");
  assert_string_equal(
      records_of(&o),
      "I {\"id\":\"1\",\"title\":\"Thing, The (1982)\",\"text\":\"ice, scary\",\"status\":"
      "\"active\",\"created\":\"1982-01-01T00:00:00.000Z\",\"attributes\":{\"genres\":[\"Horror\","
      "\"Sci-Fi\"],\"year\":1982}}\n"
      "I {\"id\":\"2\",\"title\":\"M (1931)\",\"status\":\"active\",\"created\":"
      "\"1970-01-01T00:00:00.001Z\",\"attributes\":{\"year\":1931}}\n"
      "I {\"id\":\"3\",\"title\":\"No year\",\"status\":\"active\",\"attributes\":{\"genres\":["
      "\"Drama\"]}}\n"
      "E 7 rating 1 964982703000 value=4.5\n");
  assert_int_equal(o.report.duplicate_lines, 1);
  outcome_clear(&o);
}

static void test_1m(WN_UNUSED void **state) {
  outcome o = {0};
  write_text("one/movies.dat", "1::Toy Story (1995)::Animation|Children's\n"
                               "2::Am\xe9lie (2001)::Comedy\n3::Am\xc3\xa9lie (2001)::Comedy\n");
  write_text("one/users.dat", "1::F::1::10::02460\n");
  write_text("one/ratings_part_1.dat", "1::1::5::978300760\n");
  write_text("one/ratings_part_2.dat", "1::2::3::978300761\n");
  read_folder(&o, "movielens", "one");
  assert_string_equal(
      records_of(&o),
      "I {\"id\":\"1\",\"title\":\"Toy Story (1995)\",\"status\":\"active\",\"created\":"
      "\"1995-01-01T00:00:00.000Z\",\"attributes\":{\"genres\":[\"Animation\",\"Children's\"],"
      "\"year\":1995}}\n"
      "I {\"id\":\"2\",\"title\":\"Am\xc3\xa9lie (2001)\",\"status\":\"active\",\"created\":"
      "\"2001-01-01T00:00:00.000Z\",\"attributes\":{\"genres\":[\"Comedy\"],\"year\":2001}}\n"
      "I {\"id\":\"3\",\"title\":\"Am\xc3\xa9lie (2001)\",\"status\":\"active\",\"created\":"
      "\"2001-01-01T00:00:00.000Z\",\"attributes\":{\"genres\":[\"Comedy\"],\"year\":2001}}\n"
      "U {\"id\":\"1\",\"attributes\":{\"age\":1,\"gender\":\"F\",\"occupation\":"
      "\"K-12 student\",\"zip\":\"02460\"}}\n"
      "E 1 rating 1 978300760000 value=5\nE 1 rating 2 978300761000 value=3\n");
  outcome_clear(&o);
}

static void test_100k(WN_UNUSED void **state) {
  outcome o = {0};
  write_text("old/u.item", "1|Toy Story (1995)|01-Jan-1995||http://x/?Toy%20Story|"
                           "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
                           "2|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
                           "3|Fargo (1996)|14-Feb-1997||http://x/|"
                           "0|0|0|0|0|0|1|1|1|0|0|0|0|0|0|0|1|0|1\n");
  write_text("old/u.user", "1|24|M|technician|85711\n");
  write_text("old/u.data", "1\t3\t4\t881250949\n");
  write_text("old/u1.base", "ignored\n");
  read_folder(&o, "auto", "old");
  assert_string_equal(
      records_of(&o),
      "I {\"id\":\"1\",\"title\":\"Toy Story (1995)\",\"status\":\"active\",\"created\":"
      "\"1995-01-01T00:00:00.000Z\",\"attributes\":{\"genres\":[\"Animation\",\"Children's\","
      "\"Comedy\"],\"year\":1995}}\n"
      "I {\"id\":\"2\",\"title\":\"unknown\",\"status\":\"active\",\"attributes\":{}}\n"
      "I {\"id\":\"3\",\"title\":\"Fargo (1996)\",\"status\":\"active\",\"created\":"
      "\"1996-01-01T00:00:00.000Z\",\"attributes\":{\"genres\":[\"Crime\",\"Documentary\","
      "\"Drama\",\"Thriller\",\"Western\"],\"year\":1996}}\n"
      "U {\"id\":\"1\",\"attributes\":{\"age\":24,\"gender\":\"M\",\"occupation\":\"technician\","
      "\"zip\":\"85711\"}}\n"
      "E 1 rating 3 881250949000 value=4\n");
  outcome_clear(&o);
}

static void test_bad(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("movielens");
  options.skip_bad = true;
  write_text("bad/movies.dat", "1::A\n2::B::C\n");
  write_text("bad/users.dat", "1::F::old::10::1\n1::F\n");
  write_text("bad/ratings.dat", "1::1::x::978300760\n1::1::5::never\n1::1\n1::2::4::978300760\n");
  run_read(&o, scratch_path("bad"), &options);
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.bad_lines, 6);
  assert_int_equal(o.report.items, 1);
  assert_int_equal(o.report.events, 1);
  assert_non_null(strstr(bad_of(&o), "movies.dat:1: : has 2 parts, expected 3"));
  assert_non_null(strstr(bad_of(&o), "users.dat:1: age: must be a number"));
  assert_non_null(strstr(bad_of(&o), "ratings.dat:1: rating: must be a number"));
  assert_non_null(strstr(bad_of(&o), "ratings.dat:2: time: "));
  outcome_clear(&o);
  write_text("none/readme.txt", "x");
  run_read(&o, scratch_path("none"), &options);
  assert_int_equal(o.status, WN_E_NOT_FOUND);
  outcome_clear(&o);
  write_text("wrong/ratings.csv", "a,b\n");
  write_text("wrong/movies.csv", "id,name\n");
  run_read(&o, scratch_path("wrong"), &options);
  assert_int_equal(o.status, WN_E_FORMAT);
  assert_string_equal(o.err.field, "movieId");
  outcome_clear(&o);
}

/* Counts as the data's own READMEs have them. */
static void expect_counts(const char *name, uint64_t events, uint64_t items, uint64_t users) {
  const char *path = real_data(name);
  if (path == NULL) skip();
  outcome o = {.quiet = true};
  wn_read_options options = options_for("auto");
  run_read(&o, path, &options);
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.bad_lines, 0);
  assert_int_equal(o.report.events, events);
  assert_int_equal(o.report.items, items);
  assert_int_equal(o.report.users, users);
  assert_int_equal(o.report.duplicate_lines, 0);
  outcome_clear(&o);
}

static void test_real_latest(WN_UNUSED void **state) {
  expect_counts("movielens-latest-small", 100836, 9742, 0);
}

static void test_real_1m(WN_UNUSED void **state) {
  expect_counts("movielens-1m", 487650, 3883, 6040);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_latest),      cmocka_unit_test(test_1m),
      cmocka_unit_test(test_100k),        cmocka_unit_test(test_bad),
      cmocka_unit_test(test_real_latest), cmocka_unit_test(test_real_1m),
  };
  return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
