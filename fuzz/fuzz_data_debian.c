/* A Packages list, behind a NUL a second one, behind another the translations. Two lines of the
 * first are also compared as versions. */
#include "data_fuzz.h"

#include "data/debian.h"

static int sign(int x) {
  return (x > 0) - (x < 0);
}

static void check_versions(wn_str text) {
  const char *end = text.len > 0 ? memchr(text.ptr, '\n', text.len) : NULL;
  if (end == NULL) return;
  wn_str a = {text.ptr, (size_t)(end - text.ptr)};
  wn_str b = {end + 1, text.len - a.len - 1};
  if (a.len > 200 || b.len > 200) return;
  require(wn_debian_version_compare(a, a) == 0, "a version differs from itself");
  require(sign(wn_debian_version_compare(a, b)) == -sign(wn_debian_version_compare(b, a)),
          "the order of versions is not an order");
}

/* Up to the next NUL. */
static wn_str next_part(wn_str *rest) {
  const char *end = rest->len > 0 ? memchr(rest->ptr, '\0', rest->len) : NULL;
  wn_str part = {rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len};
  size_t used = part.len + (end != NULL ? 1 : 0);
  *rest = (wn_str){rest->ptr + used, rest->len - used};
  return part;
}

static wn_status read_part(wn_debian *debian, wn_str text, bool lists, wn_error *err) {
  wn_input *input;
  wn_status status = wn_input_open_memory(text.ptr, text.len, &input, err);
  if (status != WN_OK) return status;
  wn_reader_use(debian->reader, input, "fuzz_Packages");
  if (lists)
    status = wn_debian_add_packages(debian, "fuzz_Packages", 1600000000000, err);
  else
    status = wn_debian_add_texts(debian, err);
  wn_reader_close(debian->reader);
  wn_input_close(input);
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wn_status status;
  fuzz_count count = {0};
  wn_read_options options = fuzz_options(&count);
  options.skip_bad = size > 0 && (data[0] & 1) != 0;
  wn_sink sink = {&count, fuzz_event, fuzz_item, fuzz_user};
  wn_read_report report;
  wn_reader reader;
  wn_debian debian;
  wn_error err = {0};
  wn_str rest = {(const char *)data, size};
  check_versions(rest);
  wn_reader_init(&reader, &options, &sink, &report);
  WN_TRY(wn_debian_init(&debian, &reader, &err));
  WN_TRY(read_part(&debian, next_part(&rest), true, &err));
  WN_TRY(read_part(&debian, next_part(&rest), true, &err));
  WN_TRY(read_part(&debian, next_part(&rest), false, &err));
  WN_TRY(wn_debian_emit(&debian, &err));
cleanup:
  wn_debian_clear(&debian);
  status = wn_reader_finish(&reader, status, &err);
  fuzz_settle(&count, &report, &options, status, &err);
  return 0;
}
