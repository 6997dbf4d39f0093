/* Attributes of the users whom train knows nothing else of, for their queries. */
#include "lab/evaluate_internal.h"

#include "base/mem.h"

#include <string.h>

static bool copy_attr(wn_arena *arena, const wn_attr *from, wn_attr *to) {
  *to = *from;
  to->name = wn_arena_str(arena, from->name);
  bool good = to->name.ptr != NULL;
  if (from->kind == WN_ATTR_STRING) {
    to->string = wn_arena_str(arena, from->string);
    good = good && to->string.ptr != NULL;
  }
  if (from->kind != WN_ATTR_LIST) return good;
  wn_str *list = wn_arena_alloc(arena, (from->list_len + 1) * sizeof *list);
  to->list = list;
  for (size_t i = 0; list != NULL && i < from->list_len; i++) {
    list[i] = wn_arena_str(arena, from->list[i]);
    good = good && list[i].ptr != NULL;
  }
  return good && list != NULL;
}

static wn_status note(void *ctx, wn_user_ix ix, const wn_user_record *user, wn_error *err) {
  wn_bench *b = ctx;
  const uint64_t *seen = b->split->seen.ptr;
  if (ix >= b->split->users || seen[ix + 1] > seen[ix]) return WN_OK;
  wn_attrs *own = wn_arena_alloc(&b->attrs_arena, sizeof *own);
  wn_attr *data = wn_arena_alloc(&b->attrs_arena, (user->attrs.len + 1) * sizeof *data);
  bool good = own != NULL && data != NULL;
  for (size_t i = 0; good && i < user->attrs.len; i++)
    good = copy_attr(&b->attrs_arena, &user->attrs.data[i], &data[i]);
  if (!good) return wn_fail_memory(err);
  *own = (wn_attrs){data, user->attrs.len};
  b->attrs[ix] = own;
  return WN_OK;
}

wn_status wn_bench_read_attrs(wn_bench *b, wn_error *err) {
  const wn_user_source *source = &b->options->users_source;
  if (source->scan == NULL || b->split->cold_users == 0) return WN_OK;
  wn_arena_init(&b->attrs_arena, (size_t)1 << 32);
  b->attrs = wn_calloc((size_t)b->split->users + 1, sizeof *b->attrs);
  if (b->attrs == NULL) return wn_fail_memory(err);
  return source->scan(source->ctx, note, b, err);
}

void wn_bench_clear_attrs(wn_bench *b) {
  if (b->attrs != NULL) wn_arena_clear(&b->attrs_arena);
  wn_free(b->attrs);
}
