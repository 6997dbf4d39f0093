#ifndef WN_TESTS_STORE_FAULTY_VFS_H
#define WN_TESTS_STORE_FAULTY_VFS_H
/* An SQLite VFS over the usual one that can fail the n-th write or fsync, and that remembers what
 * a power cut would leave: what was synced, and of the rest any subset of 512-byte sectors. It does
 * not call the real fsync, so that thousands of runs take seconds. */
#include "store_testing.h"

typedef enum fault_kind {
  FAULT_NONE,
  FAULT_FULL,  /* write: no space */
  FAULT_WRITE, /* write: I/O error */
  FAULT_SHORT, /* half of a write arrives, then no space */
  FAULT_SYNC,  /* fsync fails */
  FAULT_KIND_COUNT,
} fault_kind;

#define SECTOR      512
#define TRACKED_MAX 8

/* A file as the disk has it, and as the page cache has it. */
typedef struct tracked_file {
  char name[512];
  bool exists;
  wn_buf cache, disk;
} tracked_file;

static struct {
  sqlite3_vfs vfs;
  sqlite3_vfs *real;
  fault_kind kind;
  long countdown; /* calls until the fault; it happens at 0 */
  bool sticky;    /* every call from then on */
  long hits;
  bool tracking;
  tracked_file files[TRACKED_MAX];
} faulty;

typedef struct faulty_file {
  sqlite3_file base;
  tracked_file *track;
  sqlite3_file *real;
} faulty_file;

static sqlite3_file *real_of(sqlite3_file *f) {
  return ((faulty_file *)f)->real;
}

static bool fault_now(bool is_sync) {
  bool concerns = faulty.kind != FAULT_NONE && (faulty.kind == FAULT_SYNC) == is_sync;
  if (!concerns) return false;
  bool now = faulty.countdown == 0 || (faulty.countdown < 0 && faulty.sticky);
  faulty.countdown--;
  faulty.hits += now;
  return now;
}

static void set_size(wn_buf *buf, size_t size) {
  static const char zeros[4096];
  while (buf->len < size) {
    size_t more = size - buf->len;
    wn_buf_append(buf, zeros, more < sizeof zeros ? more : sizeof zeros);
  }
  buf->len = size;
}

static void track_write(tracked_file *t, const void *data, int n, sqlite3_int64 at) {
  if (!faulty.tracking || t == NULL) return;
  if (t->cache.len < (size_t)at + (size_t)n) set_size(&t->cache, (size_t)at + (size_t)n);
  memcpy(t->cache.data + at, data, (size_t)n);
}

static int f_close(sqlite3_file *f) {
  int rc = real_of(f)->pMethods != NULL ? real_of(f)->pMethods->xClose(real_of(f)) : SQLITE_OK;
  return rc;
}
static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) {
  return real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}
static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at) {
  if (fault_now(false)) {
    if (faulty.kind == FAULT_SHORT && n > 1) {
      real_of(f)->pMethods->xWrite(real_of(f), p, n / 2, at);
      track_write(((faulty_file *)f)->track, p, n / 2, at);
    }
    return faulty.kind == FAULT_WRITE ? SQLITE_IOERR_WRITE : SQLITE_FULL;
  }
  track_write(((faulty_file *)f)->track, p, n, at);
  return real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}
