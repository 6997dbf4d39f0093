/* Preloaded into winnow (LD_PRELOAD): one call of one function fails, or kills the process.
 *
 * WINNOW_FAULT_FILE names a file that says which: "CALL N ERRNO" (as numbers; ERRNO 0: SIGKILL). It
 * is looked for at each call until it is there, so that a test may arm a running process; from then
 * on calls are counted, and the Nth does it. Then WINNOW_FAULT_FILE + ".done" is made: the test
 * knows that there were as many calls. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { UNREAD, READING, ARMED, OFF };
static atomic_int state;
static char wanted[32];
static int error_number;
static atomic_long left;

/* By system calls alone: this runs inside malloc. */
static void arm(void) {
  const char *path = getenv("WINNOW_FAULT_FILE");
  char text[64] = "";
  int expected = UNREAD;
  if (path == NULL || !atomic_compare_exchange_strong(&state, &expected, READING)) return;
  long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    long n = 0;
    if (syscall(SYS_read, fd, text, sizeof text - 1) > 0 &&
        sscanf(text, "%31s %ld %d", wanted, &n, &error_number) == 3) {
      atomic_store(&left, n);
      expected = ARMED;
    }
    syscall(SYS_close, fd);
  }
  atomic_store(&state, expected);
}

static int strikes(const char *name) {
  char path[4096];
  if (atomic_load(&state) == UNREAD) arm();
  if (atomic_load(&state) != ARMED || strcmp(name, wanted) != 0) return 0;
  if (atomic_fetch_sub(&left, 1) != 1) return 0;
  atomic_store(&state, OFF);
  snprintf(path, sizeof path, "%s.done", getenv("WINNOW_FAULT_FILE"));
  syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY, 0644));
  if (error_number == 0) raise(SIGKILL);
  errno = error_number;
  return 1;
}

#define REAL(type, name, ...)                                                                      \
  static type (*real)(__VA_ARGS__);                                                                \
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *bytes, size_t len) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return strikes("write") ? -1 : real(fd, bytes, len);
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  return strikes("pwrite") ? -1 : real(fd, bytes, len, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  return strikes("pwrite") ? -1 : real(fd, bytes, len, at);
}
int fsync(int fd) {
  REAL(int, "fsync", int);
  return strikes("fsync") ? -1 : real(fd);
}
int fdatasync(int fd) {
  REAL(int, "fdatasync", int);
  return strikes("fsync") ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  return strikes("rename") ? -1 : real(from, to);
}
void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset) {
  REAL(void *, "mmap", void *, size_t, int, int, int, off_t);
  return strikes("mmap") ? MAP_FAILED : real(at, len, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t offset) {
  REAL(void *, "mmap64", void *, size_t, int, int, int, off64_t);
  return strikes("mmap") ? MAP_FAILED : real(at, len, protection, flags, fd, offset);
}
extern void *__libc_malloc(size_t len);
void *malloc(size_t len) {
  return strikes("malloc") ? NULL : __libc_malloc(len);
}
extern void *__libc_realloc(void *old, size_t len);
void *realloc(void *old, size_t len) {
  return strikes("malloc") ? NULL : __libc_realloc(old, len);
}
extern void *__libc_calloc(size_t count, size_t len);
void *calloc(size_t count, size_t len) {
  return strikes("malloc") ? NULL : __libc_calloc(count, len);
}
