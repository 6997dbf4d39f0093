/* Snapshots: what was written is read back; anything else is refused with a reason. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/snapshot_format.h"
#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[PATH_MAX]; /* a data directory of this test run */

static int setup(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  snprintf(root, sizeof root, "%s/winnow-snapshot-XXXXXX", tmp != NULL ? tmp : "/tmp");
  return mkdtemp(root) == NULL;
}

static int teardown(void **state) {
  (void)state;
  char command[PATH_MAX + 16];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  return system(command);
}

/* A fresh data directory root/NAME with an empty snapshots folder. */
static const char *make_dir(const char *name, char *dir) {
  char path[PATH_MAX + 16];
  wn_error err;
  snprintf(dir, PATH_MAX, "%.4000s/%.60s", root, name);
  snprintf(path, sizeof path, "%s/snapshots", dir);
  assert_int_equal(wn_make_dir(path, &err), WN_OK);
  return dir;
}

static const wn_snapshot_about sample_about = {
    .number = 7,
    .store_uuid = "0123456789abcdef0123456789abcdef",
    .last_seq = 123456789012,
    .item_rev = 55,
    .users = 10,
    .items = 4000000000u,
    .nnz = 1,
    .created_ms = 1700000000123,
    .data_ms = 1690000000123,
    .train_seconds = 1.25,
    .models = "popular,als",
    .version = "0.1.0",
    .config = "00112233445566ff",
};

static const float floats[5] = {1, 2, 3, 4, 5};

static wn_status write_file(const char *path, const char *uuid, uint64_t number, wn_error *err) {
  wn_status status;
  wn_snapshot_writer *writer = NULL;
  wn_snapshot_about about = sample_about;
  about.number = number;
  snprintf(about.store_uuid, sizeof about.store_uuid, "%s", uuid);
  WN_TRY(wn_snapshot_writer_create(path, &writer, err));
  WN_TRY(wn_snapshot_write(writer, "a/floats", floats, sizeof floats, err));
  WN_TRY(wn_snapshot_write(writer, "empty", NULL, 0, err));
  WN_TRY(wn_snapshot_write(writer, "x", "abcdefg", 7, err));
  wn_snapshot_writer *whole = writer;
  writer = NULL;
  WN_TRY(wn_snapshot_writer_finish(whole, &about, err));
cleanup:
  wn_snapshot_writer_abandon(writer);
  return status;
}

static void write_number(const char *dir, uint64_t number, const char *uuid) {
  char path[PATH_MAX];
  wn_error err;
  assert_int_equal(write_file(wn_snapshot_path(dir, number, path, sizeof path), uuid, number, &err),
                   WN_OK);
}

static unsigned char *read_aligned(const char *path, size_t *size, size_t extra) {
  wn_buf buf = {0};
  wn_error err;
  assert_int_equal(wn_read_file(path, 1 << 24, &buf, &err), WN_OK);
  unsigned char *bytes = aligned_alloc(64, (buf.len + extra + 63) / 64 * 64);
  assert_non_null(bytes);
  memcpy(bytes, buf.data, buf.len);
  memset(bytes + buf.len, 0, extra);
  *size = buf.len;
  wn_buf_clear(&buf);
  return bytes;
}

static void overwrite(const char *path, const void *bytes, size_t size) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, size, f), size);
  fclose(f);
}

static void test_round_trip(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  make_dir("round", dir);
  write_number(dir, 7, sample_about.store_uuid);
  wn_snapshot *s = NULL;
  wn_error err = {0};
  assert_int_equal(wn_snapshot_open(wn_snapshot_path(dir, 7, path, sizeof path), &s, &err), WN_OK);
  assert_memory_equal(wn_snapshot_about_of(s)->models, "popular,als", 12);
  wn_snapshot_about about = *wn_snapshot_about_of(s);
  assert_string_equal(about.store_uuid, sample_about.store_uuid);
  assert_int_equal(about.last_seq, sample_about.last_seq);
  assert_int_equal(about.items, sample_about.items);
  assert_int_equal(about.created_ms, sample_about.created_ms);
  assert_float_equal(about.train_seconds, 1.25, 0);
  assert_int_equal(wn_snapshot_section_count(s), 4);
  const void *data;
  uint64_t count;
  assert_int_equal(wn_snapshot_section(s, "a/floats", sizeof(float), &data, &count, &err), WN_OK);
  assert_int_equal(count, 5);
  assert_int_equal((uintptr_t)data % 64, 0);
  assert_memory_equal(data, floats, sizeof floats);
  assert_int_equal(wn_snapshot_section(s, "empty", 8, &data, &count, &err), WN_OK);
  assert_int_equal(count, 0);
  assert_int_equal(wn_snapshot_section(s, "x", 2, &data, &count, &err), WN_E_CORRUPT);
  assert_int_equal(wn_snapshot_section(s, "y", 1, &data, &count, &err), WN_E_NOT_FOUND);
  assert_true(wn_snapshot_has(s, "x"));
  assert_false(wn_snapshot_has(s, "a"));
  const char *name;
  uint64_t bytes;
  wn_snapshot_section_at(s, 2, &name, &bytes);
  assert_string_equal(name, "x");
  assert_int_equal(bytes, 7);
  assert_ptr_equal(wn_snapshot_ref(s), s);
  wn_snapshot_unref(s);
  wn_snapshot_unref(s);
  wn_snapshot_unref(NULL);
}

