#include "harness.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[256];

static const char *path_in(const char *name) {
  static char paths[4][512];
  static int turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static int make_folder(WN_UNUSED void **state) {
  const char *tmp = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/wn-test-file-XXXXXX", tmp != NULL ? tmp : "/tmp");
  return mkdtemp(folder) != NULL ? 0 : -1;
}

static int entries_in_folder(void) {
  DIR *dir = opendir(folder);
  int n = 0;
  for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) n += e->d_name[0] != '.';
  closedir(dir);
  return n;
}

static int remove_folder(WN_UNUSED void **state) {
  char command[512];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

static void test_write_read_map(WN_UNUSED void **state) {
  wn_error err;
  wn_buf back = {0};
  wn_mapping map;
  static char big[100000];
  memset(big, 'b', sizeof big);
  const char *path = path_in("data");
  assert_int_equal(wn_write_file_atomic(path, WN_STR("old"), &err), WN_OK);
  assert_int_equal(wn_write_file_atomic(path, (wn_str){big, sizeof big}, &err), WN_OK);
  assert_int_equal(entries_in_folder(), 1); /* no temporary file left */
  assert_int_equal(wn_read_file(path, sizeof big, &back, &err), WN_OK);
  assert_int_equal(back.len, sizeof big);
  assert_memory_equal(back.data, big, sizeof big);
  wn_buf_clear(&back);
  assert_int_equal(wn_read_file(path, sizeof big - 1, &back, &err), WN_E_TOO_LARGE);
  wn_buf_clear(&back);
  assert_int_equal(wn_map_file(path, &map, &err), WN_OK);
  assert_int_equal(map.size, sizeof big);
  assert_memory_equal(map.data, big, sizeof big);
  wn_unmap_file(&map);
  assert_null(map.data);
  wn_unmap_file(&map);
}

static void test_empty_and_missing(WN_UNUSED void **state) {
  wn_error err;
  wn_mapping map;
  wn_buf back = {0};
  assert_int_equal(wn_write_file_atomic(path_in("empty"), (wn_str){0}, &err), WN_OK);
  assert_int_equal(wn_map_file(path_in("empty"), &map, &err), WN_OK);
  assert_int_equal(map.size, 0);
  wn_unmap_file(&map);
  assert_int_equal(wn_read_file(path_in("empty"), 0, &back, &err), WN_OK);
  assert_int_equal(wn_map_file(path_in("missing"), &map, &err), WN_E_NOT_FOUND);
  assert_int_equal(err.status, WN_E_NOT_FOUND);
  assert_contains(err.message, "missing\": No such file");
  assert_int_equal(wn_read_file(path_in("missing"), 10, &back, NULL), WN_E_NOT_FOUND);
  assert_int_equal(wn_read_file(folder, 10, &back, &err), WN_E_IO);
  assert_contains(err.message, "folder");
  assert_int_equal(wn_map_file(folder, &map, &err), WN_E_IO);
  assert_int_equal(wn_map_file("/dev/null", &map, &err), WN_E_IO);
  assert_contains(err.message, "regular");
  wn_buf_clear(&back);
}

static void test_failed_write_keeps_old(WN_UNUSED void **state) {
  wn_error err;
  wn_buf back = {0};
  assert_int_equal(wn_make_dir(path_in("keep"), &err), WN_OK);
  const char *path = path_in("keep/file");
  assert_int_equal(wn_write_file_atomic(path, WN_STR("old"), &err), WN_OK);
  /* a folder in the way of rename: the write fails late, after the temporary file */
  assert_int_equal(wn_make_dir(path_in("keep/dir/sub"), &err), WN_OK);
  assert_int_equal(wn_write_file_atomic(path_in("keep/dir"), WN_STR("new"), &err), WN_E_IO);
  assert_int_equal(wn_read_file(path, 100, &back, &err), WN_OK);
  assert_str((wn_str){back.data, back.len}, "old");
  wn_buf_clear(&back);
  DIR *dir = opendir(path_in("keep"));
  int n = 0;
  for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) n += e->d_name[0] != '.';
  closedir(dir);
  assert_int_equal(n, 2);
  assert_int_equal(wn_write_file_atomic(path_in("no/such/folder"), WN_STR("x"), &err), WN_E_IO);
}

