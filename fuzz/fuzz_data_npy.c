/* .npy and .safetensors files. The first byte chooses which. What is accepted is read to its end.
 */
#include "data/npy.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile float sink; /* what is read must be read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_matrix m;
  wn_error err = {0};
  static float row[1 << 16];
  if (size == 0) return 0;
  wn_str bytes = {(const char *)data + 1, size - 1};
  wn_status status = (data[0] & 1) != 0 ? wn_safetensors_find(bytes, "embeddings", &m, &err)
                                        : wn_npy_parse(bytes, &m, &err);
  if (status != WN_OK) {
    if (err.message[0] != '\0' && wn_utf8_valid(wn_str_of(err.message))) return 0;
    fprintf(stderr, "fuzz: a bad message\n");
    abort();
  }
  for (uint64_t r = 0; m.cols > 0 && m.cols <= sizeof row / sizeof *row && r < m.rows; r++)
    if (wn_matrix_row(&m, r, row)) sink += row[m.cols - 1];
  return 0;
}
