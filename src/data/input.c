/* Lines of a file or of memory, unpacked on the way. One buffer holds the current line; it
 * starts at 256 KiB and grows with the longest line, to 4 MiB + 64 KiB at most, so that memory
 * does not depend on the size of the file. A longer line is dropped while it streams past:
 * the call after WN_E_TOO_LARGE goes on with the next line. */
#include "data/reader.h"
#include "data/codec.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES_MAX (4u << 20)
#define IN_BYTES       (128u << 10)
#define OUT_BYTES      (256u << 10)
#define OUT_ROOM_MIN   (64u << 10) /* a step's least room */

struct wn_input {
  int fd;     /* -1: memory */
  char *path; /* NULL: memory */
  uint64_t size;
  uint64_t consumed;
  unsigned char *in_buf; /* NULL: memory */
  const unsigned char *in;
  size_t in_len;
  bool in_end;
  wn_codec *codec;
  char *out;
  size_t pos, len, cap; /* unread text is out[pos … len) */
  bool end;             /* nothing comes after it */
};

static wn_status at_path(const wn_input *input, wn_status status, wn_error *err) {
  if (status != WN_OK && input->path != NULL && err != NULL) {
    return wn_error_at(err, input->path, 0, 0);
  }
  return status;
}

/* The next block of the (compressed) file. */
static wn_status read_block(wn_input *input, wn_error *err) {
  if (input->fd < 0) {
    input->in_end = true;
    return WN_OK;
  }
  ssize_t n;
  do n = read(input->fd, input->in_buf, IN_BYTES);
  while (n < 0 && errno == EINTR);
  if (n < 0) return wn_fail_errno(err, "", "cannot be read");
  input->in = input->in_buf;
  input->in_len = (size_t)n;
  input->in_end = n == 0;
  return WN_OK;
}