static void refused(const void *bytes, size_t size, const char *what) {
  wn_snapshot *s = NULL;
  wn_error err = {0};
  wn_status status = wn_snapshot_open_memory(bytes, size, &s, &err);
  if (status == WN_OK) fail_msg("accepted: %s", what);
  assert_true(status == WN_E_CORRUPT || status == WN_E_UNSUPPORTED);
  assert_null(s);
  assert_true(err.message[0] != '\0');
}

/* Every bit of header and used table; every byte of the rest. */
static void test_bit_flips(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX], what[64];
  make_dir("flips", dir);
  write_number(dir, 1, "u");
  size_t size;
  unsigned char *bytes = read_aligned(wn_snapshot_path(dir, 1, path, sizeof path), &size, 0);
  for (size_t at = 0; at < size; at++) {
    /* the unused part of the table is one long run of equal cases */
    if (at > 64 + 5 * 72 && at < sizeof(wn_snapshot_head) - 72 && at % 13 != 0) continue;
    unsigned bits = at < 64 + 4 * 72 ? 8 : 1;
    for (unsigned bit = 0; bit < bits; bit++) {
      unsigned char mask = (unsigned char)(1u << (bits == 8 ? bit : at % 8));
      bytes[at] ^= mask;
      snprintf(what, sizeof what, "bit flipped in byte %zu", at);
      refused(bytes, size, what);
      bytes[at] ^= mask;
    }
  }
  wn_snapshot *s = NULL;
  wn_error err;
  assert_int_equal(wn_snapshot_open_memory(bytes, size, &s, &err), WN_OK);
  wn_snapshot_unref(s);
  assert_int_equal(wn_snapshot_open_memory(bytes + 1, size - 1, &s, &err), WN_E_ARGUMENT);
  free(bytes);
}

static void test_truncated_and_extended(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  make_dir("cut", dir);
  write_number(dir, 1, "u");
  size_t size;
  unsigned char *bytes = read_aligned(wn_snapshot_path(dir, 1, path, sizeof path), &size, 128);
  for (size_t n = 0; n < size; n = n < 200 || n + 200 > size ? n + 1 : n + 97) {
    unsigned char *cut = aligned_alloc(64, (n + 64) / 64 * 64); /* the sanitizer sees overreads */
    memcpy(cut, bytes, n);
    refused(cut, n, "truncated");
    free(cut);
  }
  refused(bytes, size + 1, "one byte more");
  refused(bytes, size + 64, "one line more");
  overwrite(path, bytes, 0);
  wn_snapshot *s = NULL;
  wn_error err = {0};
  assert_int_equal(wn_snapshot_open(path, &s, &err), WN_E_CORRUPT);
  assert_string_equal(err.file, path);
  overwrite(path, bytes, size / 2);
  assert_int_equal(wn_snapshot_open(path, &s, &err), WN_E_CORRUPT);
  unlink(path);
  assert_int_equal(wn_snapshot_open(path, &s, &err), WN_E_NOT_FOUND);
  free(bytes);
}

