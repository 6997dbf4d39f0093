/* The decompressors and the line source: any bytes give lines or a reason. */
#include "data_fuzz.h"

#define TEXT_BYTES_MAX (64u << 20) /* a small input may unpack to gigabytes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_input *input;
  wn_error err = {0};
  size_t total = 0;
  if (wn_input_open_memory(data, size, &input, &err) != WN_OK) {
    require(err.message[0] != '\0', "no reason");
    return 0;
  }
  while (total < TEXT_BYTES_MAX) {
    wn_str line;
    wn_status status = wn_input_line(input, &line, &err);
    if (status == WN_E_TOO_LARGE)
      total += 4u << 20;
    else if (status != WN_OK || line.ptr == NULL)
      break;
    else {
      require(line.len == 0 || memchr(line.ptr, '\n', line.len) == NULL, "a line of two");
      total += line.len + 1;
    }
    require(wn_input_consumed(input) <= size, "more was consumed than there is");
  }
  wn_input_close(input);
  return 0;
}
