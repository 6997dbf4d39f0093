/* The journal of a search: JSON lines, one written and flushed for each thing measured, so that a
 * search that was killed goes on where it was. The first line says which search it is; numbers are
 * written so that they read back equal, hence a continued search ends as one that was not stopped.
 */

#include "lab/tune.h"

#include "base/file.h"
#include "base/json_write.h"
#include "base/mem.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define JOURNAL_BYTES_MAX ((size_t)1 << 30)

static wn_status push(wn_tune_journal *j, const wn_tune_entry *entry, wn_error *err) {
  if (j->len == j->cap) {
    size_t cap = j->cap > 0 ? 2 * j->cap : 64;
    wn_tune_entry *more = wn_reallocarray(j->entries, cap, sizeof *more);
    if (more == NULL) return wn_fail_memory(err);
    j->entries = more;
    j->cap = cap;
  }
  j->entries[j->len++] = *entry;
  return WN_OK;
}

static wn_status append(const wn_tune_journal *j, const wn_buf *line, wn_error *err) {
  if (j->path == NULL) return WN_OK;
  FILE *file = fopen(j->path, "ab");
  bool good = file != NULL && fwrite(line->data, 1, line->len, file) == line->len;
  good &= file != NULL && fclose(file) == 0;
  return good ? WN_OK
              : wn_fail(err, WN_E_IO, "out", "cannot write %.200s: %s", j->path, strerror(errno));
}

static bool is_count(const json_t *value, json_int_t below) {
  return json_is_integer(value) && json_integer_value(value) >= 0 &&
         json_integer_value(value) < below;
}

static wn_status read_users(const json_t *list, wn_tune_entry *entry, wn_error *err) {
  entry->users_len = json_array_size(list);
  entry->users = wn_reallocarray(NULL, entry->users_len + 1, sizeof *entry->users);
  if (entry->users == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < entry->users_len; i++)
    entry->users[i] = json_number_value(json_array_get(list, i));
  return WN_OK;
}

static wn_status read_line(wn_tune_journal *j, const json_t *line, long number, wn_error *err) {
  const json_t *trials = json_object_get(line, "trials"), *trial = json_object_get(line, "trial");
  const json_t *rung = json_object_get(line, "rung"), *value = json_object_get(line, "value");
  const json_t *users = json_object_get(line, "users");
  wn_tune_entry entry = {0};
  if (is_count(trials, WN_TUNE_TRIALS_MAX + 1)) {
    j->trials = (uint32_t)json_integer_value(trials);
    return WN_OK;
  }
  if (!is_count(trial, WN_TUNE_TRIALS_MAX) || !is_count(rung, WN_TUNE_RUNGS_MAX) ||
      !json_is_number(value)) {
    wn_fail(err, WN_E_FORMAT, "out", "not a line of a search");
    return wn_error_at(err, j->path, number, 0);
  }
  entry.trial = (uint32_t)json_integer_value(trial);
  entry.rung = (uint32_t)json_integer_value(rung);
  entry.value = json_number_value(value);
  entry.seconds = json_number_value(json_object_get(line, "seconds"));
  wn_status status = json_is_array(users) ? read_users(users, &entry, err) : WN_OK;
  if (status == WN_OK) status = push(j, &entry, err);
  if (status != WN_OK) wn_free(entry.users);
  return status;
}

/* What follows the first line. */
static wn_status read_lines(wn_tune_journal *j, wn_str text, wn_error *err) {
  wn_status status = WN_OK;
  for (long number = 2; status == WN_OK && text.len > 0; number++) {
    const char *end = memchr(text.ptr, '\n', text.len);
    size_t len = (size_t)(end - text.ptr);
    json_t *line = json_loadb(text.ptr, len, JSON_REJECT_DUPLICATES, NULL);
    status = read_line(j, line, number, err);
    json_decref(line);
    text = (wn_str){text.ptr + len + 1, text.len - len - 1};
  }
  return status;
}

/* Keeps whole lines only. */
static wn_status whole_lines(const wn_tune_journal *j, wn_buf *text, wn_error *err) {
  size_t whole = text->len;
  while (whole > 0 && text->data[whole - 1] != '\n') whole--;
  if (whole == text->len) return WN_OK;
  text->len = whole;
  return wn_write_file_atomic(j->path, (wn_str){text->data, whole}, err);
}