/* Checks behind the checksums: a head that is wrong but signed. */
static void test_signed_lies(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  make_dir("lies", dir);
  write_number(dir, 1, "u");
  size_t size;
  unsigned char *bytes = read_aligned(wn_snapshot_path(dir, 1, path, sizeof path), &size, 64);
  wn_snapshot_head *head = (wn_snapshot_head *)(void *)bytes;
  const wn_snapshot_head good = *head;
#define LIE(what, change)                                                                          \
  do {                                                                                             \
    change;                                                                                        \
    head->header.checksum = wn_snapshot_head_checksum(head);                                       \
    refused(bytes, size, what);                                                                    \
    *head = good;                                                                                  \
  } while (0)
  LIE("version", head->header.version = 2);
  LIE("no sections", head->header.section_count = 0);
  LIE("a section more", head->header.section_count++);
  LIE("too many sections", head->header.section_count = 257);
  LIE("huge count", head->header.section_count = UINT32_MAX);
  LIE("reserved", head->header.reserved[31] = 1);
  LIE("overlap", head->table[1].offset = head->table[0].offset);
  LIE("unaligned", head->table[1].offset++);
  LIE("long section", head->table[0].bytes = UINT64_MAX);
  LIE("longer section", head->table[2].bytes = 65);
  LIE("shorter section", head->table[0].bytes--);
  LIE("far offset", head->table[2].offset = UINT64_MAX - 63);
  LIE("checksum", head->table[2].checksum++);
  LIE("empty name", head->table[0].name[0] = '\0');
  LIE("bad name", head->table[0].name[0] = 'A');
  LIE("hidden name", head->table[0].name[40] = 'a');
  LIE("long name", memset(head->table[0].name, 'a', sizeof head->table[0].name));
  LIE("same name", memcpy(head->table[2].name, head->table[0].name, 48));
  LIE("no about", memcpy(head->table[3].name, "about2", 7));
  LIE("used after the end", head->table[200].bytes = 1);
  LIE("file size", head->header.file_bytes += 64);
#undef LIE
  refused(bytes, size + 64, "size");
  free(bytes);
}

static void test_about_checks(void **state) {
  (void)state;
  static const char *const bad[] = {"", "[]", "{}", "null", "{\"number\":1", "{\"number\":-1}"};
  wn_snapshot_about about;
  wn_error err;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(wn_snapshot_about_read(wn_str_of(bad[i]), &about, &err), WN_E_CORRUPT);
  wn_buf json = {0};
  wn_snapshot_about_write(&sample_about, &json);
  assert_int_equal(wn_snapshot_about_read((wn_str){json.data, json.len}, &about, &err), WN_OK);
  char *items = strstr(wn_buf_c(&json), "4000000000");
  assert_non_null(items);
  memcpy(items, "9000000000", 10); /* no u32 */
  assert_int_equal(wn_snapshot_about_read((wn_str){json.data, json.len}, &about, &err),
                   WN_E_CORRUPT);
  assert_string_equal(err.field, "items");
  memcpy(items, "40000000.0", 10);
  assert_int_equal(wn_snapshot_about_read((wn_str){json.data, json.len}, &about, &err),
                   WN_E_CORRUPT);
  wn_buf_clear(&json);
}

