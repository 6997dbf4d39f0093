/* The file of imported vectors. Sections: "import/head", the ids end to end ("import/id_ptr",
 * "import/ids") and the numbers as they came ("import/rows"): float16 stays float16.
 *
 * Memory: both files are mapped; finding ids that come twice costs what a dictionary of them does.
 */
#include "model/vectors_file.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "model/section.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct import_head {
  uint32_t version;
  uint32_t type; /* wn_number_type */
  uint32_t rows;
  uint32_t d;
} import_head;

static const char *path_of(const char *dir, char *buf, size_t size) {
  snprintf(buf, size, "%s/vectors.wns", dir);
  return buf;
}

/* ---- import ---- */

typedef struct import {
  wn_mapping npy, ids;
  wn_matrix rows;
  wn_dict *seen;
  WN_VEC(uint64_t) id_ptr;
  wn_buf text;
} import;

static void import_clear(import *im) {
  wn_unmap_file(&im->npy);
  wn_unmap_file(&im->ids);
  wn_dict_free(im->seen);
  wn_vec_clear(&im->id_ptr);
  wn_buf_clear(&im->text);
}

static wn_status read_rows(import *im, wn_vectors_report *report, wn_error *err) {
  wn_status status =
      wn_npy_parse((wn_str){(const char *)im->npy.data, im->npy.size}, &im->rows, err);
  if (status != WN_OK) return status;
  uint64_t n = im->rows.rows, d = im->rows.cols;
  if (n >= WN_NO_IX || d < 1 || d > WN_VECTORS_D_MAX)
    return wn_fail(err, WN_E_FORMAT, "shape",
                   "must be fewer than 2^32 rows of 1 to %u numbers, is %" PRIu64 " of %" PRIu64,
                   WN_VECTORS_D_MAX, n, d);
  float row[WN_VECTORS_D_MAX];
  for (uint64_t r = 0; r < n; r++) {
    bool zero = true;
    if (!wn_matrix_row(&im->rows, r, row))
      return wn_fail(err, WN_E_FORMAT, "",
                     "row %" PRIu64 " (from 0) holds a number that is not finite", r);
    for (uint64_t k = 0; k < d && zero; k++) zero = row[k] == 0;
    report->zero += zero;
  }
  report->vectors = n;
  report->d = (uint32_t)d;
  return WN_OK;
}

static wn_status take_id(import *im, wn_str id, wn_error *err) {
  uint32_t ix;
  bool added;
  wn_status status = wn_key_check(id, "id", err);
  if (status == WN_OK) status = wn_dict_add(im->seen, id, &ix, &added);
  if (status == WN_OK && !added)
    status = wn_fail(err, WN_E_FORMAT, "id", "stood on line %" PRIu32 " already", ix + 1);
  if (status != WN_OK) return status;
  wn_buf_append(&im->text, id.ptr, id.len);
  return im->text.failed || !wn_vec_push(&im->id_ptr, im->text.len) ? wn_fail_memory(err) : WN_OK;
}

static wn_status read_ids(import *im, wn_error *err) {
  wn_status status = WN_OK;
  im->seen = wn_dict_create();
  if (im->seen == NULL || !wn_vec_push(&im->id_ptr, 0)) return wn_fail_memory(err);
  wn_str rest = {(const char *)im->ids.data, im->ids.size};
  uint64_t line = 0;
  for (; rest.len > 0 && line <= im->rows.rows; line++) {
    const char *end = memchr(rest.ptr, '\n', rest.len);
    size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len, next = len + (end != NULL);
    wn_str id = {rest.ptr, len > 0 && rest.ptr[len - 1] == '\r' ? len - 1 : len};
    if (line < im->rows.rows) status = take_id(im, id, err);
    if (status != WN_OK) {
      (void)wn_error_at(err, NULL, (long)line + 1, 0);
      return status;
    }
    rest = (wn_str){rest.ptr + next, rest.len - next};
  }
  if (line == im->rows.rows) return WN_OK;
  return wn_fail(err, WN_E_FORMAT, "", "has %s lines than the %" PRIu64 " rows of vectors",
                 line > im->rows.rows ? "more" : "fewer", im->rows.rows);
}

static wn_status write_file(const import *im, const char *path, wn_error *err) {
  wn_status status;
  wn_snapshot_writer *writer = NULL;
  const wn_matrix *m = &im->rows;
  import_head head = {1, m->type, (uint32_t)m->rows, (uint32_t)m->cols};
  WN_TRY(wn_snapshot_writer_create(path, &writer, err));
  WN_TRY(wn_snapshot_write(writer, "import/head", &head, sizeof head, err));
  WN_TRY(wn_snapshot_write(writer, "import/id_ptr", im->id_ptr.data,
                           im->id_ptr.len * sizeof *im->id_ptr.data, err));
  WN_TRY(wn_snapshot_write(writer, "import/ids", im->text.data, im->text.len, err));
  WN_TRY(wn_snapshot_write(writer, "import/rows", m->data,
                           m->rows * m->cols * wn_number_bytes(m->type), err));
  wn_snapshot_writer *whole = writer;
  writer = NULL;
  wn_snapshot_about about = {.items = head.rows, .created_ms = wn_now_ms()};
  WN_TRY(wn_snapshot_writer_finish(whole, &about, err));
cleanup:
  wn_snapshot_writer_abandon(writer);
  return status;
}

