/* CSV and TSV. The first byte chooses the options, the rest is the file. */
#include "data_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const wn_column_map maps[] = {{{"user", 4}, {"a", 1}},
                                       {{"item", 4}, {"b", 1}},
                                       {{"type", 4}, {"!like", 5}},
                                       {{"time", 4}, {"", 0}}};
  static const char *const separators[] = {"|", "", ", ", ";"};
  if (size == 0) return 0;
  fuzz_count count = {0};
  wn_read_options options = fuzz_options(&count);
  uint8_t choice = data[0];
  options.skip_bad = (choice & 1) != 0;
  options.kind = (wn_record_kind)((choice >> 2) & 3);
  options.list_separator = separators[(choice >> 4) & 3];
  if ((choice & 64) != 0) options.map = maps, options.map_len = 4;
  wn_sink sink = {&count, fuzz_event, fuzz_item, fuzz_user};
  wn_read_report report;
  wn_reader reader;
  wn_error err = {0};
  wn_input *input = NULL;
  wn_reader_init(&reader, &options, &sink, &report);
  wn_status status = wn_input_open_memory(data + 1, size - 1, &input, &err);
  if (status == WN_OK) {
    wn_reader_use(&reader, input, "fuzz_users.csv");
    status = wn_read_csv(&reader, (choice & 2) != 0 ? '\t' : ',', (choice & 128) != 0, &err);
  }
  status = wn_reader_finish(&reader, status, &err);
  fuzz_settle(&count, &report, &options, status, &err);
  wn_input_close(input);
  return 0;
}
