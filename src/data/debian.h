#ifndef WN_DATA_DEBIAN_H
#define WN_DATA_DEBIAN_H
/* A Debian package index as a catalogue with events; read_debian.c finds the files, debian.c
 * holds the packages, debian_relations.c makes events of their relations. Internal. */

#include "data/deb822.h"
#include "base/bitset.h"
#include "base/dict.h"
#include "base/vec.h"

/* X(name, field in the Packages file) */
#define WN_DEBIAN_FIELDS(X)                                                                        \
  X(VERSION, "Version")                                                                            \
  X(SOURCE, "Source")                                                                              \
  X(SECTION, "Section")                                                                            \
  X(PRIORITY, "Priority")                                                                          \
  X(MAINTAINER, "Maintainer")                                                                      \
  X(SIZE, "Installed-Size")                                                                        \
  X(TAG, "Tag")                                                                                    \
  X(DESCRIPTION, "Description")                                                                    \
  X(MD5, "Description-md5")                                                                        \
  X(HOMEPAGE, "Homepage")                                                                          \
  X(PROVIDES, "Provides")                                                                          \
  X(PRE_DEPENDS, "Pre-Depends")                                                                    \
  X(DEPENDS, "Depends")                                                                            \
  X(RECOMMENDS, "Recommends")                                                                      \
  X(SUGGESTS, "Suggests")                                                                          \
  X(ENHANCES, "Enhances")

typedef enum wn_debian_field {
#define X(upper, name) WN_DEBIAN_##upper,
  WN_DEBIAN_FIELDS(X)
#undef X
      WN_DEBIAN_FIELD_COUNT
} wn_debian_field;

typedef struct wn_debian_package {
  wn_str fields[WN_DEBIAN_FIELD_COUNT]; /* absent where the stanza has none */
  const char *file;
  long line;
  int64_t time_ms; /* of the release that lists it */
  uint32_t source; /* index into sources */
} wn_debian_package;

/* One fact: a source project depends on, recommends … a package. */
typedef struct wn_debian_edge {
  uint32_t source;
  uint32_t item;
  uint32_t from; /* the binary package that says so */
  uint8_t type;  /* row of the table of types */
} wn_debian_edge;

/* Memory: the kept fields (text of the lists without paths and checksums), 300 bytes a package, 16
 * an edge, and the dictionaries: 71 MB resident for Debian 12's 63,666 packages. */
typedef struct wn_debian {
  wn_reader *reader;
  wn_arena arena;
  wn_dict *names; /* package name → index into packages */
  WN_VEC(wn_debian_package) packages;
  wn_dict *sources;
  wn_dict *digests; /* Description-md5 → index into texts */
  WN_VEC(wn_str) texts;
  WN_VEC(wn_debian_edge) edges;
  wn_buf scratch;
  uint64_t done; /* records handed out, for the progress */
} wn_debian;

WN_MUST_USE wn_status wn_debian_init(wn_debian *debian, wn_reader *reader, wn_error *err);
void wn_debian_clear(wn_debian *debian);
/* Reads the reader's current file as a Packages list; of two versions the newer stays. `file`
 * must outlive the state. */
WN_MUST_USE wn_status wn_debian_add_packages(wn_debian *debian, const char *file, int64_t time_ms,
                                             wn_error *err);
/* Reads the current file as a Translation-en list: the long descriptions, by digest. */
WN_MUST_USE wn_status wn_debian_add_texts(wn_debian *debian, wn_error *err);
/* Hands out items, then source projects, then their events. */
WN_MUST_USE wn_status wn_debian_emit(wn_debian *debian, wn_error *err);
/* Fills edges: see docs/data-formats.md for the rules. */
WN_MUST_USE wn_status wn_debian_relate(wn_debian *debian, wn_error *err);
const char *wn_debian_edge_type(const wn_debian_edge *edge);
WN_MUST_USE wn_status wn_debian_tick(wn_debian *debian, wn_error *err); /* progress, a record */

/* wn_dict_add() with its failures put into words. */
WN_MUST_USE wn_status wn_debian_intern(wn_dict *dict, wn_str key, uint32_t *ix, bool *added,
                                       wn_error *err);

/* Next name of a relation field: the first alternative of each comma-separated group without
 * version, architecture and build profile. False: no more. */
bool wn_debian_next_relation(wn_str *rest, wn_str *name);
/* deb-version(7): negative, 0, positive. */
int wn_debian_version_compare(wn_str a, wn_str b);

#endif
