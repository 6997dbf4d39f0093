/* Formats in matrix_file.h. A mapped file is used where it lies when its floats are aligned; .fvecs
 * and halves are copied, 4 bytes a number. */
#include "data/matrix_file.h"

#include "base/mem.h"
#include "data/npy.h"

#include <inttypes.h>
#include <string.h>

static bool ends_with(const char *path, const char *ending) {
  size_t n = strlen(path), m = strlen(ending);
  return n >= m && strcmp(path + n - m, ending) == 0;
}

static bool aligned(const void *data) {
  return (uintptr_t)data % sizeof(float) == 0;
}

static wn_status read_npy(wn_matrix_file *f, const char *path, wn_error *err) {
  wn_matrix m;
  wn_status status = wn_npy_parse((wn_str){(const char *)f->map.data, f->map.size}, &m, err);
  if (status != WN_OK) return err != NULL ? wn_error_at(err, path, 0, 0) : status;
  if (m.rows > UINT32_MAX || m.cols > UINT32_MAX)
    return wn_fail(err, WN_E_TOO_LARGE, "", "%s: %" PRIu64 " × %" PRIu64 " numbers", path, m.rows,
                   m.cols);
  f->rows = (uint32_t)m.rows;
  f->cols = (uint32_t)m.cols;
  if (m.type == WN_NUMBER_F32 && aligned(m.data)) {
    f->data = (const float *)(const void *)m.data;
    return WN_OK;
  }
  float *copy = wn_reallocarray(NULL, m.rows * m.cols + 1, sizeof *copy);
  if (copy == NULL) return wn_fail_memory(err);
  f->data = f->owned = copy;
  for (uint64_t r = 0; r < m.rows; r++) (void)wn_matrix_row(&m, r, copy + r * m.cols);
  return WN_OK;
}

static wn_status read_fvecs(wn_matrix_file *f, const char *path, wn_error *err) {
  uint32_t cols = 0;
  if (f->map.size >= sizeof cols) memcpy(&cols, f->map.data, sizeof cols);
  uint64_t stride = 4 * ((uint64_t)cols + 1);
  if (cols == 0 || f->map.size % stride != 0 || f->map.size / stride > UINT32_MAX)
    return wn_fail(err, WN_E_FORMAT, "", "%s: %zu bytes are not rows of %" PRIu32 " floats", path,
                   f->map.size, cols);
  f->rows = (uint32_t)(f->map.size / stride);
  f->cols = cols;
  float *copy = wn_reallocarray(NULL, (size_t)f->rows * cols, sizeof *copy);
  if (copy == NULL) return wn_fail_memory(err);
  f->data = f->owned = copy;
  for (uint32_t r = 0; r < f->rows; r++) {
    uint32_t own;
    memcpy(&own, f->map.data + r * stride, sizeof own);
    if (own != cols)
      return wn_fail(err, WN_E_FORMAT, "",
                     "%s: row %" PRIu32 " has %" PRIu32 " numbers, not %" PRIu32, path, r, own,
                     cols);
    memcpy(copy + (size_t)r * cols, f->map.data + r * stride + 4, 4 * (size_t)cols);
  }
  return WN_OK;
}

static wn_status read_bare(wn_matrix_file *f, uint32_t cols, const char *path, wn_error *err) {
  uint64_t stride = 4 * (uint64_t)cols;
  if (cols == 0)
    return wn_fail(err, WN_E_ARGUMENT, "dims", "say how long a row of %s is (or give .npy, .fvecs)",
                   path);
  if (f->map.size % stride != 0 || f->map.size / stride > UINT32_MAX)
    return wn_fail(err, WN_E_FORMAT, "", "%s: %zu bytes are not rows of %" PRIu32 " floats", path,
                   f->map.size, cols);
  f->rows = (uint32_t)(f->map.size / stride);
  f->cols = cols;
  f->data = (const float *)(const void *)f->map.data;
  return WN_OK;
}

wn_status wn_matrix_file_open(const char *path, uint32_t cols, wn_matrix_file *out, wn_error *err) {
  wn_status status;
  *out = (wn_matrix_file){0};
  WN_TRY(wn_map_file(path, &out->map, err));
  WN_TRY(ends_with(path, ".npy")     ? read_npy(out, path, err)
         : ends_with(path, ".fvecs") ? read_fvecs(out, path, err)
                                     : read_bare(out, cols, path, err));
  if (cols != 0 && out->cols != cols)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "dims", "%s has rows of %" PRIu32 " numbers, not %" PRIu32,
                   path, out->cols, cols));
cleanup:
  if (status != WN_OK) wn_matrix_file_close(out);
  return status;
}

void wn_matrix_file_close(wn_matrix_file *file) {
  wn_free(file->owned);
  wn_unmap_file(&file->map);
  *file = (wn_matrix_file){0};
}