wn_status wn_vectors_import(const char *dir, const char *npy, const char *ids,
                            wn_vectors_report *report, wn_error *err) {
  char path[PATH_MAX];
  wn_status status;
import im = {0 };
  *report = (wn_vectors_report){0};
  const char *reading = npy;
  WN_TRY(wn_map_file(npy, &im.npy, err));
  WN_TRY(read_rows(&im, report, err));
  reading = ids;
  WN_TRY(wn_map_file(ids, &im.ids, err));
  WN_TRY(read_ids(&im, err));
  reading = NULL;
  WN_TRY(wn_make_dir(dir, err));
  WN_TRY(write_file(&im, path_of(dir, path, sizeof path), err));
cleanup:
  if (status != WN_OK && reading != NULL) (void)wn_error_at(err, reading, 0, 0);
  import_clear(&im);
  return status;
}

/* ---- use ---- */

static bool read_vector(const void *ctx, uint32_t i, float *out) {
  const wn_vectors_file *file = ctx;
  return wn_matrix_row(&file->rows, file->row[i], out);
}

typedef struct place {
  wn_item_ix item;
  uint32_t row;
} place;

static int by_item(const void *a, const void *b) {
  const place *x = a, *y = b;
  return x->item < y->item ? -1 : x->item > y->item;
}

/* Those ids that are items, by index. */
static wn_status look_up(wn_vectors_file *file, const wn_dict *items, uint32_t count,
                         wn_error *err) {
  wn_status status;
  const uint64_t *id_ptr;
  const void *ids;
  uint64_t bytes;
  uint32_t n = 0, rows = (uint32_t)file->rows.rows;
  place *found = wn_calloc((size_t)rows + 1, sizeof *found);
  file->row = wn_calloc((size_t)rows + 1, sizeof *file->row);
  file->item = wn_calloc((size_t)rows + 1, sizeof *file->item);
  if (found == NULL || file->row == NULL || file->item == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_section_offsets(file->file, "import/id_ptr", rows, &id_ptr, &bytes, err));
  WN_TRY(wn_section_array(file->file, "import/ids", 1, bytes, &ids, err));
  for (uint32_t r = 0; r < rows; r++) {
    wn_str id = {(const char *)ids + id_ptr[r], (size_t)(id_ptr[r + 1] - id_ptr[r])};
    wn_item_ix ix = wn_dict_find(items, id);
    if (ix < count) found[n++] = (place){ix, r};
  }
  qsort(found, n, sizeof *found, by_item);
  for (uint32_t i = 0; i < n; i++) {
    if (i > 0 && found[i].item == found[i - 1].item)
      WN_TRY(wn_fail(err, WN_E_CORRUPT, "import/ids", "an id comes twice"));
    file->item[i] = found[i].item;
    file->row[i] = found[i].row;
  }
  file->vectors = (wn_item_vectors){
      .ctx = file, .len = n, .d = (uint32_t)file->rows.cols, .item = file->item, read_vector};
cleanup:
  wn_free(found);
  return status;
}

static wn_status map_rows(wn_vectors_file *file, wn_error *err) {
  wn_status status;
  const void *at, *numbers;
  WN_TRY(wn_section_array(file->file, "import/head", sizeof(import_head), 1, &at, err));
  const import_head *head = at;
  if (head->version != 1 || head->type > WN_NUMBER_F16 || head->rows >= WN_NO_IX || head->d < 1 ||
      head->d > WN_VECTORS_D_MAX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "import/head", "values are out of range"));
  wn_matrix rows = {.type = (wn_number_type)head->type, .rows = head->rows, .cols = head->d};
  WN_TRY(wn_section_array(file->file, "import/rows", wn_number_bytes(rows.type),
                          rows.rows * rows.cols, &numbers, err));
  rows.data = numbers;
  file->rows = rows;
cleanup:
  return status;
}

wn_status wn_vectors_open(const char *dir, const wn_dict *items, uint32_t count,
                          wn_vectors_file *out, wn_error *err) {
  char path[PATH_MAX];
  wn_error why = {0};
  *out = (wn_vectors_file){0};
  wn_status status = wn_snapshot_open(path_of(dir, path, sizeof path), &out->file, &why);
  if (status == WN_E_NOT_FOUND) return WN_OK;
  if (status == WN_OK) status = map_rows(out, &why);
  if (status == WN_OK) status = look_up(out, items, count, &why);
  if (status == WN_OK) return WN_OK;
  wn_vectors_close(out);
  if (err != NULL) *err = why;
  (void)wn_error_at(err, path, 0, 0);
  return status;
}

void wn_vectors_close(wn_vectors_file *file) {
  wn_snapshot_unref(file->file);
  wn_free(file->row);
  wn_free(file->item);
  *file = (wn_vectors_file){0};
}