/* RLIMIT_FSIZE stands in for a full disk: the write stops half way. */
static void test_write_that_stops_half_way(WN_UNUSED void **state) {
  wn_error err;
  wn_buf back = {0};
  static char big[20000];
  char path[512];
  snprintf(path, sizeof path, "%s", path_in("half"));
  assert_int_equal(wn_write_file_atomic(path, WN_STR("old"), &err), WN_OK);
  int before = entries_in_folder();
  struct rlimit old, small;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = (struct rlimit){4096, old.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  wn_status status = wn_write_file_atomic(path, (wn_str){big, sizeof big}, &err);
  setrlimit(RLIMIT_FSIZE, &old);
  assert_int_equal(status, WN_E_IO);
  assert_int_equal(entries_in_folder(), before);
  assert_int_equal(wn_read_file(path, 100, &back, &err), WN_OK);
  assert_str((wn_str){back.data, back.len}, "old");
  wn_buf_clear(&back);
}

static void test_make_dir(WN_UNUSED void **state) {
  wn_error err;
  assert_int_equal(wn_make_dir(path_in("a/b//c/"), &err), WN_OK);
  assert_int_equal(wn_make_dir(path_in("a/b/c"), &err), WN_OK);
  assert_int_equal(wn_make_dir("/", &err), WN_OK);
  assert_int_equal(wn_write_file_atomic(path_in("a/file"), WN_STR("x"), &err), WN_OK);
  assert_int_equal(wn_make_dir(path_in("a/file"), &err), WN_E_IO);
  assert_contains(err.message, "not a folder");
  assert_int_equal(wn_make_dir(path_in("a/file/b"), &err), WN_E_IO);
  assert_int_equal(wn_make_dir("", &err), WN_E_ARGUMENT);
  assert_int_equal(wn_sync_dir(path_in("a"), &err), WN_OK);
  assert_int_equal(wn_sync_dir(path_in("nowhere"), &err), WN_E_NOT_FOUND);
}

static void test_lock(WN_UNUSED void **state) {
  wn_error err;
  int fd, second;
  const char *path = path_in("lock");
  assert_int_equal(wn_lock_file(path, &fd, &err), WN_OK);
  assert_int_equal(wn_lock_file(path, &second, &err), WN_E_BUSY);
  assert_int_equal(second, -1);
  char holder[64];
  snprintf(holder, sizeof holder, "locked by process %ld", (long)getpid());
  assert_contains(err.message, holder);
  wn_unlock_file(fd);
  wn_unlock_file(-1);
  assert_int_equal(wn_lock_file(path, &fd, &err), WN_OK);
  wn_unlock_file(fd);
  assert_int_equal(wn_lock_file(path_in("no/lock"), &fd, &err), WN_E_IO);
}

static void test_lock_dies_with_its_process(WN_UNUSED void **state) {
  wn_error err;
  int fd, ready[2];
  char path[512], byte;
  snprintf(path, sizeof path, "%s", path_in("lock2"));
  assert_int_equal(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    wn_status status = wn_lock_file(path, &fd, NULL);
    if (write(ready[1], status == WN_OK ? "y" : "n", 1) == 1) pause();
    _exit(0);
  }
  assert_int_equal(read(ready[0], &byte, 1), 1);
  assert_int_equal(byte, 'y');
  assert_int_equal(wn_lock_file(path, &fd, &err), WN_E_BUSY);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_int_equal(wn_lock_file(path, &fd, &err), WN_OK);
  wn_unlock_file(fd);
  close(ready[0]);
  close(ready[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_write_read_map),
      cmocka_unit_test(test_empty_and_missing),
      cmocka_unit_test(test_failed_write_keeps_old),
      cmocka_unit_test(test_write_that_stops_half_way),
      cmocka_unit_test(test_make_dir),
      cmocka_unit_test(test_lock),
      cmocka_unit_test(test_lock_dies_with_its_process),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
