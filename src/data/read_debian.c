/* Finds apt's and dpkg's files (sources.list(5), deb822(5), apt's lists folder, dpkg(1)).
 *
 * Lists are named after their address: HOST_PATH_dists_SUITE_AREA_binary-ARCH_Packages, with the
 * release's HOST_PATH_dists_SUITE_InRelease beside them, whose Date is the time of every relation
 * in the list. The machine's own history: packages that dpkg calls installed and that apt did not
 * install as a dependency, at the time dpkg wrote their file list. */
#include "data/debian.h"
#include "data/folder.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LISTS         "var/lib/apt/lists"
#define RELEASE_LINES 200 /* the Date stands in the first dozen */
#define MACHINE_USER  "this-machine"

/* Where things are. `root` NULL: only lists, no machine. */
typedef struct places {
  char *root;
  char *lists;
} places;

static bool is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static wn_status find_places(const char *path, places *out, wn_error *err) {
  *out = (places){0};
  if (path == NULL || strcmp(path, "/" LISTS) == 0 || strcmp(path, "/" LISTS "/") == 0) {
    path = "/";
  }
  out->lists = wn_folder_join(path, LISTS);
  if (out->lists == NULL) return wn_fail_memory(err);
  if (is_folder(out->lists) || strcmp(path, "/") == 0) {
    out->root = wn_strdup(path);
    return out->root != NULL ? WN_OK : wn_fail_memory(err);
  }
  wn_free(out->lists);
  out->lists = wn_strdup(path);
  return out->lists != NULL ? WN_OK : wn_fail_memory(err);
}

/* "Sat, 11 Jul 2026 10:16:37 UTC" (deb-release files always say UTC). */
static bool parse_date(wn_str text, int64_t *time_ms) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  char copy[64], month[4];
  struct tm tm = {0};
  if (text.len >= sizeof copy) return false;
  memcpy(copy, text.ptr, text.len);
  copy[text.len] = '\0';
  if (sscanf(copy, "%*3s, %2d %3s %4d %2d:%2d:%2d", &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour,
             &tm.tm_min, &tm.tm_sec) != 6) {
    return false;
  }
  const char *at = strstr(months, month);
  if (at == NULL || strlen(month) != 3 || (at - months) % 3 != 0) return false;
  tm.tm_mon = (int)(at - months) / 3;
  tm.tm_year -= 1900;
  time_t t = timegm(&tm);
  *time_ms = (int64_t)t * 1000;
  return t > 0;
}

/* *time_ms stays 0 when the file does not say; only a lack of memory is a failure. */
static wn_status release_date(const char *path, int64_t *time_ms, wn_error *err) {
  wn_input *input;
  wn_status status = wn_input_open(path, &input, err);
  for (int i = 0; status == WN_OK && i < RELEASE_LINES && *time_ms == 0; i++) {
    wn_str line;
    status = wn_input_line(input, &line, err);
    if (status != WN_OK || line.ptr == NULL) break;
    if (line.len > 6 && memcmp(line.ptr, "Date: ", 6) == 0) {
      if (!parse_date((wn_str){line.ptr + 6, line.len - 6}, time_ms)) break;
    }
  }
  wn_input_close(input);
  return status == WN_E_MEMORY ? status : WN_OK;
}

/* The release file whose name is the longest beginning of the list's; NULL: none. */
static const char *release_of(const wn_folder *folder, const char *list) {
  const char *best = NULL;
  size_t best_len = 0;
  for (size_t i = 0; i < folder->len; i++) {
    const char *name = folder->names[i];
    size_t len = strlen(name);
    size_t ending = len > 10 && strcmp(name + len - 10, "_InRelease") == 0 ? 9
                    : len > 8 && strcmp(name + len - 8, "_Release") == 0   ? 7
                                                                           : 0;
    if (ending == 0 || len - ending <= best_len) continue;
    if (strncmp(name, list, len - ending) != 0) continue;
    best = name;
    best_len = len - ending;
  }
  return best;
}

