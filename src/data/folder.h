#ifndef WN_DATA_FOLDER_H
#define WN_DATA_FOLDER_H
/* The files of a folder, by name. Internal to the data layer. */

#include "base/str.h"

typedef struct wn_folder {
  char *path;
  char **names; /* sorted by byte order; without "." and ".." */
  size_t len;
  size_t cap;
} wn_folder;

WN_MUST_USE wn_status wn_folder_open(wn_folder *folder, const char *path, wn_error *err);
void wn_folder_clear(wn_folder *folder);
/* The next name from *at on that matches the shell pattern, with or without a compression's
 * ending (.gz .xz .zst .lz4); NULL: no more. */
const char *wn_folder_match(const wn_folder *folder, const char *pattern, size_t *at);
bool wn_folder_has(const wn_folder *folder, const char *pattern);
/* "path/name" on the heap; NULL: out of memory. */
char *wn_folder_join(const char *path, const char *name);
/* `name` without a compression's ending. */
wn_str wn_folder_stem(const char *name);

#endif
