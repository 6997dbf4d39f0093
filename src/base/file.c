#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A system call on `path` failed; a missing file is told apart, for callers that can do without. */
static wn_status fail_path(wn_error *err, const char *what, const char *path) {
  bool missing = errno == ENOENT;
  wn_status status = wn_fail_errno(err, "", "cannot %s \"%s\"", what, path);
  if (!missing) return status;
  if (err != NULL) err->status = WN_E_NOT_FOUND;
  return WN_E_NOT_FOUND;
}

static wn_status open_regular(const char *path, int *fd, struct stat *st, wn_error *err) {
  *fd = open(path, O_RDONLY | O_CLOEXEC);
  if (*fd < 0) return fail_path(err, "open", path);
  if (fstat(*fd, st) != 0) return fail_path(err, "open", path);
  if (S_ISDIR(st->st_mode)) {
    return wn_fail(err, WN_E_IO, "", "cannot read \"%s\": it is a folder", path);
  }
  return WN_OK;
}

wn_status wn_map_file(const char *path, wn_mapping *out, wn_error *err) {
  wn_status status;
  int fd = -1;
  struct stat st;
  *out = (wn_mapping){0};
  WN_TRY(open_regular(path, &fd, &st, err));
  if (!S_ISREG(st.st_mode)) {
    status = wn_fail(err, WN_E_IO, "", "cannot map \"%s\": it is not a regular file", path);
    goto cleanup;
  }
  if (st.st_size == 0) goto cleanup; /* mmap refuses length 0 */
  void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    status = fail_path(err, "map", path);
    goto cleanup;
  }
  *out = (wn_mapping){data, (size_t)st.st_size};
cleanup:
  if (fd >= 0) close(fd);
  return status;
}

void wn_unmap_file(wn_mapping *mapping) {
  if (mapping->data != NULL) munmap((void *)(uintptr_t)mapping->data, mapping->size);
  *mapping = (wn_mapping){0};
}

wn_status wn_read_file(const char *path, size_t size_max, wn_buf *out, wn_error *err) {
  wn_status status;
  int fd = -1;
  struct stat st;
  size_t total = 0;
  WN_TRY(open_regular(path, &fd, &st, err));
  for (;;) {
    char chunk[16384];
    ssize_t got = read(fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) WN_TRY(fail_path(err, "read", path));
    if (got <= 0) break;
    total += (size_t)got;
    if (total > size_max) {
      WN_TRY(wn_fail(err, WN_E_TOO_LARGE, "", "\"%s\" must be at most %zu bytes", path, size_max));
    }
    wn_buf_append(out, chunk, (size_t)got);
  }
  if (out->failed) WN_TRY(wn_fail_memory(err));
cleanup:
  if (fd >= 0) close(fd);
  return status;
}

static wn_status write_all(int fd, wn_str content, const char *path, wn_error *err) {
  size_t done = 0;
  while (done < content.len) {
    ssize_t put = write(fd, content.ptr + done, content.len - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_path(err, "write", path);
    done += (size_t)put;
  }
  if (fsync(fd) != 0) return fail_path(err, "sync", path);
  return WN_OK;
}

/* The folder part of `path`, "." when there is none. */
static wn_status parent_of(const char *path, char *out, size_t size, wn_error *err) {
  const char *slash = strrchr(path, '/');
  size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
  if (len >= size) return wn_fail(err, WN_E_ARGUMENT, "", "path \"%.100s…\" is too long", path);
  memcpy(out, slash == NULL ? "." : path, len);
  out[len] = '\0';
  return WN_OK;
}

wn_status wn_write_file_atomic(const char *path, wn_str content, wn_error *err) {
  static atomic_ulong number; /* two threads may write the same path */
  wn_status status;
  int fd = -1;
  char temporary[PATH_MAX] = "", parent[PATH_MAX];
  WN_TRY(parent_of(path, parent, sizeof parent, err));
  int len = snprintf(temporary, sizeof temporary, "%s.tmp-%ld-%lu", path, (long)getpid(),
                     atomic_fetch_add(&number, 1));
  if (len < 0 || (size_t)len >= sizeof temporary) {
    temporary[0] = '\0';
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "", "path \"%.100s…\" is too long", path));
  }
  fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    WN_TRY(wn_fail_errno(err, "", "cannot create \"%s\"", temporary));
  }
  WN_TRY(write_all(fd, content, temporary, err));
  int closed = close(fd);
  fd = -1;
  if (closed != 0 || rename(temporary, path) != 0) {
    WN_TRY(wn_fail_errno(err, "", "cannot write \"%s\"", path));
  }
  temporary[0] = '\0';
  WN_TRY(wn_sync_dir(parent, err));
