/* JSON merge patches: RFC 7396, section 2.
 *
 * A patch changes a record as if the record were the document {title, text, status, attributes}
 * (users: {attributes}); null removes a member, which for `status` means active. What comes out
 * must be a valid record: it is checked like any record that enters. "deleted" is no status that a
 * patch may set, since deleting also erases. */
#include "base/mem.h"
#include "store/backend.h"

#include <jansson.h>
#include <string.h>

/* MergePatch(Target, Patch) of the RFC for an object patch; `target` is an object. Recursion is
 * bounded: attributes nest no deeper than the parser's limit of 2,048. */
static bool merge(json_t *target, const json_t *patch) {
  const char *name;
  json_t *value;
  /* jansson's loop macro wants a json_t * that it does not change. */
  json_object_foreach((json_t *)(uintptr_t)patch, name, value) {
    if (json_is_null(value)) {
      json_object_del(target, name);
      continue;
    }
    if (!json_is_object(value)) {
      if (json_object_set(target, name, value) != 0) return false;
      continue;
    }
    json_t *inner = json_object_get(target, name);
    if (!json_is_object(inner)) {
      inner = json_object();
      if (json_object_set_new(target, name, inner) != 0) return false;
    }
    if (!merge(inner, value)) return false;
  }
  return true;
}

static wn_status parse_patch(wn_str patch, json_t **out, wn_error *err) {
  json_error_t why;
  *out = NULL;
  json_t *root =
      patch.ptr == NULL ? NULL : json_loadb(patch.ptr, patch.len, JSON_REJECT_DUPLICATES, &why);
  if (root == NULL) {
    if (patch.ptr == NULL) return wn_fail(err, WN_E_FORMAT, "", "the patch is missing");
    wn_fail(err, WN_E_FORMAT, "", "must be a JSON merge patch: %s", why.text);
    return wn_error_at(err, NULL, why.line, why.column);
  }
  if (json_is_object(root)) {
    *out = root;
    return WN_OK;
  }
  json_decref(root);
  return wn_fail(err, WN_E_FORMAT, "", "a merge patch of a record must be a JSON object");
}

static wn_status check_members(const json_t *patch, const char *const *known, wn_error *err) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)patch, name, value) {
    size_t i = 0;
    while (known[i] != NULL && strcmp(known[i], name) != 0) i++;
    if (known[i] == NULL) return wn_fail(err, WN_E_ARGUMENT, name, "is not a member of the record");
  }
  return WN_OK;
}

/* A text member: absent in the patch keeps it, null removes it. */
static wn_status patch_text(const json_t *patch, const char *name, wn_arena *arena, wn_str *io,
                            wn_error *err) {
  const json_t *value = json_object_get(patch, name);
  if (value == NULL) return WN_OK;
  if (json_is_null(value)) {
    *io = (wn_str){0};
    return WN_OK;
  }
  if (!json_is_string(value)) return wn_fail(err, WN_E_ARGUMENT, name, "must be a string or null");
  *io = wn_arena_str(arena, (wn_str){json_string_value(value), json_string_length(value)});
  return io->ptr != NULL ? WN_OK : wn_fail_memory(err);
}

static wn_status patch_status(const json_t *patch, wn_item_status *io, wn_error *err) {
  const json_t *value = json_object_get(patch, "status");
  if (value == NULL) return WN_OK;
  const char *text = json_string_value(value);
  if (json_is_null(value) || (text != NULL && strcmp(text, "active") == 0)) {
    *io = WN_ITEM_ACTIVE;
  } else if (text != NULL && strcmp(text, "hidden") == 0) {
    *io = WN_ITEM_HIDDEN;
  } else {
    return wn_fail(err, WN_E_ARGUMENT, "status", "must be \"active\" or \"hidden\"");
  }
  return WN_OK;
}

/* The stored attributes with the patch's merged in; a new reference, or NULL with err filled. */
static json_t *merged_attributes(const json_t *value, wn_str stored, wn_error *err) {
  json_error_t why;
  if (json_is_null(value)) return json_object();
  if (!json_is_object(value)) {
    wn_fail(err, WN_E_ARGUMENT, "attributes", "must be an object or null");
    return NULL;
  }
  json_t *target = stored.ptr == NULL
                       ? json_object()
                       : json_loadb(stored.ptr, stored.len, JSON_REJECT_DUPLICATES, &why);
  if (json_is_object(target) && merge(target, value)) return target;
  wn_fail(err, target == NULL && stored.ptr != NULL ? WN_E_CORRUPT : WN_E_MEMORY, "attributes",
          "cannot be merged with what is stored");
  json_decref(target);
  return NULL;
}

/* Canonical attributes of a merged object: checked by way of the record that they belong to. */
static wn_status patch_attributes(const json_t *patch, wn_arena *arena, wn_str *io, wn_attrs *attrs,
                                  wn_error *err) {
  wn_status status = WN_OK;
  const json_t *value = json_object_get(patch, "attributes");
  json_t *merged = NULL;
  char *text = NULL;
  wn_buf canonical = {0};
  if (value == NULL) return wn_attrs_from_json(*io, arena, attrs, err);
  merged = merged_attributes(value, *io, err);
  if (merged == NULL) {
    status = err->status;
    goto cleanup;
  }
  text = json_dumps(merged, JSON_COMPACT);
  if (text == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_attrs_from_json(wn_str_of(text), arena, attrs, err));
  wn_attrs_to_json(attrs, &canonical);
  *io = (wn_str){0};
  if (attrs->len > 0) *io = wn_arena_str(arena, (wn_str){canonical.data, canonical.len});
  if (canonical.failed || (attrs->len > 0 && io->ptr == NULL)) WN_TRY(wn_fail_memory(err));
cleanup:
  wn_buf_clear(&canonical);
  wn_free(text);
  json_decref(merged);
  return status;
}

wn_status wn_item_row_patch(wn_item_row *row, wn_str patch, wn_arena *arena, wn_error *err) {
  static const char *const members[] = {"title", "text", "status", "attributes", NULL};
  wn_status status;
  json_t *root = NULL;
  wn_item_record record = {0};
  WN_TRY(parse_patch(patch, &root, err));
  WN_TRY(check_members(root, members, err));
  WN_TRY(patch_text(root, "title", arena, &row->title, err));
  WN_TRY(patch_text(root, "text", arena, &row->text, err));
  WN_TRY(patch_status(root, &row->status, err));
  WN_TRY(patch_attributes(root, arena, &row->attributes, &record.attrs, err));
  record.id = row->id;
  record.title = row->title;
  record.text = row->text;
  record.status = row->status;
  WN_TRY(wn_item_check(&record, err));
cleanup:
  json_decref(root);
  return status;
}

wn_status wn_user_row_patch(wn_user_row *row, wn_str patch, wn_arena *arena, wn_error *err) {
  static const char *const members[] = {"attributes", NULL};
  wn_status status;
  json_t *root = NULL;
  wn_user_record record = {.id = row->id};
  WN_TRY(parse_patch(patch, &root, err));
  WN_TRY(check_members(root, members, err));
  WN_TRY(patch_attributes(root, arena, &row->attributes, &record.attrs, err));
  WN_TRY(wn_user_check(&record, err));
cleanup:
  json_decref(root);
  return status;
}
