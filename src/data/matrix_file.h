#ifndef WN_DATA_MATRIX_FILE_H
#define WN_DATA_MATRIX_FILE_H
/* A file of vectors as one matrix of floats: .npy (float32, float16), .fvecs (each row its length
 * as a 32-bit number, then its floats), or anything else as bare float32 rows of a given length.
 * All little-endian. What a number is (NaN, infinity) is for whoever uses it. */

#include "base/file.h"

typedef struct wn_matrix_file {
  const float *data; /* [rows × cols] */
  uint32_t rows, cols;
  void *owned; /* NULL: data lies in the mapping */
  wn_mapping map;
} wn_matrix_file;

/* `cols` is the length of bare rows; for .npy and .fvecs 0 or what must be there. WN_E_FORMAT and
 * WN_E_ARGUMENT say what is wrong with the file or with `cols`. */
WN_MUST_USE wn_status wn_matrix_file_open(const char *path, uint32_t cols, wn_matrix_file *out,
                                          wn_error *err);
void wn_matrix_file_close(wn_matrix_file *file);

#endif
