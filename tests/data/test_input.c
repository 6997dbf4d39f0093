#include "read_harness.h"

#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

typedef struct packed {
  unsigned char *data;
  size_t len;
} packed;

static packed pack_plain(const void *text, size_t len) {
  packed p = {malloc(len + 1), len};
  memcpy(p.data, text, len);
  return p;
}

static packed pack_gzip(const void *text, size_t len) {
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  packed p = {malloc(len + 1024), 0};
  unsigned char *copy = malloc(len + 1);
  memcpy(copy, text, len);
  z.next_in = copy;
  z.avail_in = (uInt)len;
  z.next_out = p.data;
  z.avail_out = (uInt)(len + 1024);
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  p.len = len + 1024 - z.avail_out;
  deflateEnd(&z);
  free(copy);
  return p;
}

static packed pack_zstd(const void *text, size_t len) {
  packed p = {malloc(ZSTD_compressBound(len)), 0};
  ZSTD_CCtx *ctx = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
  p.len = ZSTD_compress2(ctx, p.data, ZSTD_compressBound(len), text, len);
  ZSTD_freeCCtx(ctx);
  assert_false(ZSTD_isError(p.len));
  return p;
}

static packed pack_xz(const void *text, size_t len) {
  size_t bound = lzma_stream_buffer_bound(len);
  packed p = {malloc(bound), 0};
  assert_int_equal(
      lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, text, len, p.data, &p.len, bound),
      LZMA_OK);
  return p;
}

static packed pack_lz4(const void *text, size_t len) {
  LZ4F_preferences_t prefs = {.frameInfo = {.contentChecksumFlag = LZ4F_contentChecksumEnabled}};
  size_t bound = LZ4F_compressFrameBound(len, &prefs);
  packed p = {malloc(bound), 0};
  p.len = LZ4F_compressFrame(p.data, bound, text, len, &prefs);
  assert_false(LZ4F_isError(p.len));
  return p;
}

typedef packed pack_fn(const void *text, size_t len);
static pack_fn *const packers[] = {pack_plain, pack_gzip, pack_zstd, pack_xz, pack_lz4};
#define PACKERS (sizeof packers / sizeof *packers)

/* All lines, each behind its length; ends with the status. */
static wn_status all_lines(wn_input *input, wn_buf *out, wn_error *err) {
  for (;;) {
    wn_str line;
    wn_status status = wn_input_line(input, &line, err);
    if (status != WN_OK || line.ptr == NULL) return status;
    wn_buf_printf(out, "%zu:", line.len);
    wn_buf_append(out, line.ptr, line.len);
    wn_buf_char(out, '\n');
  }
}

static wn_status lines_of(const void *bytes, size_t len, wn_buf *out, wn_error *err) {
  wn_input *input;
  wn_status status = wn_input_open_memory(bytes, len, &input, err);
  if (status != WN_OK) return status;
  status = all_lines(input, out, err);
  if (status == WN_OK) assert_int_equal(wn_input_consumed(input), len);
  assert_int_equal(wn_input_size(input), len);
  wn_input_close(input);
  return status;
}

static void expect_lines(const char *text, const char *expected) {
  for (size_t i = 0; i < PACKERS; i++) {
    packed p = packers[i](text, strlen(text));
    wn_buf out = {0};
    wn_error err;
    assert_int_equal(lines_of(p.data, p.len, &out, &err), WN_OK);
    assert_string_equal(out.len > 0 ? wn_buf_c(&out) : "", expected);
    wn_buf_clear(&out);
    free(p.data);
  }
}

static void test_line_ends(WN_UNUSED void **state) {
  expect_lines("", "");
  expect_lines("a", "1:a\n");
  expect_lines("a\n", "1:a\n");
  expect_lines("a\r\nb\n\nc\r\n", "1:a\n1:b\n0:\n1:c\n");
  expect_lines("\r\n", "0:\n");
  expect_lines("a\rb\n\r\r\n", "3:a\rb\n1:\r\n");
}

