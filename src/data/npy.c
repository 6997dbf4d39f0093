/* Sources: the NumPy enhancement proposal 1 ("A simple file format for NumPy arrays") with the
 * versions 2 and 3 of numpy/lib/format.py; the safetensors format's README. The header of an .npy
 * file is a Python dict literal; of that language this reads what NumPy writes: three keys in any
 * order, single or double quotes, a tuple of whole numbers. */
#include "data/npy.h"
#include "base/half.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define NPY_HEADER_MAX         ((size_t)65536)
#define SAFETENSORS_HEADER_MAX ((uint64_t)100 << 20) /* as the format says */

size_t wn_number_bytes(wn_number_type type) {
  static const size_t bytes[] = {4, 2, 1, 8, 4, 8};
  return bytes[type];
}

bool wn_matrix_row(const wn_matrix *matrix, uint64_t row, float *out) {
  uint64_t d = matrix->cols;
  const unsigned char *at = matrix->data + row * d * wn_number_bytes(matrix->type);
  bool finite = true;
  for (uint64_t i = 0; i < d; i++) {
    uint16_t half;
    double wide;
    int32_t whole;
    int64_t large;
    switch (matrix->type) {
    case WN_NUMBER_F32: memcpy(&out[i], at + 4 * i, 4); break;
    case WN_NUMBER_F16:
      memcpy(&half, at + 2 * i, 2);
      out[i] = wn_half_to_float(half);
      break;
    case WN_NUMBER_I8: out[i] = (float)(int8_t)at[i]; break;
    case WN_NUMBER_F64:
      memcpy(&wide, at + 8 * i, 8);
      out[i] = (float)wide;
      break;
    case WN_NUMBER_I32:
      memcpy(&whole, at + 4 * i, 4);
      out[i] = (float)whole;
      break;
    case WN_NUMBER_I64:
      memcpy(&large, at + 8 * i, 8);
      out[i] = (float)large;
      break;
    }
    finite = finite && isfinite(out[i]);
  }
  return finite;
}

/* rows · cols numbers fill exactly `bytes`. */
static bool fills(const wn_matrix *m, uint64_t bytes) {
  uint64_t numbers, all;
  return !__builtin_mul_overflow(m->rows, m->cols, &numbers) &&
         !__builtin_mul_overflow(numbers, (uint64_t)wn_number_bytes(m->type), &all) && all == bytes;
}

/* ---- .npy ---- */

typedef struct npy_header {
  wn_str rest;
  wn_str descr;
  bool fortran, has_fortran;
  uint64_t shape[2];
  size_t dimensions;
  bool has_shape;
} npy_header;

static void skip_blanks(wn_str *s) {
  while (s->len > 0 && (*s->ptr == ' ' || *s->ptr == '\n' || *s->ptr == '\t' || *s->ptr == '\r'))
    s->ptr++, s->len--;
}

static bool take(wn_str *s, const char *token) {
  size_t len = strlen(token);
  skip_blanks(s);
  if (s->len < len || memcmp(s->ptr, token, len) != 0) return false;
  s->ptr += len;
  s->len -= len;
  return true;
}

static bool take_quoted(wn_str *s, wn_str *out) {
  skip_blanks(s);
  if (s->len == 0 || (*s->ptr != '\'' && *s->ptr != '"')) return false;
  const char *end = memchr(s->ptr + 1, *s->ptr, s->len - 1);
  if (end == NULL) return false;
  *out = (wn_str){s->ptr + 1, (size_t)(end - s->ptr) - 1};
  s->len -= out->len + 2;
  s->ptr = end + 1;
  return true;
}

static bool take_whole(wn_str *s, uint64_t *out) {
  size_t digits = 0;
  *out = 0;
  skip_blanks(s);
  while (digits < s->len && s->ptr[digits] >= '0' && s->ptr[digits] <= '9') {
    if (__builtin_mul_overflow(*out, (uint64_t)10, out) ||
        __builtin_add_overflow(*out, (uint64_t)(s->ptr[digits] - '0'), out))
      return false;
    digits++;
  }
  s->ptr += digits;
  s->len -= digits;
  return digits > 0;
}