static void test_writer_refuses(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX], name[16];
  make_dir("refuse", dir);
  wn_snapshot_path(dir, 1, path, sizeof path);
  wn_snapshot_writer *writer = NULL;
  wn_error err;
  assert_int_equal(wn_snapshot_writer_create("/nonexistent/1.wns", &writer, &err), WN_E_IO);
  assert_null(writer);
  assert_int_equal(wn_snapshot_writer_create(path, &writer, &err), WN_OK);
  assert_int_equal(wn_snapshot_write(writer, "Upper", "x", 1, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_snapshot_write(writer, "", "x", 1, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_snapshot_write(writer, "a", "x", 1, &err), WN_OK);
  assert_int_equal(wn_snapshot_write(writer, "a", "x", 1, &err), WN_E_ARGUMENT);
  for (int i = 1; i < WN_SNAPSHOT_SECTIONS_MAX; i++) {
    snprintf(name, sizeof name, "s%d", i);
    assert_int_equal(wn_snapshot_write(writer, name, "x", 1, &err), WN_OK);
  }
  assert_int_equal(wn_snapshot_write(writer, "more", "x", 1, &err), WN_E_TOO_LARGE);
  wn_snapshot_writer_abandon(writer);
  assert_int_not_equal(access(path, F_OK), 0);
  strcat(path, ".tmp");
  assert_int_not_equal(access(path, F_OK), 0); /* nothing is left */
}

/* Disk full: the file does not appear, the temporary one goes. */
static void test_disk_full(void **state) {
  (void)state;
  wn_snapshot_writer *writer = NULL;
  wn_error err;
  char dir[PATH_MAX], path[PATH_MAX], temporary[PATH_MAX + 8];
  make_dir("full", dir);
  wn_snapshot_path(dir, 1, path, sizeof path);
  snprintf(temporary, sizeof temporary, "%s.tmp", path);
  if (access("/dev/full", W_OK) != 0 || symlink("/dev/full", temporary) != 0) skip();
  assert_int_equal(wn_snapshot_writer_create(path, &writer, &err), WN_OK);
  assert_int_equal(wn_snapshot_write(writer, "a", "x", 1, &err), WN_E_FULL);
  assert_int_equal(wn_snapshot_write(writer, "b", "x", 1, &err), WN_E_IO);
  assert_int_not_equal(wn_snapshot_writer_finish(writer, &sample_about, &err), WN_OK);
  assert_int_not_equal(access(path, F_OK), 0);
}

static void test_folder(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  wn_error err = {0};
  uint64_t number;
  wn_snapshot_entry *entries;
  size_t count;
  make_dir("folder", dir);
  assert_int_equal(wn_snapshot_next_number(dir, &number, &err), WN_OK);
  assert_int_equal(number, 1);
  write_number(dir, 2, "u");
  write_number(dir, 10, "u");
  write_number(dir, 1234567, "u");
  snprintf(path, sizeof path, "%.4000s/snapshots/99.wns", dir); /* not a name of ours */
  overwrite(path, "x", 1);
  snprintf(path, sizeof path, "%.4000s/snapshots/000003.wns", dir);
  overwrite(path, "junk", 4);
  assert_int_equal(wn_snapshot_set_current(dir, 10, &err), WN_OK);
  assert_int_equal(wn_snapshot_set_current(dir, 3, &err), WN_E_CORRUPT);
  assert_int_equal(wn_snapshot_set_current(dir, 4, &err), WN_E_NOT_FOUND);
  assert_int_equal(wn_snapshot_list(dir, true, &entries, &count, &err), WN_OK);
  assert_int_equal(count, 4);
  assert_int_equal(entries[0].number, 1234567);
  assert_int_equal(entries[1].number, 10);
  assert_true(entries[1].current && !entries[0].current);
  assert_true(entries[1].readable);
  assert_int_equal(entries[1].about.users, 10);
  assert_int_equal(entries[2].number, 3);
  assert_false(entries[2].readable);
  assert_true(strstr(entries[2].reason, "too short") != NULL);
  assert_int_equal(entries[2].bytes, 4);
  wn_free(entries);
  assert_int_equal(wn_snapshot_next_number(dir, &number, &err), WN_OK);
  assert_int_equal(number, 1234568);
  wn_snapshot_path(dir, 1234567, path, sizeof path);
  assert_int_equal(wn_snapshot_set_current(dir, 1234567, &err), WN_OK);
  unlink(path);
  assert_int_equal(wn_snapshot_next_number(dir, &number, &err), WN_OK);
  assert_int_equal(number, 1234568); /* never reused */
  assert_int_equal(wn_snapshot_list("/nonexistent", true, &entries, &count, &err), WN_OK);
  assert_int_equal(count, 0);
  wn_free(entries);
}

/* Damage that the header does not show is found when asked to verify. */
static void test_list_verify(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  wn_error err;
  wn_snapshot_entry *entries;
  size_t count, size;
  make_dir("verify", dir);
  write_number(dir, 1, "u");
  wn_snapshot_path(dir, 1, path, sizeof path);
  unsigned char *bytes = read_aligned(path, &size, 0);
  bytes[sizeof(wn_snapshot_head) + 1] ^= 4; /* in a/floats */
  overwrite(path, bytes, size);
  free(bytes);
  assert_int_equal(wn_snapshot_list(dir, false, &entries, &count, &err), WN_OK);
  assert_true(entries[0].readable);
  wn_free(entries);
  assert_int_equal(wn_snapshot_list(dir, true, &entries, &count, &err), WN_OK);
  assert_false(entries[0].readable);
  assert_true(strstr(entries[0].reason, "a/floats") != NULL);
  wn_free(entries);
}

static int warnings;
static char last_line[1024];
static void note(void *ctx, wn_log_level level, const char *line) {
  (void)ctx;
  if (level >= WN_LOG_WARN) warnings++;
  snprintf(last_line, sizeof last_line, "%s", line);
}

static uint64_t open_current(const char *dir, const char *uuid) {
  wn_snapshot *s = NULL;
  wn_error err;
  assert_int_equal(wn_snapshot_open_current(dir, uuid, &s, &err), WN_OK);
  uint64_t number = s != NULL ? wn_snapshot_about_of(s)->number : 0;
  wn_snapshot_unref(s);
  return number;
}

static void damage(const char *dir, uint64_t number) {
  char path[PATH_MAX];
  size_t size;
  unsigned char *bytes = read_aligned(wn_snapshot_path(dir, number, path, sizeof path), &size, 0);
  bytes[size - 70] ^= 1;
  overwrite(path, bytes, size);
  free(bytes);
}

static void test_fallback(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  wn_error err;
  make_dir("fallback", dir);
  wn_log_set(note, NULL, WN_LOG_INFO);
  assert_int_equal(open_current(dir, "u"), 0);
  for (uint64_t n = 1; n <= 4; n++) write_number(dir, n, n == 4 ? "other" : "u");
  assert_int_equal(open_current(dir, "u"), 0); /* none was promoted */
  assert_int_equal(warnings, 0);
  assert_int_equal(wn_snapshot_set_current(dir, 2, &err), WN_OK);
  assert_int_equal(open_current(dir, "u"), 2);
  assert_int_equal(warnings, 0);
  damage(dir, 2);
  assert_int_equal(open_current(dir, "u"), 3); /* 4 is another store's */
  assert_true(warnings >= 3);
  assert_int_equal(open_current(dir, NULL), 4);
  damage(dir, 3);
  assert_int_equal(open_current(dir, "u"), 1);
  snprintf(path, sizeof path, "%.4000s/snapshots/CURRENT", dir);
  overwrite(path, "../../etc/passwd\n", 17);
  assert_int_equal(open_current(dir, "u"), 1);
  overwrite(path, "000001.wns", 10); /* without its newline */
  warnings = 0;
  assert_int_equal(open_current(dir, "u"), 1);
  assert_int_equal(warnings, 0);
  damage(dir, 1);
  assert_int_equal(open_current(dir, "u"), 0);
  assert_true(strstr(last_line, "no good snapshot") != NULL);
  wn_log_set(NULL, NULL, WN_LOG_INFO);
}

static void *ref_many(void *snapshot) {
  for (int i = 0; i < 20000; i++) wn_snapshot_unref(wn_snapshot_ref(snapshot));
  return NULL;
}

static void test_references(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  wn_snapshot *s = NULL;
  wn_error err;
  pthread_t threads[3];
  make_dir("refs", dir);
  write_number(dir, 1, "u");
  assert_int_equal(wn_snapshot_open(wn_snapshot_path(dir, 1, path, sizeof path), &s, &err), WN_OK);
  unlink(path); /* a mapped file stays readable */
  for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, ref_many, s), 0);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  assert_true(wn_snapshot_has(s, "x"));
  wn_snapshot_unref(s);
}