/* Text of many blocks, so that lines cross every buffer's end. */
static char *long_text(size_t *len, wn_buf *expected) {
  wn_buf text = {0};
  uint64_t x = 12345;
  for (int i = 0; i < 60000; i++) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    size_t n = (x >> 40) % 50 + (i % 20000 == 7 ? 700000 : 0);
    wn_buf line = {0};
    for (size_t j = 0; j < n; j++) wn_buf_char(&line, (char)('a' + (j * 7 + (x >> 33)) % 26));
    wn_buf_append(&text, line.data, line.len);
    wn_buf_char(&text, '\n');
    wn_buf_printf(expected, "%zu:", n);
    wn_buf_append(expected, line.data, line.len);
    wn_buf_char(expected, '\n');
    wn_buf_clear(&line);
  }
  *len = text.len;
  return text.data;
}

static void test_long_text(WN_UNUSED void **state) {
  size_t len;
  wn_buf expected = {0};
  char *text = long_text(&len, &expected);
  for (size_t i = 0; i < PACKERS; i++) {
    wn_buf out = {0};
    wn_error err;
    packed p = packers[i](text, len);
    const char *path = write_bytes("long.bin", p.data, p.len);
    wn_input *input;
    assert_int_equal(wn_input_open(path, &input, &err), WN_OK);
    assert_int_equal(all_lines(input, &out, &err), WN_OK);
    assert_int_equal(wn_input_consumed(input), p.len);
    assert_int_equal(wn_input_size(input), p.len);
    assert_int_equal(out.len, expected.len);
    assert_memory_equal(out.data, expected.data, out.len);
    wn_input_close(input);
    wn_buf_clear(&out);
    free(p.data);
  }
  wn_buf_clear(&expected);
  wn_free(text);
}

/* Two streams behind each other are one text, also where they meet inside a line. */
static void test_concatenated(WN_UNUSED void **state) {
  for (size_t i = 1; i < PACKERS; i++) {
    packed a = packers[i]("one\ntw", 6), b = packers[i]("o\nthree", 7);
    wn_buf both = {0}, out = {0};
    wn_error err;
    wn_buf_append(&both, a.data, a.len);
    wn_buf_append(&both, b.data, b.len);
    assert_int_equal(lines_of(both.data, both.len, &out, &err), WN_OK);
    assert_string_equal(wn_buf_c(&out), "3:one\n3:two\n5:three\n");
    wn_buf_clear(&both);
    wn_buf_clear(&out);
    free(a.data);
    free(b.data);
  }
}

/* Cut anywhere: what stands before is read, then the tear is reported; never a crash. */
static void test_torn(WN_UNUSED void **state) {
  char text[4000];
  for (size_t i = 0; i < sizeof text; i++) {
    text[i] = i % 40 == 39 ? '\n' : (char)('a' + (i * i) % 26);
  }
  for (size_t k = 1; k < PACKERS; k++) {
    packed p = packers[k](text, sizeof text);
    for (size_t cut = 6; cut < p.len; cut++) {
      wn_buf out = {0};
      wn_error err;
      assert_int_equal(lines_of(p.data, cut, &out, &err), WN_E_FORMAT);
      wn_buf_clear(&out);
    }
    free(p.data);
  }
}

/* Every flipped bit of a checksummed stream is found, or changes nothing (padding, names). */
static void test_flipped(WN_UNUSED void **state) {
  const char *text = "the quick brown fox\njumps over\nthe lazy dog\n";
  const char *lines = "19:the quick brown fox\n10:jumps over\n12:the lazy dog\n";
  for (size_t k = 1; k < PACKERS; k++) {
    packed p = packers[k](text, strlen(text));
    for (size_t bit = 8 * 6; bit < 8 * p.len; bit++) {
      wn_buf out = {0};
      wn_error err;
      p.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
      if (lines_of(p.data, p.len, &out, &err) == WN_OK) assert_string_equal(wn_buf_c(&out), lines);
      p.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
      wn_buf_clear(&out);
    }
    free(p.data);
  }
}

