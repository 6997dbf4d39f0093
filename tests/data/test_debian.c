#include "read_harness.h"

#include "data/debian.h"

#include <fcntl.h>

#define LISTS   "root/var/lib/apt/lists/"
#define RELEASE "deb.example_debian_dists_stable_"

/* A small machine: two lists, a translation, three packages installed by hand. */
static void make_root(void) {
  write_text(LISTS RELEASE "InRelease", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
                                        "Origin: Debian\nDate: Sat, 01 Jul 2023 10:16:37 UTC\n");
  write_text(LISTS RELEASE "main_binary-amd64_Packages",
             "Package: app\nSource: app-src (1.0)\nVersion: 1.0-1\nInstalled-Size: 120\n"
             "Maintainer: Ann Example <ann@example.org>\nArchitecture: amd64\n"
             "Depends: libfoo1 (>= 1.2) | libbar1, app-data (= 1.0-1), virt-one, virt-many,\n"
             " python3:any [amd64] <!nocheck>, ghost\n"
             "Pre-Depends: libfoo1\nRecommends: tool, tool\nSuggests: app-doc, python3\n"
             "Enhances: tool\nDescription: does things\nDescription-md5: aaa\n"
             "Homepage: https://example.org/app\nSection: utils\nPriority: optional\n"
             "Tag: role::program, interface::commandline,\n implemented-in::c\n"
             "\n"
             "Package: app-extra\nSource: app-src\nVersion: 1.0-1\nArchitecture: all\n"
             "Depends: libfoo1, python3\nDescription: more things\nSection: utils\n"
             "\n"
             "Package: app-data\nSource: app-src\nVersion: 1.0-1\nArchitecture: all\n"
             "Description: data\nSection: utils\n"
             "\n"
             "Package: libfoo1\nVersion: 1.9\nArchitecture: amd64\nDescription: old foo\n"
             "Section: non-free/libs\nProvides: virt-one (= 1), virt-many\n"
             "\n"
             "Package: tool\nVersion: 2\nArchitecture: amd64\nDescription: a tool\n"
             "Provides: virt-many\nSection: misc\n"
             "\n\n"
             "Package: python3\nVersion: 3.11\nArchitecture: amd64\nDescription: python\n"
             "Section: python\n");
  write_text(LISTS "other.example_repo_._Packages",
             "Package: libfoo1\nVersion: 1.10\nArchitecture: amd64\nDescription: new foo\n"
             "Section: non-free/libs\nProvides: virt-one (= 1), virt-many\n"
             "\n"
             "Package: tool\nVersion: 1:0.1~rc1\nArchitecture: amd64\nDescription: epoch\n"
             "Provides: virt-many\nSection: misc\nDepends: libfoo1\n"
             "\n"
             "Package: app\nVersion: 0.9\nArchitecture: amd64\nDescription: too old\n");
  write_text(LISTS RELEASE "main_i18n_Translation-en",
             "Package: app\nDescription-md5: aaa\nDescription-en: does things\n It does many\n"
             " things.\n .\n  * well\n"
             "\n"
             "Package: none\nDescription-md5: zzz\nDescription-en: unknown\n");
  write_text(LISTS "lock", "");
  write_text("root/var/lib/apt/extended_states",
             "Package: libfoo1\nArchitecture: amd64\nAuto-Installed: 1\n\n"
             "Package: app-data\nArchitecture: amd64\nAuto-Installed: 1\n\n"
             "Package: tool\nArchitecture: i386\nAuto-Installed: 1\n\n"
             "Package: python3\nArchitecture: amd64\nAuto-Installed: 0\n");
  write_text("root/var/lib/dpkg/status",
             "Package: app\nStatus: install ok installed\nArchitecture: amd64\n\n"
             "Package: libfoo1\nStatus: install ok installed\nArchitecture: amd64\n\n"
             "Package: app-data\nStatus: install ok installed\nArchitecture: all\n\n"
             "Package: app-extra\nStatus: deinstall ok config-files\nArchitecture: all\n\n"
             "Package: tool\nStatus: install ok installed\nArchitecture: amd64\n\n"
             "Package: python3\nStatus: install ok installed\nArchitecture: amd64\n\n"
             "Package: local\nStatus: install ok installed\nArchitecture: amd64\n");
  write_text("root/var/lib/dpkg/info/app.list", "/.\n");
  write_text("root/var/lib/dpkg/info/tool:amd64.list", "/.\n");
}

static void set_time(const char *name, time_t seconds) {
  struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
  assert_int_equal(utimensat(AT_FDCWD, scratch_path(name), times, 0), 0);
}

