/* The folder of snapshots, DIR/snapshots: NNNNNN.wns files and CURRENT, a text file with the
 * name of the one to serve, replaced atomically. */

#include "model/snapshot_format.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERDICT_BYTES_MAX 65536

const char *wn_snapshot_path(const char *dir, uint64_t number, char *buf, size_t size) {
  snprintf(buf, size, "%s/snapshots/%06llu.wns", dir, (unsigned long long)number);
  return buf;
}

/* "000012.wns" → 12; 0 for any other name. */
static uint64_t number_of_name(const char *name) {
  size_t digits = strspn(name, "0123456789");
  if (digits < 6 || digits > 18 || strcmp(name + digits, ".wns") != 0) return 0;
  uint64_t number = strtoull(name, NULL, 10);
  char canonical[32];
  snprintf(canonical, sizeof canonical, "%06llu.wns", (unsigned long long)number);
  return strcmp(canonical, name) == 0 ? number : 0;
}

typedef WN_VEC(uint64_t) number_list;

static int newest_first(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

/* Numbers of the files there are, newest first. */
static wn_status list_numbers(const char *dir, number_list *out, wn_error *err) {
  wn_status status = WN_OK;
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/snapshots", dir);
  DIR *folder = opendir(path);
  if (folder == NULL)
    return errno == ENOENT ? WN_OK : wn_fail_errno(err, "", "cannot read \"%s\"", path);
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(folder);
    if (entry == NULL) {
      if (errno != 0) status = wn_fail_errno(err, "", "cannot read \"%s\"", path);
      break;
    }
    uint64_t number = number_of_name(entry->d_name);
    if (number == 0) continue;
    if (!wn_vec_push(out, number)) {
      status = wn_fail_memory(err);
      break;
    }
  }
  closedir(folder);
  if (out->len > 1) qsort(out->data, out->len, sizeof *out->data, newest_first);
  return status;
}

/* What CURRENT names. WN_E_NOT_FOUND: there is no CURRENT; WN_E_CORRUPT: it names nothing. */
static wn_status read_current(const char *dir, uint64_t *number, wn_error *err) {
  char path[PATH_MAX];
  wn_buf text = {0};
  *number = 0;
  snprintf(path, sizeof path, "%s/snapshots/CURRENT", dir);
  wn_status status = wn_read_file(path, 256, &text, err);
  const char *name = status == WN_OK ? wn_buf_c(&text) : NULL;
  if (status == WN_OK && name == NULL) status = wn_fail_memory(err);
  if (status == WN_OK) {
    if (text.len > 0 && text.data[text.len - 1] == '\n') text.data[text.len - 1] = '\0';
    *number = number_of_name(name);
    if (*number == 0)
      status = wn_fail(err, WN_E_CORRUPT, "CURRENT", "must name a snapshot such as 000001.wns");
  }
  wn_buf_clear(&text);
  return status;
}

/* ---- list ---- */

static void describe(const char *dir, bool verify, wn_snapshot_entry *entry) {
  char path[PATH_MAX];
  struct stat st;
  wn_snapshot *snapshot = NULL;
  wn_error why = {0};
  wn_snapshot_path(dir, entry->number, path, sizeof path);
  if (stat(path, &st) == 0) entry->bytes = (uint64_t)st.st_size;
  if (wn_snapshot_open_as(path, verify, &snapshot, &why) == WN_OK) {
    entry->readable = true;
    entry->about = *wn_snapshot_about_of(snapshot);
    wn_snapshot_unref(snapshot);
    return;
  }
  why.file[0] = '\0'; /* the entry says which file */
  wn_error_format(&why, entry->reason, sizeof entry->reason);
}

wn_status wn_snapshot_list(const char *dir, bool verify, wn_snapshot_entry **entries, size_t *count,
                           wn_error *err) {
  wn_status status = WN_OK;
  number_list numbers = {0};
  uint64_t current = 0;
  *entries = NULL;
  *count = 0;
  WN_TRY(list_numbers(dir, &numbers, err));
  if (read_current(dir, &current, NULL) != WN_OK) current = 0;
  *entries = wn_calloc(numbers.len > 0 ? numbers.len : 1, sizeof **entries);
  if (*entries == NULL) WN_TRY(wn_fail_memory(err));
  *count = numbers.len;
  for (size_t i = 0; i < numbers.len; i++) {
    (*entries)[i].number = numbers.data[i];
    (*entries)[i].current = numbers.data[i] == current;
    describe(dir, verify, &(*entries)[i]);
  }
cleanup:
  wn_vec_clear(&numbers);
  return status;
}

wn_status wn_snapshot_next_number(const char *dir, uint64_t *number, wn_error *err) {
  number_list numbers = {0};
  uint64_t current = 0;
  wn_status status = list_numbers(dir, &numbers, err);
  /* CURRENT counts, too: a deleted file's number must not come back under its name. */
  if (read_current(dir, &current, NULL) != WN_OK) current = 0;
  uint64_t newest = numbers.len > 0 ? numbers.data[0] : 0;
  *number = (newest > current ? newest : current) + 1;
  wn_vec_clear(&numbers);
  return status;
}

/* ---- verdicts, and too many ---- */

static const char *verdict_path(const char *dir, uint64_t number, char *buf, size_t size) {
  snprintf(buf, size, "%s/snapshots/%06llu.verdict.json", dir, (unsigned long long)number);
  return buf;
}