/* "(2, 3)", "(2,)", "()" */
static bool take_shape(npy_header *h) {
  if (!take(&h->rest, "(")) return false;
  h->has_shape = true;
  while (!take(&h->rest, ")")) {
    uint64_t size;
    if (!take_whole(&h->rest, &size)) return false;
    if (h->dimensions < 2) h->shape[h->dimensions] = size;
    h->dimensions++;
    if (!take(&h->rest, ",")) return take(&h->rest, ")");
  }
  return true;
}

static bool take_entry(npy_header *h) {
  wn_str key;
  if (!take_quoted(&h->rest, &key) || !take(&h->rest, ":")) return false;
  if (wn_str_is(key, "descr")) return take_quoted(&h->rest, &h->descr);
  if (wn_str_is(key, "shape")) return !h->has_shape && take_shape(h);
  if (!wn_str_is(key, "fortran_order")) return false;
  h->has_fortran = true;
  h->fortran = take(&h->rest, "True");
  return h->fortran || take(&h->rest, "False");
}

static bool read_header(npy_header *h) {
  if (!take(&h->rest, "{")) return false;
  while (!take(&h->rest, "}")) {
    if (!take_entry(h)) return false;
    if (take(&h->rest, ",")) continue;
    if (!take(&h->rest, "}")) return false;
    break;
  }
  skip_blanks(&h->rest);
  return h->rest.len == 0 && h->descr.ptr != NULL && h->has_fortran && h->has_shape;
}

/* Magic, version, length; the header's text and where the numbers begin. */
static wn_status find_header(wn_str bytes, wn_str *header, size_t *begin, wn_error *err) {
  const unsigned char *b = (const unsigned char *)bytes.ptr;
  if (bytes.len < 10 || memcmp(b, "\x93NUMPY", 6) != 0)
    return wn_fail(err, WN_E_FORMAT, "", "is no .npy file: it does not begin with \\x93NUMPY");
  if (b[6] < 1 || b[6] > 3)
    return wn_fail(err, WN_E_UNSUPPORTED, "", "version %d.%d of .npy is not known", b[6], b[7]);
  size_t at = b[6] == 1 ? 10 : 12, len = (size_t)b[8] | (size_t)b[9] << 8;
  if (b[6] > 1 && bytes.len >= 12) len |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
  if (len > NPY_HEADER_MAX || bytes.len < at || len > bytes.len - at)
    return wn_fail(err, WN_E_FORMAT, "", "the .npy header ends behind the end of the file");
  *header = (wn_str){bytes.ptr + at, len};
  *begin = at + len;
  return WN_OK;
}

wn_status wn_npy_parse(wn_str bytes, wn_matrix *out, wn_error *err) {
  npy_header h = {0};
  char name[16] = "";
  size_t begin = 0;
  *out = (wn_matrix){0};
  wn_status status = find_header(bytes, &h.rest, &begin, err);
  if (status != WN_OK) return status;
  if (!read_header(&h))
    return wn_fail(err, WN_E_FORMAT, "", "the .npy header must hold descr, fortran_order, shape");
  if (wn_str_is(h.descr, "<f4"))
    out->type = WN_NUMBER_F32;
  else if (wn_str_is(h.descr, "<f2"))
    out->type = WN_NUMBER_F16;
  else
    return wn_fail(err, WN_E_UNSUPPORTED, "descr",
                   "must be <f4 (float32) or <f2 (float16), is %.20s: convert by astype('float32')",
                   wn_utf8_valid(h.descr) && h.descr.len < sizeof name
                       ? (const char *)memcpy(name, h.descr.ptr, h.descr.len)
                       : "something else");
  if (h.dimensions != 2)
    return wn_fail(err, WN_E_UNSUPPORTED, "shape", "must have two dimensions, has %zu",
                   h.dimensions);
  if (h.fortran && h.shape[0] > 1 && h.shape[1] > 1)
    return wn_fail(err, WN_E_UNSUPPORTED, "fortran_order",
                   "must be False: save numpy.ascontiguousarray(…)");
  out->rows = h.shape[0];
  out->cols = h.shape[1];
  out->data = (const unsigned char *)bytes.ptr + begin;
  if (fills(out, bytes.len - begin)) return WN_OK;
  return wn_fail(err, WN_E_FORMAT, "shape",
                 "%llu × %llu numbers of %zu bytes are not the %zu bytes that follow the header",
                 (unsigned long long)out->rows, (unsigned long long)out->cols,
                 wn_number_bytes(out->type), bytes.len - begin);
}