static int f_truncate(sqlite3_file *f, sqlite3_int64 size) {
  tracked_file *t = ((faulty_file *)f)->track;
  if (fault_now(false)) return SQLITE_IOERR_TRUNCATE;
  if (faulty.tracking && t != NULL) set_size(&t->cache, (size_t)size);
  return real_of(f)->pMethods->xTruncate(real_of(f), size);
}
static int f_sync(sqlite3_file *f, WN_UNUSED int flags) {
  tracked_file *t = ((faulty_file *)f)->track;
  if (fault_now(true)) return SQLITE_IOERR_FSYNC;
  if (faulty.tracking && t != NULL) {
    wn_buf_reset(&t->disk);
    wn_buf_append(&t->disk, t->cache.data, t->cache.len);
  }
  return SQLITE_OK;
}
static int f_file_size(sqlite3_file *f, sqlite3_int64 *size) {
  return real_of(f)->pMethods->xFileSize(real_of(f), size);
}
static int f_lock(sqlite3_file *f, int level) {
  return real_of(f)->pMethods->xLock(real_of(f), level);
}
static int f_unlock(sqlite3_file *f, int level) {
  return real_of(f)->pMethods->xUnlock(real_of(f), level);
}
static int f_check_lock(sqlite3_file *f, int *out) {
  return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
static int f_control(sqlite3_file *f, int op, void *arg) {
  return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int f_sector(sqlite3_file *f) {
  return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int f_device(sqlite3_file *f) {
  return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out) {
  if (extend && fault_now(false)) return SQLITE_IOERR_SHMSIZE;
  return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}
static int f_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
  return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}
static void f_shm_barrier(sqlite3_file *f) {
  real_of(f)->pMethods->xShmBarrier(real_of(f));
}
static int f_shm_unmap(sqlite3_file *f, int drop) {
  return real_of(f)->pMethods->xShmUnmap(real_of(f), drop);
}

static const sqlite3_io_methods faulty_methods = {
    .iVersion = 2,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_truncate,
    .xSync = f_sync,
    .xFileSize = f_file_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_check_lock,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_device,
    .xShmMap = f_shm_map,
    .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier,
    .xShmUnmap = f_shm_unmap,
};

static tracked_file *track_of(const char *name) {
  if (name == NULL) return NULL;
  for (int i = 0; i < TRACKED_MAX; i++) {
    tracked_file *t = &faulty.files[i];
    if (t->name[0] == '\0') snprintf(t->name, sizeof t->name, "%s", name);
    if (strcmp(t->name, name) == 0) return t;
  }
  return NULL;
}

static int f_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
  (void)vfs;
  faulty_file *f = (faulty_file *)file;
  f->real = (sqlite3_file *)(f + 1);
  f->track = track_of(name);
  int rc = faulty.real->xOpen(faulty.real, name, f->real, flags, out);
  f->base.pMethods = f->real->pMethods != NULL ? &faulty_methods : NULL;
  if (rc == SQLITE_OK && f->track != NULL) f->track->exists = true;
  return rc;
}

/* SQLite syncs the folder where the deletion matters (a rollback journal's). */
static int f_delete(sqlite3_vfs *vfs, const char *name, int sync_dir) {
  (void)vfs;
  tracked_file *t = track_of(name);
  if (t != NULL) {
    t->exists = false;
    wn_buf_reset(&t->cache);
    wn_buf_reset(&t->disk);
  }
  return faulty.real->xDelete(faulty.real, name, sync_dir);
}

/* Makes it the VFS of everything that is opened from now on. */
static WN_UNUSED void faulty_install(void) {
  faulty.real = sqlite3_vfs_find(NULL);
  faulty.vfs = *faulty.real;
  faulty.vfs.zName = "faulty";
  faulty.vfs.szOsFile = faulty.real->szOsFile + (int)sizeof(faulty_file);
  faulty.vfs.xOpen = f_open;
  faulty.vfs.xDelete = f_delete;
  assert_int_equal(sqlite3_vfs_register(&faulty.vfs, 1), SQLITE_OK);
}

static WN_UNUSED void fault_set(fault_kind kind, long nth, bool sticky) {
  faulty.kind = kind;
  faulty.countdown = nth;
  faulty.sticky = sticky;
  faulty.hits = 0;
}

static WN_UNUSED void track_forget(void) {
  for (int i = 0; i < TRACKED_MAX; i++) {
    wn_buf_clear(&faulty.files[i].cache);
    wn_buf_clear(&faulty.files[i].disk);
    faulty.files[i].name[0] = '\0';
  }
  faulty.tracking = false;
}

/* Writes what a power cut at this moment would leave into another folder. */
static WN_UNUSED void power_cut(const char *dir, wn_rng *rng) {
  for (int i = 0; i < TRACKED_MAX && faulty.files[i].name[0] != '\0'; i++) {
    tracked_file *t = &faulty.files[i];
    wn_buf left = {0};
    if (!t->exists) continue;
    const char *slash = strrchr(t->name, '/');
    char path[600];
    wn_buf_append(&left, t->disk.data, t->disk.len);
    bool sized = wn_rng_below(rng, 2) == 0;
    if (sized && left.len < t->cache.len) set_size(&left, t->cache.len);
    if (sized && left.len > t->cache.len) left.len = t->cache.len;
    for (size_t at = 0; at < left.len && at < t->cache.len; at += SECTOR) {
      size_t n = left.len - at < SECTOR ? left.len - at : SECTOR;
      if (n > t->cache.len - at) n = t->cache.len - at;
      if (wn_rng_below(rng, 2) == 0) memcpy(left.data + at, t->cache.data + at, n);
    }
    snprintf(path, sizeof path, "%s%s", dir, slash);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (left.len > 0) assert_int_equal(fwrite(left.data, 1, left.len, f), left.len);
    fclose(f);
    wn_buf_clear(&left);
  }
}

#endif