static const char *const items =
    "I {\"id\":\"app\",\"title\":\"app: does things\",\"text\":\"does things\\nIt does many\\n"
    "things.\\n\\n* well\",\"status\":\"active\",\"attributes\":{\"area\":\"main\",\"homepage\":"
    "\"https://example.org/app\",\"maintainer\":\"Ann Example\",\"priority\":\"optional\","
    "\"section\":\"utils\",\"size\":120,\"source\":\"app-src\",\"tags\":[\"role::program\","
    "\"interface::commandline\",\"implemented-in::c\"]}}\n"
    "I {\"id\":\"app-extra\",\"title\":\"app-extra: more things\",\"text\":\"more things\","
    "\"status\":\"active\",\"attributes\":{\"area\":\"main\",\"section\":\"utils\",\"source\":"
    "\"app-src\"}}\n"
    "I {\"id\":\"app-data\",\"title\":\"app-data: data\",\"text\":\"data\",\"status\":\"active\","
    "\"attributes\":{\"area\":\"main\",\"section\":\"utils\",\"source\":\"app-src\"}}\n"
    "I {\"id\":\"libfoo1\",\"title\":\"libfoo1: new foo\",\"text\":\"new foo\",\"status\":"
    "\"active\",\"attributes\":{\"area\":\"non-free\",\"section\":\"libs\",\"source\":\"libfoo1\"}}"
    "\n"
    "I {\"id\":\"tool\",\"title\":\"tool: epoch\",\"text\":\"epoch\",\"status\":\"active\","
    "\"attributes\":{\"area\":\"main\",\"section\":\"misc\",\"source\":\"tool\"}}\n"
    "I {\"id\":\"python3\",\"title\":\"python3: python\",\"text\":\"python\",\"status\":"
    "\"active\",\"attributes\":{\"area\":\"main\",\"section\":\"python\",\"source\":\"python3\"}}"
    "\n"
    "U {\"id\":\"src:app-src\",\"attributes\":{\"area\":\"main\",\"maintainer\":\"Ann Example\","
    "\"section\":\"utils\"}}\n"
    "U {\"id\":\"src:tool\",\"attributes\":{\"area\":\"main\",\"section\":\"misc\"}}\n";

/* libfoo1 counts once (Pre-Depends, Depends, virt-one, app-extra); virt-many has two providers
 * and means none; app-data is app-src's own; ghost does not exist. */
static const char *const events = "E src:app-src depends libfoo1 1688206597000\n"
                                  "E src:app-src depends python3 1688206597000\n"
                                  "E src:app-src recommends tool 1688206597000\n"
                                  "E src:app-src suggests python3 1688206597000\n"
                                  "E src:app-src enhances tool 1688206597000\n"
                                  "E src:tool depends libfoo1 1600000000000\n";

static const char *const installs = "E this-machine install app 1650000000000\n"
                                    "E this-machine install tool 1650000001000\n"
                                    "E this-machine install python3 1650000002000\n";

static void expect_records(outcome *o, bool machine) {
  char want[8192];
  if (o->status != WN_OK) {
    char buf[1024];
    fail_msg("%s", wn_error_format(&o->err, buf, sizeof buf));
  }
  snprintf(want, sizeof want, "%s%s%s", items, events, machine ? installs : "");
  assert_string_equal(records_of(o), want);
  assert_string_equal(bad_of(o), "");
  outcome_clear(o);
}

static void test_root(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("debian");
  make_root();
  set_time(LISTS "other.example_repo_._Packages", 1600000000);
  set_time("root/var/lib/dpkg/info/app.list", 1650000000);
  set_time("root/var/lib/dpkg/info/tool:amd64.list", 1650000001);
  set_time("root/var/lib/dpkg/status", 1650000002);
  run_read(&o, scratch_path("root"), &options);
  expect_records(&o, true);
  options.format = "auto";
  run_read(&o, scratch_path("root"), &options);
  expect_records(&o, true);
  /* a folder of lists says nothing about this machine */
  run_read(&o, scratch_path("root/var/lib/apt/lists"), &options);
  expect_records(&o, false);
}

static void test_missing(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("debian");
  write_text("bare/var/lib/apt/lists/lock", "");
  run_read(&o, scratch_path("bare"), &options);
  assert_int_equal(o.status, WN_E_NOT_FOUND);
  assert_non_null(strstr(o.err.message, "apt-get update"));
  run_read(&o, scratch_path("absent"), &options);
  assert_int_not_equal(o.status, WN_OK);
  outcome_clear(&o);
  /* no dpkg state: packages only */
  write_text("lean/var/lib/apt/lists/x_Packages", "Package: a\nVersion: 1\n");
  run_read(&o, scratch_path("lean"), &options);
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.items, 1);
  assert_int_equal(o.report.events, 0);
  outcome_clear(&o);
}

