/* Relations between packages as events of the projects that state them: which names a field
 * holds, what a name means, and which facts count (one a source, package and type). */
#include "data/debian.h"
#include "base/map64.h"

#include <string.h>

static const struct {
  const char *type;
  wn_debian_field field;
} rows[] = {
    {"depends", WN_DEBIAN_PRE_DEPENDS},   {"depends", WN_DEBIAN_DEPENDS},
    {"recommends", WN_DEBIAN_RECOMMENDS}, {"suggests", WN_DEBIAN_SUGGESTS},
    {"enhances", WN_DEBIAN_ENHANCES},
};
#define ROWS (sizeof rows / sizeof *rows)

const char *wn_debian_edge_type(const wn_debian_edge *edge) {
  return rows[edge->type].type;
}

bool wn_debian_next_relation(wn_str *rest, wn_str *name) {
  while (rest->len > 0) {
    const char *comma = memchr(rest->ptr, ',', rest->len);
    size_t len = comma != NULL ? (size_t)(comma - rest->ptr) : rest->len;
    wn_str group = wn_str_trim((wn_str){rest->ptr, len});
    size_t used = comma != NULL ? len + 1 : len;
    *rest = (wn_str){rest->ptr + used, rest->len - used};
    size_t n = 0;
    while (n < group.len && group.ptr[n] != '\0' && strchr(" \t\n(:[<|", group.ptr[n]) == NULL) n++;
    *name = (wn_str){group.ptr, n};
    if (n > 0) return true;
  }
  return false;
}

/* dpkg's order of a character: '~' before the end of a part before letters before the rest. */
static int order_of(wn_str s, size_t i) {
  if (i >= s.len) return 0;
  unsigned char c = (unsigned char)s.ptr[i];
  if (c >= '0' && c <= '9') return 0;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return c;
  return c == '~' ? -1 : c + 256;
}

static bool digit_at(wn_str s, size_t i) {
  return i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9';
}

static int compare_part(wn_str a, wn_str b) {
  size_t i = 0, j = 0;
  while (i < a.len || j < b.len) {
    while ((i < a.len && !digit_at(a, i)) || (j < b.len && !digit_at(b, j))) {
      int x = order_of(a, i), y = order_of(b, j);
      if (x != y) return x - y;
      i++;
      j++;
    }
    while (i < a.len && a.ptr[i] == '0') i++;
    while (j < b.len && b.ptr[j] == '0') j++;
    int first = 0;
    while (digit_at(a, i) && digit_at(b, j)) {
      if (first == 0) first = a.ptr[i] - b.ptr[j];
      i++;
      j++;
    }
    if (digit_at(a, i)) return 1;
    if (digit_at(b, j)) return -1;
    if (first != 0) return first;
  }
  return 0;
}

/* Splits [epoch:]upstream[-revision]. */
static void split_version(wn_str version, wn_str part[3]) {
  const char *colon = version.len > 0 ? memchr(version.ptr, ':', version.len) : NULL;
  part[0] = WN_STR("0");
  if (colon != NULL) {
    size_t len = (size_t)(colon - version.ptr);
    part[0] = (wn_str){version.ptr, len};
    version = (wn_str){colon + 1, version.len - len - 1};
  }
  const char *dash = version.len > 0 ? memrchr(version.ptr, '-', version.len) : NULL;
  size_t upstream = dash != NULL ? (size_t)(dash - version.ptr) : version.len;
  part[1] = (wn_str){version.ptr, upstream};
  part[2] = WN_STR("0");
  if (dash != NULL) part[2] = (wn_str){dash + 1, version.len - upstream - 1};
}

int wn_debian_version_compare(wn_str a, wn_str b) {
  wn_str x[3], y[3];
  split_version(a, x);
  split_version(b, y);
  for (int i = 0; i < 3; i++) {
    int order = compare_part(x[i], y[i]);
    if (order != 0) return order;
  }
  return 0;
}

#define MANY (WN_NO_IX - 1)

/* Who provides the virtual packages: one package, or MANY. */
typedef struct providers {
  wn_dict *names;
  WN_VEC(uint32_t) by;
} providers;

static wn_status add_provider(providers *p, const wn_debian *debian, wn_str name, uint32_t ix,
                              wn_error *err) {
  bool added;
  uint32_t slot;
  if (wn_dict_find(debian->names, name) != WN_NO_IX) return WN_OK; /* a real package wins */
  wn_status status = wn_debian_intern(p->names, name, &slot, &added, err);
  if (status != WN_OK) return status;
  if (!added) {
    if (p->by.data[slot] != ix) p->by.data[slot] = MANY;
    return WN_OK;
  }
  return wn_vec_push(&p->by, ix) ? WN_OK : wn_fail_memory(err);
}

static wn_status find_providers(providers *p, const wn_debian *debian, wn_error *err) {
  p->names = wn_dict_create();
  if (p->names == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < debian->packages.len; i++) {
    wn_str rest = debian->packages.data[i].fields[WN_DEBIAN_PROVIDES], name;
    while (wn_debian_next_relation(&rest, &name)) {
      wn_status status = add_provider(p, debian, name, (uint32_t)i, err);
      if (status != WN_OK) return status;
    }
  }
  return WN_OK;
}

static uint32_t resolve(const providers *p, const wn_debian *debian, wn_str name) {
  uint32_t ix = wn_dict_find(debian->names, name);
  if (ix != WN_NO_IX) return ix;
  uint32_t slot = wn_dict_find(p->names, name);
  if (slot == WN_NO_IX || p->by.data[slot] == MANY) return WN_NO_IX;
  return p->by.data[slot];
}

/* Type numbers by name: both rows of "depends" are one type. */
static uint64_t key_of(uint32_t source, uint32_t item, uint8_t type) {
  uint64_t same = type == 1 ? 0 : type;
  return ((uint64_t)source << 35) | ((uint64_t)item << 3) | same;
}

static wn_status relate_package(wn_debian *debian, uint32_t ix, const providers *p, wn_map64 *seen,
                                wn_error *err) {
  const wn_debian_package *package = &debian->packages.data[ix];
  for (uint8_t type = 0; type < ROWS; type++) {
    wn_str rest = package->fields[rows[type].field], name;
    while (wn_debian_next_relation(&rest, &name)) {
      uint32_t item = resolve(p, debian, name);
      if (item == WN_NO_IX || debian->packages.data[item].source == package->source) continue;
      uint64_t *known = wn_map64_at(seen, key_of(package->source, item, type));
      if (known == NULL) return wn_fail_memory(err);
      if ((*known)++ > 0) continue;
      wn_debian_edge edge = {package->source, item, ix, type};
      if (!wn_vec_push(&debian->edges, edge)) return wn_fail_memory(err);
    }
  }
  return WN_OK;
}

wn_status wn_debian_relate(wn_debian *debian, wn_error *err) {
  wn_status status;
  providers p = {0};
  wn_map64 seen;
  wn_map64_init(&seen);
  WN_TRY(find_providers(&p, debian, err));
  for (size_t i = 0; i < debian->packages.len; i++) {
    WN_TRY(relate_package(debian, (uint32_t)i, &p, &seen, err));
  }
cleanup:
  wn_map64_clear(&seen);
  wn_dict_free(p.names);
  wn_vec_clear(&p.by);
  return status;
}