cleanup:
  if (fd >= 0) close(fd);
  if (status != WN_OK && temporary[0] != '\0') unlink(temporary);
  return status;
}

wn_status wn_make_dir(const char *path, wn_error *err) {
  char partial[PATH_MAX];
  size_t len = strlen(path);
  if (len == 0 || len >= sizeof partial) {
    return wn_fail(err, WN_E_ARGUMENT, "", "a folder's path must be 1 to %zu bytes, got %zu",
                   sizeof partial - 1, len);
  }
  for (size_t i = 1; i <= len; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(partial, path, i);
    partial[i] = '\0';
    if (mkdir(partial, 0777) != 0 && errno != EEXIST) {
      /* A parent that exists on a read-only or foreign system may refuse in other ways. */
      int code = errno;
      struct stat st;
      if (stat(partial, &st) == 0 && S_ISDIR(st.st_mode)) continue;
      errno = code;
      return wn_fail_errno(err, "", "cannot create the folder \"%s\"", partial);
    }
  }
  struct stat st;
  if (stat(path, &st) != 0) return wn_fail_errno(err, "", "cannot create the folder \"%s\"", path);
  if (S_ISDIR(st.st_mode)) return WN_OK;
  return wn_fail(err, WN_E_IO, "", "\"%s\" exists and is not a folder", path);
}

wn_status wn_sync_dir(const char *path, wn_error *err) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_path(err, "open", path);
  int failed = fsync(fd);
  int code = errno;
  close(fd);
  errno = code;
  /* Some file systems cannot sync a folder and say EINVAL; they have nothing to sync. */
  if (failed != 0 && code != EINVAL) return wn_fail_errno(err, "", "cannot sync \"%s\"", path);
  return WN_OK;
}

static wn_status fail_locked(int fd, const char *path, wn_error *err) {
  char holder[24] = "";
  ssize_t got = pread(fd, holder, sizeof holder - 1, 0);
  int64_t pid = 0;
  wn_str text = wn_str_trim((wn_str){holder, got > 0 ? (size_t)got : 0});
  if (wn_parse_int64(text, &pid) && pid > 0) {
    return wn_fail(err, WN_E_BUSY, "", "\"%s\" is locked by process %lld", path, (long long)pid);
  }
  return wn_fail(err, WN_E_BUSY, "", "\"%s\" is locked by another process", path);
}

wn_status wn_lock_file(const char *path, int *fd, wn_error *err) {
  wn_status status;
  char text[24];
  *fd = -1;
  int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock < 0) WN_TRY(wn_fail_errno(err, "", "cannot open the lock file \"%s\"", path));
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    WN_TRY(errno == EWOULDBLOCK ? fail_locked(lock, path, err)
                                : wn_fail_errno(err, "", "cannot lock \"%s\"", path));
  }
  int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  /* The id is only for messages: a full disk must not keep a server from starting to read. */
  if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)len, 0) != len) errno = 0;
  *fd = lock;
  lock = -1;
  status = WN_OK;
cleanup:
  if (lock >= 0) close(lock);
  return status;
}

void wn_unlock_file(int fd) {
  if (fd < 0) return;
  if (ftruncate(fd, 0) != 0) errno = 0; /* see wn_lock_file */
  close(fd);
}
