#include "data/folder.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 512 /* longer than any file system's */

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static wn_status add_name(wn_folder *folder, const char *name, wn_error *err) {
  if (folder->len == folder->cap) {
    size_t cap = folder->cap == 0 ? 64 : 2 * folder->cap;
    char **names = wn_reallocarray(folder->names, cap, sizeof *names);
    if (names == NULL) return wn_fail_memory(err);
    folder->names = names;
    folder->cap = cap;
  }
  char *copy = wn_strdup(name);
  if (copy == NULL) return wn_fail_memory(err);
  folder->names[folder->len++] = copy;
  return WN_OK;
}

wn_status wn_folder_open(wn_folder *folder, const char *path, wn_error *err) {
  wn_status status = WN_OK;
  *folder = (wn_folder){.path = wn_strdup(path)};
  DIR *dir = opendir(path);
  if (dir == NULL) {
    if (errno == ENOENT) WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "", "no such folder: %s", path));
    WN_TRY(wn_fail_errno(err, "", "cannot read the folder %s", path));
  }
  if (folder->path == NULL) WN_TRY(wn_fail_memory(err));
  for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    WN_TRY(add_name(folder, e->d_name, err));
  }
  if (folder->len > 0) qsort(folder->names, folder->len, sizeof *folder->names, by_name);
cleanup:
  if (dir != NULL) closedir(dir);
  if (status != WN_OK) wn_folder_clear(folder);
  return status;
}

void wn_folder_clear(wn_folder *folder) {
  for (size_t i = 0; i < folder->len; i++) wn_free(folder->names[i]);
  wn_free(folder->names);
  wn_free(folder->path);
  *folder = (wn_folder){0};
}

wn_str wn_folder_stem(const char *name) {
  static const char *const endings[] = {".gz", ".xz", ".zst", ".lz4"};
  wn_str s = wn_str_of(name);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    size_t len = strlen(endings[i]);
    if (s.len > len && memcmp(s.ptr + s.len - len, endings[i], len) == 0) {
      return (wn_str){s.ptr, s.len - len};
    }
  }
  return s;
}

const char *wn_folder_match(const wn_folder *folder, const char *pattern, size_t *at) {
  while (*at < folder->len) {
    const char *name = folder->names[(*at)++];
    char stem[NAME_BYTES_MAX];
    wn_str s = wn_folder_stem(name);
    if (s.len >= sizeof stem) continue;
    memcpy(stem, s.ptr, s.len);
    stem[s.len] = '\0';
    if (fnmatch(pattern, stem, FNM_PERIOD) == 0) return name;
  }
  return NULL;
}

bool wn_folder_has(const wn_folder *folder, const char *pattern) {
  size_t at = 0;
  return wn_folder_match(folder, pattern, &at) != NULL;
}

char *wn_folder_join(const char *path, const char *name) {
  wn_buf buf = {0};
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  wn_buf_append(&buf, path, len);
  if (len != 1 || path[0] != '/') wn_buf_char(&buf, '/');
  wn_buf_str(&buf, name);
  if (wn_buf_c(&buf) != NULL) return buf.data;
  wn_buf_clear(&buf);
  return NULL;
}
