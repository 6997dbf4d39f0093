/* See per_user.h. */
#include "lab/per_user.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"
#include "data/reader.h"
#include "lab/fingerprint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define HEAD "# winnow per-user "

wn_status wn_per_user_write(const char *path, const wn_evaluation *e, const wn_dict *ids,
                            wn_error *err) {
  FILE *file = fopen(path, "w");
  char population[WN_HASH_TEXT];
  if (file == NULL) return wn_fail_errno(err, "per-user", "cannot write %s", path);
  wn_hash_text(e->population_hash, population);
  fprintf(file, HEAD "%s@%u population %s\nmodel\tuser\tvalue\n", wn_metric_about(e->primary)->name,
          e->rows[0].at[0].k, population);
  for (size_t i = 0; i < e->rows_len; i++)
    for (size_t at = 0; at < e->users_evaluated; at++) {
      wn_str id = ids != NULL ? wn_dict_key(ids, e->user[at]) : (wn_str){NULL, 0};
      fprintf(file, "%s\t", e->rows[i].name);
      if (id.ptr != NULL)
        fprintf(file, "%.*s", (int)id.len, id.ptr);
      else
        fprintf(file, "%" PRIu32, e->user[at]);
      fprintf(file, "\t%.17g\n", e->rows[i].user_value[at]);
    }
  bool done = !ferror(file);
  if (fclose(file) == 0 && done) return WN_OK;
  return wn_fail_errno(err, "per-user", "cannot write %s", path);
}

typedef WN_VEC(double) numbers;

static wn_status take_line(wn_str line, const char *model, numbers *values, wn_per_user *out,
                           wn_error *err) {
  const char *tab = memchr(line.ptr, '\t', line.len);
  const char *last = tab;
  double value;
  for (size_t i = 0; i < line.len; i++)
    if (line.ptr[i] == '\t') last = line.ptr + i;
  if (tab == NULL || last == tab)
    return wn_fail(err, WN_E_FORMAT, "", "expected `model user value` with tabs");
  wn_str name = {line.ptr, (size_t)(tab - line.ptr)}, user = {tab + 1, (size_t)(last - tab) - 1};
  wn_str text = {last + 1, (size_t)(line.ptr + line.len - last) - 1};
  if (!wn_str_is(name, model)) return WN_OK;
  if (wn_str_is(text, "nan") || wn_str_is(text, "-nan"))
    value = NAN;
  else if (!wn_parse_double(text, &value))
    return wn_fail(err, WN_E_FORMAT, "value", "expected a number");
  out->users_hash = wn_hash64(user.ptr, user.len, out->users_hash);
  return wn_vec_push(values, value) ? WN_OK : wn_fail_memory(err);
}

wn_status wn_per_user_read(const char *path, const char *model, wn_per_user *out, wn_error *err) {
  wn_input *input = NULL;
  numbers values = {0};
  wn_status status;
  memset(out, 0, sizeof *out);
  WN_TRY(wn_input_open(path, &input, err));
  for (long number = 1;; number++) {
    wn_str line;
    WN_TRY(wn_input_line(input, &line, err));
    if (line.ptr == NULL) break;
    if (number == 1) {
      char head[256];
      snprintf(head, sizeof head, "%.*s", (int)(line.len > 255 ? 255 : line.len), line.ptr);
      if (sscanf(head, HEAD "%79s population %31s", out->metric, out->population) != 2)
        WN_TRY(wn_fail(err, WN_E_FORMAT, "",
                       "%s is no file of `winnow evaluate --per-user`: its first line says nothing "
                       "of the population",
                       path));
    } else if (number > 2) {
      status = take_line(line, model, &values, out, err);
      if (status != WN_OK) {
        wn_error_at(err, path, number, 0);
        goto cleanup;
      }
    }
  }
  if (values.len == 0)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "model", "%s has no row `%s`", path, model));
cleanup:
  wn_input_close(input);
  out->value = values.data;
  out->len = values.len;
  if (status != WN_OK) wn_per_user_clear(out);
  return status;
}

void wn_per_user_clear(wn_per_user *values) {
  wn_free(values->value);
  memset(values, 0, sizeof *values);
}