static int64_t file_time(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return 0;
  return (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
}

static wn_status list_time(const wn_folder *folder, const char *name, const char *path,
                           int64_t *time_ms, wn_error *err) {
  const char *release = release_of(folder, name);
  *time_ms = 0;
  if (release != NULL) {
    char *release_path = wn_folder_join(folder->path, release);
    if (release_path == NULL) return wn_fail_memory(err);
    wn_status status = release_date(release_path, time_ms, err);
    wn_free(release_path);
    if (status != WN_OK) return status;
  }
  if (*time_ms == 0) *time_ms = file_time(path);
  return WN_OK;
}

/* A list's path must live as long as the packages that name it. */
static wn_status keep_path(wn_debian *debian, const wn_folder *folder, const char *name,
                           const char **out, wn_error *err) {
  char *path = wn_folder_join(folder->path, name);
  if (path == NULL) return wn_fail_memory(err);
  *out = wn_arena_strdup(&debian->arena, wn_str_of(path));
  wn_free(path);
  return *out != NULL ? WN_OK : wn_fail_memory(err);
}

static wn_status read_lists(wn_debian *debian, const wn_folder *folder, wn_error *err) {
  wn_status status = WN_OK;
  size_t at = 0;
  int64_t time_ms = 0;
  const char *path = NULL;
  for (const char *name; (name = wn_folder_match(folder, "*_Packages", &at)) != NULL;) {
    WN_TRY(keep_path(debian, folder, name, &path, err));
    WN_TRY(wn_reader_open(debian->reader, path, err));
    WN_TRY(list_time(folder, name, path, &time_ms, err));
    WN_TRY(wn_debian_add_packages(debian, path, time_ms, err));
  }
  if (wn_dict_count(debian->names) == 0) {
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "", "no package lists in %s; run apt-get update first",
                   folder->path));
  }
  at = 0;
  for (const char *name; (name = wn_folder_match(folder, "*_Translation-en*", &at)) != NULL;) {
    WN_TRY(keep_path(debian, folder, name, &path, err));
    WN_TRY(wn_reader_open(debian->reader, path, err));
    WN_TRY(wn_debian_add_texts(debian, err));
  }
cleanup:
  wn_reader_close(debian->reader);
  return status;
}

/* This machine: what apt installed by itself, and where dpkg keeps its file lists. */
typedef struct machine {
  wn_debian *debian;
  wn_dict *automatic; /* "name" and "name:arch" */
  char *status_path;
  char *states_path;
  char *info_path;
  wn_buf scratch;
} machine;

static wn_status machine_init(machine *m, wn_debian *debian, const char *root, wn_error *err) {
  *m = (machine){.debian = debian, .automatic = wn_dict_create()};
  m->status_path = wn_folder_join(root, "var/lib/dpkg/status");
  m->states_path = wn_folder_join(root, "var/lib/apt/extended_states");
  m->info_path = wn_folder_join(root, "var/lib/dpkg/info");
  bool ok = m->automatic != NULL && m->status_path != NULL && m->states_path != NULL &&
            m->info_path != NULL;
  return ok ? WN_OK : wn_fail_memory(err);
}

static void machine_clear(machine *m) {
  wn_dict_free(m->automatic);
  wn_free(m->status_path);
  wn_free(m->states_path);
  wn_free(m->info_path);
  wn_buf_clear(&m->scratch);
}

/* "name:arch" in the scratch buffer. */
static wn_str with_arch(machine *m, wn_str name, wn_str arch) {
  wn_buf_reset(&m->scratch);
  wn_buf_append(&m->scratch, name.ptr, name.len);
  wn_buf_char(&m->scratch, ':');
  wn_buf_append(&m->scratch, arch.ptr, arch.len);
  return (wn_str){m->scratch.data, m->scratch.len};
}

static wn_status add_automatic(machine *m, const wn_deb822 *stanza, wn_error *err) {
  uint32_t ix;
  bool added;
  wn_str name = wn_deb822_get(stanza, "Package");
  if (name.len == 0 || !wn_str_is(wn_deb822_get(stanza, "Auto-Installed"), "1")) return WN_OK;
  wn_status status = wn_debian_intern(m->automatic, name, &ix, &added, err);
  if (status != WN_OK) return status;
  wn_str full = with_arch(m, name, wn_deb822_get(stanza, "Architecture"));
  if (m->scratch.failed) return wn_fail_memory(err);
  return wn_debian_intern(m->automatic, full, &ix, &added, err);
}