static void test_trailing_bytes(WN_UNUSED void **state) {
  for (size_t k = 1; k < PACKERS; k++) {
    packed p = packers[k]("a\n", 2);
    wn_buf both = {0}, out = {0};
    wn_error err;
    wn_buf_append(&both, p.data, p.len);
    wn_buf_str(&both, "rubbish rubbish rubbish");
    assert_int_equal(lines_of(both.data, both.len, &out, &err), WN_E_FORMAT);
    wn_buf_clear(&both);
    wn_buf_clear(&out);
    free(p.data);
  }
  /* gzip may be padded with zeros */
  packed p = pack_gzip("a\n", 2);
  wn_buf padded = {0}, out = {0};
  wn_error err;
  wn_buf_append(&padded, p.data, p.len);
  for (int i = 0; i < 600; i++) wn_buf_char(&padded, '\0');
  assert_int_equal(lines_of(padded.data, padded.len, &out, &err), WN_OK);
  assert_string_equal(wn_buf_c(&out), "1:a\n");
  wn_buf_clear(&padded);
  wn_buf_clear(&out);
  free(p.data);
}

static void test_too_long(WN_UNUSED void **state) {
  size_t limit = 4u << 20;
  for (size_t over = 0; over < 2; over++) {
    size_t len = limit + over;
    char *text = malloc(len + 16);
    memset(text, 'x', len);
    memcpy(text + len, "\nnext\n", 6);
    wn_input *input;
    wn_error err;
    wn_str line;
    packed p = pack_zstd(text, len + 6);
    assert_int_equal(wn_input_open_memory(p.data, p.len, &input, &err), WN_OK);
    assert_int_equal(wn_input_line(input, &line, &err), over ? WN_E_TOO_LARGE : WN_OK);
    if (!over) assert_int_equal(line.len, limit);
    assert_int_equal(wn_input_line(input, &line, &err), WN_OK);
    assert_true(wn_str_is(line, "next"));
    assert_int_equal(wn_input_line(input, &line, &err), WN_OK);
    assert_null(line.ptr);
    wn_input_close(input);
    free(p.data);
    free(text);
  }
}

static void test_refused(WN_UNUSED void **state) {
  static const struct {
    const char *bytes;
    const char *says;
  } rows[] = {{"PK\x03\x04 something", "zip"},     {"BZh91AY&SY......", "bzip2"},
              {"PAR1............", "Parquet"},     {"SQLite format 3.", "SQLite"},
              {"\xff\xfeu.s.e.r.", "UTF-16"},      {"\xfe\xff.u.s.e.r", "UTF-16"},
              {"\x02\x21\x4c\x18........", "lz4"}, {"7z\xbc\xaf............", "7z"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    wn_buf out = {0};
    wn_error err;
    assert_int_equal(lines_of(rows[i].bytes, strlen(rows[i].bytes), &out, &err), WN_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, rows[i].says));
    const char *path = write_text("refused.csv", rows[i].bytes);
    wn_input *input;
    assert_int_equal(wn_input_open(path, &input, &err), WN_E_UNSUPPORTED);
    assert_null(input);
    assert_string_equal(err.file, path);
  }
}

static void test_files(WN_UNUSED void **state) {
  wn_input *input;
  wn_error err;
  assert_int_equal(wn_input_open(scratch_path("absent"), &input, &err), WN_E_NOT_FOUND);
  assert_string_equal(err.file, scratch_path("absent"));
  assert_int_equal(wn_input_open(scratch_dir, &input, &err), WN_E_ARGUMENT);
}

static void test_memory_failures(WN_UNUSED void **state) {
  packed p = pack_gzip("a\nb\n", 4);
  const char *path = write_bytes("small.gz", p.data, p.len);
  bool done = false;
  for (long n = 0; !done && n < 50; n++) {
    wn_input *input = NULL;
    wn_error err;
    wn_buf out = {0};
    wn_mem_fail_after(n);
    wn_status status = wn_input_open(path, &input, &err);
    if (status == WN_OK) status = all_lines(input, &out, &err);
    wn_mem_fail_after(-1);
    assert_true(status == WN_OK || status == WN_E_MEMORY);
    done = status == WN_OK && !out.failed;
    wn_input_close(input);
    wn_buf_clear(&out);
  }
  assert_true(done);
  free(p.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_line_ends),    cmocka_unit_test(test_long_text),
      cmocka_unit_test(test_concatenated), cmocka_unit_test(test_torn),
      cmocka_unit_test(test_flipped),      cmocka_unit_test(test_trailing_bytes),
      cmocka_unit_test(test_too_long),     cmocka_unit_test(test_refused),
      cmocka_unit_test(test_files),        cmocka_unit_test(test_memory_failures),
  };
  return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