static void test_bad_stanzas(WN_UNUSED void **state) {
  outcome o = {0};
  wn_read_options options = options_for("debian");
  options.skip_bad = true;
  write_text("bad/x_Packages", "Package: a\nno colon here\nVersion: 1\n\n"
                               "Version: 1\n\n"
                               " stray\nPackage: b\nVersion: 1\n# comment\n\n"
                               "Package: c\xff\nVersion: 1\n");
  run_read(&o, scratch_path("bad"), &options);
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.items, 2);
  assert_non_null(strstr(bad_of(&o), "x_Packages:2: : expected \"Field: value\""));
  assert_non_null(strstr(bad_of(&o), "x_Packages:5: Package: "));
  assert_non_null(strstr(bad_of(&o), "x_Packages:7: : a continuation line"));
  assert_non_null(strstr(bad_of(&o), "x_Packages:12: Package: "));
  assert_int_equal(o.report.bad_lines, 4);
  outcome_clear(&o);
  options.skip_bad = false;
  run_read(&o, scratch_path("bad"), &options);
  assert_int_equal(o.status, WN_E_FORMAT);
  assert_int_equal(o.err.line, 2);
  outcome_clear(&o);
}

static void test_relations(WN_UNUSED void **state) {
  wn_str rest = WN_STR(" a (>= 1), b:any | c ,, d[amd64],e<x>\n , |f, g"), name;
  const char *const expected[] = {"a", "b", "d", "e", "g"};
  for (size_t i = 0; i < 5; i++) {
    assert_true(wn_debian_next_relation(&rest, &name));
    assert_true(wn_str_is(name, expected[i]));
  }
  assert_false(wn_debian_next_relation(&rest, &name));
}

/* Ascending, by deb-version(7); `dpkg --compare-versions` agrees. */
static void test_versions(WN_UNUSED void **state) {
  static const char *const order[] = {"0~~",    "0~",       "0",         "0.1",      "0.1-1~bpo1",
                                      "0.1-1",  "0.1-1+b1", "0.1a",      "0.1.1",    "0.9",
                                      "0.010",  "1-1",      "1.0",       "1.0+dfsg", "1.0.1",
                                      "1.0-0a", "1:0",      "1:0.0.1~x", "2:0~rc1"};
  size_t n = sizeof order / sizeof *order;
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < n; j++) {
      int c = wn_debian_version_compare(wn_str_of(order[i]), wn_str_of(order[j]));
      char command[128];
      snprintf(command, sizeof command, "dpkg --compare-versions '%s' lt '%s'", order[i], order[j]);
      if (access("/usr/bin/dpkg", X_OK) == 0) assert_int_equal(c < 0, system(command) == 0);
    }
  }
  assert_int_equal(wn_debian_version_compare(WN_STR("1.0"), WN_STR("1.0-0")), 0);
  assert_int_equal(wn_debian_version_compare(WN_STR("0:1"), WN_STR("1")), 0);
  assert_true(wn_debian_version_compare(WN_STR("22.01+really26.02+dfsg-0"), WN_STR("22.01")) > 0);
}

static void test_memory_failures(WN_UNUSED void **state) {
  wn_read_options options = options_for("debian");
  bool done = false;
  make_root();
  for (long n = 0; !done && n < 1000; n++) {
    outcome o = {.quiet = true};
    wn_mem_fail_after(n);
    run_read(&o, scratch_path("root"), &options);
    wn_mem_fail_after(-1);
    assert_true(o.status == WN_OK || o.status == WN_E_MEMORY);
    done = o.status == WN_OK;
    outcome_clear(&o);
  }
  assert_true(done);
}

/* The machine's own lists, where it has some. */
static void test_this_machine(WN_UNUSED void **state) {
  outcome o = {.quiet = true};
  wn_read_options options = options_for("debian");
  options.now_ms = 0;
  run_read(&o, NULL, &options);
  if (o.status == WN_E_NOT_FOUND) skip();
  assert_int_equal(o.status, WN_OK);
  assert_int_equal(o.report.bad_lines, 0);
  assert_true(o.report.items > 0);
  print_message("%llu packages, %llu projects, %llu events\n", (unsigned long long)o.report.items,
                (unsigned long long)o.report.users, (unsigned long long)o.report.events);
  if (o.report.items > 10000) assert_true(o.report.events > o.report.items);
  outcome_clear(&o);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_root),         cmocka_unit_test(test_missing),
      cmocka_unit_test(test_bad_stanzas),  cmocka_unit_test(test_relations),
      cmocka_unit_test(test_versions),     cmocka_unit_test(test_memory_failures),
      cmocka_unit_test(test_this_machine),
  };
  return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