/* apt writes the native architecture for packages of architecture "all". */
static bool is_automatic(machine *m, wn_str name, wn_str arch) {
  if (wn_str_is(arch, "all")) return wn_dict_find(m->automatic, name) != WN_NO_IX;
  return wn_dict_find(m->automatic, with_arch(m, name, arch)) != WN_NO_IX;
}

/* When dpkg unpacked it: the time of info/NAME.list or info/NAME:ARCH.list. */
static int64_t install_time(machine *m, wn_str name, wn_str arch) {
  char path[4096];
  int64_t time_ms = 0;
  int len = snprintf(path, sizeof path, "%s/%.*s.list", m->info_path, WN_STR_ARG(name));
  if (len > 0 && (size_t)len < sizeof path) time_ms = file_time(path);
  if (time_ms > 0) return time_ms;
  len = snprintf(path, sizeof path, "%s/%.*s:%.*s.list", m->info_path, WN_STR_ARG(name),
                 WN_STR_ARG(arch));
  if (len > 0 && (size_t)len < sizeof path) time_ms = file_time(path);
  return time_ms > 0 ? time_ms : file_time(m->status_path);
}

static wn_status add_install(machine *m, const wn_deb822 *stanza, wn_error *err) {
  wn_reader *reader = m->debian->reader;
  wn_str name = wn_deb822_get(stanza, "Package");
  wn_str arch = wn_deb822_get(stanza, "Architecture");
  if (name.len == 0 || !wn_str_is(wn_deb822_get(stanza, "Status"), "install ok installed")) {
    return WN_OK;
  }
  if (wn_dict_find(m->debian->names, name) == WN_NO_IX) return WN_OK; /* no item of ours */
  if (is_automatic(m, name, arch)) return m->scratch.failed ? wn_fail_memory(err) : WN_OK;
  int64_t time_ms = install_time(m, name, arch);
  wn_event_record event = {.user = WN_STR(MACHINE_USER),
                           .item = name,
                           .type = WN_STR("install"),
                           .value = NAN,
                           .time_ms = time_ms < reader->now_ms ? time_ms : reader->now_ms};
  return wn_reader_event(reader, stanza->line, &event, 0, err);
}

/* Every stanza of a file to `each`; a missing file has none. */
static wn_status each_stanza(machine *m, const char *path,
                             wn_status (*each)(machine *, const wn_deb822 *, wn_error *),
                             wn_error *err) {
  wn_status status;
  bool end = false;
  struct stat st;
  wn_deb822 stanza;
  if (stat(path, &st) != 0) return WN_OK;
  wn_deb822_init(&stanza, m->debian->reader);
  WN_TRY(wn_reader_open(m->debian->reader, path, err));
  while (!end) {
    WN_TRY(wn_deb822_next(&stanza, &end, err));
    if (!end) WN_TRY(each(m, &stanza, err));
  }
cleanup:
  wn_reader_close(m->debian->reader);
  wn_deb822_clear(&stanza);
  return status;
}

static wn_status read_machine(wn_debian *debian, const char *root, wn_error *err) {
  wn_status status;
  machine m;
  WN_TRY(machine_init(&m, debian, root, err));
  WN_TRY(each_stanza(&m, m.states_path, add_automatic, err));
  WN_TRY(each_stanza(&m, m.status_path, add_install, err));
cleanup:
  machine_clear(&m);
  return status;
}

wn_status wn_read_debian(wn_reader *reader, const char *path, wn_error *err) {
  wn_status status;
  places where = {0};
  wn_folder folder = {0};
  wn_debian debian;
  WN_TRY(wn_debian_init(&debian, reader, err));
  WN_TRY(find_places(path, &where, err));
  WN_TRY(wn_folder_open(&folder, where.lists, err));
  WN_TRY(read_lists(&debian, &folder, err));
  WN_TRY(wn_debian_emit(&debian, err));
  if (where.root != NULL) WN_TRY(read_machine(&debian, where.root, err));
cleanup:
  wn_debian_clear(&debian);
  wn_folder_clear(&folder);
  wn_free(where.root);
  wn_free(where.lists);
  return status;
}
