/* HTTP bodies, query strings and targets: whatever a stranger sends. The first byte picks the
 * route, the rest is its body; each outcome is checked for what it promises. */
#include "serve/http_body.h"
#include "serve/http_parse.h"
#include <stdlib.h>

#define NOW INT64_C(1700000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good) {
  if (!good) abort();
}

/* A failure says what and where; a success says nothing false. */
static void check_error(wn_status status, const wn_error *err) {
  require(status == WN_OK || (err->status == status && err->message[0] != '\0'));
}

static void bodies(wn_str text, wn_op_kind kind, wn_body_form form, wn_arena *arena) {
  wn_body_ops ops = {.kind = kind, .now_ms = NOW, .arena = arena};
  wn_error err = {.status = WN_OK};
  wn_status status = wn_body_to_ops(text, form, &ops, &err);
  check_error(status, &err);
  if (status != WN_OK) return;
  require(ops.count <= WN_HTTP_RECORDS_MAX && ops.index == -1);
  for (size_t i = 0; i < ops.count; i++) {
    const wn_op *op = &ops.ops[i];
    require(op->kind == kind);
    if (kind == WN_OP_EVENT) {
      require(wn_event_check(&op->u.event, NOW, NULL) == WN_OK);
    } else if (kind == WN_OP_ITEM_PUT) {
      require(wn_item_check(&op->u.item, NULL) == WN_OK);
    } else {
      require(wn_user_check(&op->u.user, NULL) == WN_OK);
    }
  }
}

static void one_record(wn_str text, unsigned which, wn_arena *arena) {
  static const wn_op_kind kinds[] = {WN_OP_ITEM_PUT, WN_OP_USER_PUT, WN_OP_ITEM_PATCH,
                                     WN_OP_USER_PATCH};
  wn_op op;
  wn_error err = {.status = WN_OK};
  wn_str id = WN_STR("id");
  wn_status status = which < 2 ? wn_body_to_put(text, kinds[which], id, arena, &op, &err)
                               : wn_body_to_patch(text, kinds[which], id, arena, &op, &err);
  check_error(status, &err);
  if (status == WN_OK && which >= 2) {
    json_t *json = NULL;
    require(wn_json_parse(op.patch, 1, &json, NULL) == WN_OK && json_is_object(json));
    json_decref(json);
  }
}

static void slate(wn_str text, wn_arena *arena) {
  wn_slate_request request = {.n = 0};
  wn_error err = {.status = WN_OK};
  wn_status status = wn_body_to_slate(text, arena, &request, &err);
  check_error(status, &err);
  require(status != WN_OK || request.n <= WN_SLATE_MAX);
}

static void url(wn_str text, wn_arena *arena) {
  wn_target target;
  wn_query_string query;
  wn_str captured = {NULL, 0}, id;
  wn_error err = {.status = WN_OK};
  char name[32], type[64];
  (void)wn_accepts(text, "application/json");
  (void)wn_media_type(text, type, sizeof type);
  if (!wn_target_parse(text, &target)) return;
  if (wn_target_matches(&target, "/v1/items/{id}", &captured, name) &&
      wn_percent_decode(captured, false, "id", arena, &id, &err) == WN_OK)
    require(id.len <= captured.len && wn_utf8_valid(id));
  err = (wn_error){.status = WN_OK};
  check_error(wn_query_parse(target.query, arena, &query, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  static const wn_op_kind kinds[] = {WN_OP_EVENT, WN_OP_ITEM_PUT, WN_OP_USER_PUT};
  wn_str text = {(const char *)data + 1, size - 1};
  wn_arena arena;
  wn_arena_init(&arena, (size_t)64 << 20);
  unsigned route = data[0] % 12;
  if (route < 6) {
    bodies(text, kinds[route % 3], route < 3 ? WN_BODY_JSON : WN_BODY_LINES, &arena);
  } else if (route < 10) {
    one_record(text, route - 6, &arena);
  } else if (route == 10) {
    slate(text, &arena);
  } else {
    url(text, &arena);
  }
  wn_arena_clear(&arena);
  return 0;
}