static void test_out_of_memory(void **state) {
  (void)state;
  char dir[PATH_MAX], path[PATH_MAX];
  wn_error err;
  wn_snapshot *s = NULL;
  make_dir("memory", dir);
  wn_snapshot_path(dir, 1, path, sizeof path);
  for (long n = 0;; n++) {
    wn_mem_fail_after(n);
    wn_status status = write_file(path, "u", 1, &err);
    bool done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (done) {
      assert_int_equal(status, WN_OK);
      break;
    }
    assert_int_equal(status, WN_E_MEMORY);
  }
  for (long n = 0;; n++) {
    wn_mem_fail_after(n);
    wn_status status = wn_snapshot_open(path, &s, &err);
    bool done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (status == WN_OK) wn_snapshot_unref(s);
    if (done) break;
    assert_int_equal(status, WN_E_MEMORY);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_bit_flips),
      cmocka_unit_test(test_truncated_and_extended),
      cmocka_unit_test(test_signed_lies),
      cmocka_unit_test(test_about_checks),
      cmocka_unit_test(test_writer_refuses),
      cmocka_unit_test(test_disk_full),
      cmocka_unit_test(test_folder),
      cmocka_unit_test(test_list_verify),
      cmocka_unit_test(test_fallback),
      cmocka_unit_test(test_references),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
