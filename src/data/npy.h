#ifndef WN_DATA_NPY_H
#define WN_DATA_NPY_H
/* Matrices of numbers in files: NumPy's .npy and the tensors of a .safetensors file. Both are views
 * into bytes that the caller holds (a mapping), and both are checked against the size of these
 * bytes before they are believed. */

#include "base/str.h"

#include <stdint.h>

typedef enum wn_number_type {
  WN_NUMBER_F32,
  WN_NUMBER_F16,
  WN_NUMBER_I8,
  WN_NUMBER_F64,
  WN_NUMBER_I32,
  WN_NUMBER_I64
} wn_number_type;

/* Row by row, little-endian; data need not be aligned. */
typedef struct wn_matrix {
  const unsigned char *data;
  wn_number_type type;
  uint64_t rows;
  uint64_t cols;
} wn_matrix;

size_t wn_number_bytes(wn_number_type type);
/* Row `row` as floats; false when one of them is not finite. */
bool wn_matrix_row(const wn_matrix *matrix, uint64_t row, float *out);

/* A whole .npy file (versions 1 to 3): two dimensions, float32 or float16, little-endian, C order.
 * WN_E_FORMAT, WN_E_UNSUPPORTED. */
WN_MUST_USE wn_status wn_npy_parse(wn_str bytes, wn_matrix *out, wn_error *err);

/* The tensor `name` of a whole .safetensors file; one dimension gives one column. Types: F32, F16,
 * I8, F64, I32, I64. WN_E_NOT_FOUND when there is none of that name. */
WN_MUST_USE wn_status wn_safetensors_find(wn_str bytes, const char *name, wn_matrix *out,
                                          wn_error *err);

#endif