wn_status wn_tune_journal_open(wn_tune_journal *journal, const char *path, const char *head,
                               wn_error *err) {
  wn_buf text = {0};
  wn_status status = WN_OK;
  size_t len = strlen(head);
  memset(journal, 0, sizeof *journal);
  if (path == NULL) return WN_OK;
  journal->path = wn_malloc(strlen(path) + 1);
  if (journal->path == NULL) return wn_fail_memory(err);
  memcpy(journal->path, path, strlen(path) + 1);
  status = wn_read_file(path, JOURNAL_BYTES_MAX, &text, err);
  if (status != WN_OK && status != WN_E_NOT_FOUND) goto cleanup;
  status = WN_OK;
  WN_TRY(whole_lines(journal, &text, err));
  if (text.len == 0) {
    wn_buf_printf(&text, "%s\n", head);
    WN_TRY(append(journal, &text, err));
    goto cleanup;
  }
  if (text.len <= len || memcmp(text.data, head, len) != 0 || text.data[len] != '\n')
    WN_TRY(wn_fail(err, WN_E_CONFLICT, "out",
                   "%.200s holds another search (other data, model, metric, fixed parameters or "
                   "seed): name another file",
                   path));
  WN_TRY(read_lines(journal, (wn_str){text.data + len + 1, text.len - len - 1}, err));
cleanup:
  wn_buf_clear(&text);
  if (status != WN_OK) wn_tune_journal_clear(journal);
  return status;
}

const wn_tune_entry *wn_tune_journal_find(const wn_tune_journal *journal, uint32_t trial,
                                          uint32_t rung) {
  for (size_t i = 0; i < journal->len; i++)
    if (journal->entries[i].trial == trial && journal->entries[i].rung == rung)
      return &journal->entries[i];
  return NULL;
}

static void write_params(wn_json *json, const wn_tune_space *space, const wn_params *params) {
  wn_json_key(json, "params");
  wn_json_object(json);
  for (size_t i = 0; i < space->cls->params_len; i++) {
    if (params->value[i] == space->cls->params[i].value) continue;
    wn_json_key(json, space->cls->params[i].name);
    wn_json_double(json, params->value[i]);
  }
  wn_json_end_object(json);
}

wn_status wn_tune_journal_add(wn_tune_journal *journal, const wn_tune_entry *entry,
                              const wn_tune_space *space, const wn_params *params, wn_error *err) {
  wn_buf line = {0};
  wn_json json;
  wn_json_init(&json, &line);
  wn_json_object(&json);
  wn_json_key(&json, "trial");
  wn_json_int(&json, entry->trial);
  wn_json_key(&json, "rung");
  wn_json_int(&json, entry->rung);
  write_params(&json, space, params);
  wn_json_key(&json, "value");
  wn_json_double(&json, entry->value);
  wn_json_key(&json, "seconds");
  wn_json_double(&json, entry->seconds);
  if (entry->users != NULL) {
    wn_json_key(&json, "users");
    wn_json_array(&json);
    for (size_t i = 0; i < entry->users_len; i++) wn_json_double(&json, entry->users[i]);
    wn_json_end_array(&json);
  }
  wn_json_end_object(&json);
  wn_buf_char(&line, '\n');
  wn_status status = line.failed ? wn_fail_memory(err) : append(journal, &line, err);
  wn_buf_clear(&line);
  if (status == WN_OK) status = push(journal, entry, err);
  if (status != WN_OK) wn_free(entry->users);
  return status;
}

wn_status wn_tune_journal_plan(wn_tune_journal *journal, uint32_t trials, wn_error *err) {
  wn_buf line = {0};
  journal->trials = trials;
  wn_buf_printf(&line, "{\"trials\":%u}\n", trials);
  wn_status status = line.failed ? wn_fail_memory(err) : append(journal, &line, err);
  wn_buf_clear(&line);
  return status;
}

void wn_tune_journal_clear(wn_tune_journal *journal) {
  for (size_t i = 0; i < journal->len; i++) wn_free(journal->entries[i].users);
  wn_free(journal->entries);
  wn_free(journal->path);
  memset(journal, 0, sizeof *journal);
}