/* ---- .safetensors ---- */

static bool type_of(const char *name, wn_number_type *type) {
  static const char *const names[] = {"F32", "F16", "I8", "F64", "I32", "I64"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    *type = (wn_number_type)i;
    if (strcmp(name, names[i]) == 0) return true;
  }
  return false;
}

/* A size or offset. */
static bool whole_at(const json_t *array, size_t i, uint64_t *out) {
  const json_t *value = json_array_get(array, i);
  if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
  *out = (uint64_t)json_integer_value(value);
  return true;
}

static wn_status read_tensor(const json_t *tensor, const char *name, wn_str numbers, wn_matrix *out,
                             wn_error *err) {
  const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
  const json_t *shape = json_object_get(tensor, "shape");
  const json_t *offsets = json_object_get(tensor, "data_offsets");
  uint64_t begin, end;
  size_t dimensions = json_array_size(shape);
  if (dtype == NULL || !whole_at(offsets, 0, &begin) || !whole_at(offsets, 1, &end) ||
      json_array_size(offsets) != 2 || begin > end || end > numbers.len)
    return wn_fail(err, WN_E_FORMAT, name, "its entry in the header is wrong");
  if (!type_of(dtype, &out->type))
    return wn_fail(err, WN_E_UNSUPPORTED, name, "numbers of type %.16s are not known: F32, F16, I8",
                   dtype);
  out->cols = 1;
  if (dimensions < 1 || dimensions > 2 || !whole_at(shape, 0, &out->rows) ||
      (dimensions == 2 && !whole_at(shape, 1, &out->cols)))
    return wn_fail(err, WN_E_UNSUPPORTED, name, "must have one or two dimensions");
  out->data = (const unsigned char *)numbers.ptr + begin;
  if (!fills(out, end - begin))
    return wn_fail(err, WN_E_FORMAT, name, "its shape does not fit its %llu bytes",
                   (unsigned long long)(end - begin));
  return WN_OK;
}

wn_status wn_safetensors_find(wn_str bytes, const char *name, wn_matrix *out, wn_error *err) {
  uint64_t len = 0;
  *out = (wn_matrix){0};
  if (bytes.len >= 8) memcpy(&len, bytes.ptr, 8);
  if (bytes.len < 8 || len > bytes.len - 8 || len > SAFETENSORS_HEADER_MAX)
    return wn_fail(err, WN_E_FORMAT, "", "is no .safetensors file: its header is longer than it");
  json_error_t why;
  json_t *header = json_loadb(bytes.ptr + 8, (size_t)len, JSON_REJECT_DUPLICATES, &why);
  const json_t *tensor = json_object_get(header, name);
  wn_str numbers = {bytes.ptr + 8 + len, bytes.len - 8 - (size_t)len};
  wn_status status;
  if (!json_is_object(header))
    status = wn_fail(err, WN_E_FORMAT, "", "is no .safetensors file: its header is no JSON object");
  else if (!json_is_object(tensor))
    status = wn_fail(err, WN_E_NOT_FOUND, name, "the file holds no such tensor");
  else
    status = read_tensor(tensor, name, numbers, out, err);
  json_decref(header);
  return status;
}