/* A pipe may hand out its first bytes one by one: collect enough for every magic number. */
static wn_status read_head(wn_input *input, wn_error *err) {
  size_t have = 0;
  while (have < 16) {
    ssize_t n = read(input->fd, input->in_buf + have, IN_BYTES - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return wn_fail_errno(err, "", "cannot be read");
    if (n == 0) break;
    have += (size_t)n;
  }
  input->in = input->in_buf;
  input->in_len = have;
  return WN_OK;
}

static wn_status open_codec(wn_input *input, wn_error *err) {
  wn_codec_kind kind;
  wn_status status = wn_codec_detect(input->in, input->in_len, &kind, err);
  if (status != WN_OK) return status;
  return wn_codec_create(kind, &input->codec, err);
}

static wn_status input_alloc(wn_input **out, wn_error *err) {
  wn_input *input = wn_calloc(1, sizeof *input);
  *out = input;
  if (input == NULL) return wn_fail_memory(err);
  input->fd = -1;
  input->cap = OUT_BYTES;
  input->out = wn_malloc(input->cap);
  return input->out != NULL ? WN_OK : wn_fail_memory(err);
}

static wn_status open_file(wn_input *input, const char *path, wn_error *err) {
  struct stat st;
  input->path = wn_strdup(path);
  input->in_buf = wn_malloc(IN_BYTES);
  if (input->path == NULL || input->in_buf == NULL) return wn_fail_memory(err);
  input->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (input->fd < 0) {
    if (errno == ENOENT) return wn_fail(err, WN_E_NOT_FOUND, "", "no such file");
    return wn_fail_errno(err, "", "cannot be opened");
  }
  if (fstat(input->fd, &st) != 0) return wn_fail_errno(err, "", "cannot be read");
  if (S_ISDIR(st.st_mode)) return wn_fail(err, WN_E_ARGUMENT, "", "is a folder, not a file");
  if (S_ISREG(st.st_mode)) input->size = (uint64_t)st.st_size;
  wn_status status = read_head(input, err);
  return status != WN_OK ? status : open_codec(input, err);
}

wn_status wn_input_open(const char *path, wn_input **out, wn_error *err) {
  wn_status status;
  wn_input *input = NULL;
  WN_TRY(input_alloc(&input, err));
  WN_TRY(open_file(input, path, err));
cleanup:
  *out = input;
  if (status != WN_OK) {
    wn_input_close(input);
    *out = NULL;
    if (err != NULL) wn_error_at(err, path, 0, 0);
  }
  return status;
}

wn_status wn_input_open_memory(const void *bytes, size_t len, wn_input **out, wn_error *err) {
  wn_status status;
  wn_input *input = NULL;
  WN_TRY(input_alloc(&input, err));
  input->in = bytes;
  input->in_len = len;
  input->size = len;
  WN_TRY(open_codec(input, err));
cleanup:
  *out = input;
  if (status != WN_OK) {
    wn_input_close(input);
    *out = NULL;
  }
  return status;
}

void wn_input_close(wn_input *input) {
  if (input == NULL) return;
  if (input->fd >= 0) close(input->fd);
  wn_codec_free(input->codec);
  wn_free(input->in_buf);
  wn_free(input->out);
  wn_free(input->path);
  wn_free(input);
}

uint64_t wn_input_consumed(const wn_input *input) {
  return input->consumed;
}

uint64_t wn_input_size(const wn_input *input) {
  return input->size;
}

/* Adds text behind out[len), or sets `end`. */
static wn_status fill(wn_input *input, wn_error *err) {
  for (;;) {
    if (input->in_len == 0 && !input->in_end) {
      wn_status status = read_block(input, err);
      if (status != WN_OK) return status;
    }
    wn_codec_io io = {.in = input->in,
                      .in_len = input->in_len,
                      .in_end = input->in_end,
                      .out = (unsigned char *)input->out + input->len,
                      .out_len = input->cap - input->len};
    wn_status status = wn_codec_step(input->codec, &io, err);
    if (status != WN_OK) return status;
    size_t used = input->in_len - io.in_len;
    size_t made = input->cap - input->len - io.out_len;
    input->in = io.in;
    input->in_len = io.in_len;
    input->consumed += used;
    input->len += made;
    if (made > 0) return WN_OK;
    if (input->in_len == 0 && input->in_end) {
      input->end = true;
      if (wn_codec_complete(input->codec)) return WN_OK;
      return wn_fail(err, WN_E_FORMAT, "", "the compressed data ends too early (torn file?)");
    }
    if (used == 0 && input->in_len > 0) {
      return wn_fail(err, WN_E_FORMAT, "", "extra bytes after the compressed data");
    }
  }
}

/* Moves the unread text to the front and sees to it that a step has room. */
static wn_status make_room(wn_input *input, wn_error *err) {
  if (input->pos > 0) {
    memmove(input->out, input->out + input->pos, input->len - input->pos);
    input->len -= input->pos;
    input->pos = 0;
  }
  if (input->cap - input->len >= OUT_ROOM_MIN) return WN_OK;
  size_t cap_max = LINE_BYTES_MAX + OUT_ROOM_MIN;
  size_t cap = 2 * input->cap < cap_max ? 2 * input->cap : cap_max;
  char *out = wn_realloc(input->out, cap);
  if (out == NULL) return wn_fail_memory(err);
  input->out = out;
  input->cap = cap;
  return WN_OK;
}

/* Drops the rest of an overlong line. */
static wn_status skip_line(wn_input *input, wn_error *err) {
  for (;;) {
    char *from = input->out + input->pos;
    char *end = memchr(from, '\n', input->len - input->pos);
    if (end != NULL) {
      input->pos = (size_t)(end - input->out) + 1;
      break;
    }
    input->pos = input->len = 0;
    if (input->end) break;
    wn_status status = fill(input, err);
    if (status != WN_OK) return status;
  }
  return wn_fail(err, WN_E_TOO_LARGE, "", "the line is longer than %u MiB", LINE_BYTES_MAX >> 20);
}

static void take_line(wn_input *input, size_t len, size_t with_end, wn_str *line) {
  *line = (wn_str){input->out + input->pos, len};
  if (len > 0 && line->ptr[len - 1] == '\r') line->len--;
  input->pos += with_end;
}

static wn_status next_line(wn_input *input, wn_str *line, wn_error *err) {
  size_t scanned = 0;
  *line = (wn_str){NULL, 0};
  for (;;) {
    size_t have = input->len - input->pos;
    char *from = input->out + input->pos;
    char *end = memchr(from + scanned, '\n', have - scanned);
    size_t len = end != NULL ? (size_t)(end - from) : have;
    if (len > LINE_BYTES_MAX) return skip_line(input, err);
    if (end != NULL) {
      take_line(input, len, len + 1, line);
      return WN_OK;
    }
    if (input->end) {
      if (have > 0) take_line(input, have, have, line);
      return WN_OK;
    }
    scanned = have;
    wn_status status = make_room(input, err);
    if (status == WN_OK) status = fill(input, err);
    if (status != WN_OK) return status;
  }
}

static wn_status peek_line(wn_input *input, wn_str *line, wn_error *err) {
  for (;;) {
    wn_str rest = {input->out + input->pos, input->len - input->pos};
    while (rest.len > 0) {
      char *end = memchr(rest.ptr, '\n', rest.len);
      *line = wn_str_trim((wn_str){rest.ptr, end != NULL ? (size_t)(end - rest.ptr) : rest.len});
      if (end == NULL && !input->end && rest.len <= LINE_BYTES_MAX) break; /* more of it may come */
      if (line->len > 0) return WN_OK;
      size_t used = end != NULL ? (size_t)(end - rest.ptr) + 1 : rest.len;
      rest = (wn_str){rest.ptr + used, rest.len - used};
    }
    *line = (wn_str){NULL, 0};
    if (input->end || input->len - input->pos > LINE_BYTES_MAX) return WN_OK;
    wn_status status = make_room(input, err);
    if (status == WN_OK) status = fill(input, err);
    if (status != WN_OK) return status;
  }
}

wn_status wn_input_peek(wn_input *input, wn_str *line, wn_error *err) {
  return at_path(input, peek_line(input, line, err), err);
}

wn_status wn_input_line(wn_input *input, wn_str *line, wn_error *err) {
  return at_path(input, next_line(input, line, err), err);
}