wn_status wn_snapshot_verdict_write(const char *dir, uint64_t number, wn_str json, wn_error *err) {
  char path[PATH_MAX];
  return wn_write_file_atomic(verdict_path(dir, number, path, sizeof path), json, err);
}

wn_status wn_snapshot_verdict_read(const char *dir, uint64_t number, wn_buf *json, wn_error *err) {
  char path[PATH_MAX];
  wn_status status =
      wn_read_file(verdict_path(dir, number, path, sizeof path), VERDICT_BYTES_MAX, json, err);
  return status == WN_E_NOT_FOUND ? WN_OK : status;
}

wn_status wn_snapshot_prune(const char *dir, uint32_t keep,
                            bool (*wanted)(const void *ctx, uint64_t number), const void *ctx,
                            uint32_t *removed, wn_error *err) {
  number_list numbers = {0};
  uint64_t current = 0, before = 0;
  char path[PATH_MAX];
  *removed = 0;
  wn_status status = list_numbers(dir, &numbers, err);
  if (status == WN_OK) status = read_current(dir, &current, err);
  for (size_t i = 0; i < numbers.len && before == 0; i++)
    if (numbers.data[i] < current) before = numbers.data[i];
  for (size_t i = keep; status == WN_OK && i < numbers.len; i++) {
    uint64_t number = numbers.data[i];
    if (number == current || number == before || wanted(ctx, number)) continue;
    if (unlink(wn_snapshot_path(dir, number, path, sizeof path)) != 0 && errno != ENOENT)
      status = wn_fail_errno(err, "", "cannot remove \"%s\"", path);
    (void)unlink(verdict_path(dir, number, path, sizeof path));
    *removed += status == WN_OK;
  }
  wn_vec_clear(&numbers);
  return status;
}

/* ---- current ---- */

wn_status wn_snapshot_set_current(const char *dir, uint64_t number, wn_error *err) {
  wn_status status = WN_OK;
  char path[PATH_MAX], name[64];
  wn_snapshot *snapshot = NULL;
  WN_TRY(wn_snapshot_open(wn_snapshot_path(dir, number, path, sizeof path), &snapshot, err));
  snprintf(path, sizeof path, "%s/snapshots/CURRENT", dir);
  snprintf(name, sizeof name, "%06llu.wns\n", (unsigned long long)number);
  WN_TRY(wn_write_file_atomic(path, wn_str_of(name), err));
cleanup:
  wn_snapshot_unref(snapshot);
  return status;
}

static wn_status open_of_store(const char *dir, uint64_t number, const char *store_uuid,
                               wn_snapshot **out, wn_error *err) {
  char path[PATH_MAX];
  wn_status status = wn_snapshot_open(wn_snapshot_path(dir, number, path, sizeof path), out, err);
  if (status != WN_OK || store_uuid == NULL) return status;
  const char *uuid = wn_snapshot_about_of(*out)->store_uuid;
  if (strcmp(uuid, store_uuid) == 0) return WN_OK;
  status = wn_fail(err, WN_E_CONFLICT, "store_uuid", "belongs to another store (%.33s, not %.33s)",
                   uuid, store_uuid);
  wn_snapshot_unref(*out);
  *out = NULL;
  return status;
}

/* Tries the snapshots there are, newest first, leaving out `bad`. */
static wn_status open_newest(const char *dir, const char *store_uuid, uint64_t bad,
                             wn_snapshot **out, wn_error *err) {
  number_list numbers = {0};
  wn_status status = list_numbers(dir, &numbers, err);
  for (size_t i = 0; status == WN_OK && *out == NULL && i < numbers.len; i++) {
    char why[512];
    wn_error reason = {0};
    if (numbers.data[i] == bad) continue;
    status = open_of_store(dir, numbers.data[i], store_uuid, out, &reason);
    if (status == WN_OK) {
      wn_log(WN_LOG_WARN, "snapshot %06llu is served instead", (unsigned long long)numbers.data[i]);
    } else if (status == WN_E_MEMORY) {
      status = wn_fail_memory(err);
    } else {
      status = WN_OK;
      wn_log(WN_LOG_WARN, "snapshot %06llu is refused: %s", (unsigned long long)numbers.data[i],
             wn_error_format(&reason, why, sizeof why));
    }
  }
  wn_vec_clear(&numbers);
  return status;
}

wn_status wn_snapshot_open_current(const char *dir, const char *store_uuid, wn_snapshot **out,
                                   wn_error *err) {
  char why[512];
  wn_error reason = {0};
  uint64_t number = 0;
  *out = NULL;
  wn_status status = read_current(dir, &number, &reason);
  /* Nothing was promoted yet: what lies there has not passed its gate, or belongs to nobody. */
  if (status == WN_E_NOT_FOUND) return WN_OK;
  if (status == WN_OK) status = open_of_store(dir, number, store_uuid, out, &reason);
  if (status == WN_OK) return WN_OK;
  if (status == WN_E_MEMORY) return wn_fail_memory(err);
  wn_log(WN_LOG_ERROR, "the current snapshot %06llu is refused: %s", (unsigned long long)number,
         wn_error_format(&reason, why, sizeof why));
  status = open_newest(dir, store_uuid, number, out, err);
  if (status == WN_OK && *out == NULL)
    wn_log(WN_LOG_ERROR, "no good snapshot is left in %s/snapshots", dir);
  return status;
}
