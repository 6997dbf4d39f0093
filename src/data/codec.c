/* gzip (RFC 1952, zlib), zstd (RFC 8878), xz and lz4 frames behind one step function.
 * Concatenated members and frames read as one text, as the command line tools do it. Memory is
 * bounded by the formats' windows: gzip 32 KiB, lz4 4 MiB, zstd 128 MiB (the library's default
 * limit), xz 256 MiB (our limit; `xz -9` needs 65). */
#include "data/codec.h"
#include "base/mem.h"

#include <lz4frame.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define XZ_MEMORY_MAX (256ULL << 20)

struct wn_codec {
  wn_codec_kind kind;
  bool complete;
  z_stream gzip;
  lzma_stream xz;
  ZSTD_DStream *zstd;
  LZ4F_dctx *lz4;
};

typedef struct magic_row {
  const char *bytes;
  size_t len;
  wn_codec_kind kind;
  const char *refused; /* what it is, when it cannot be read */
} magic_row;

static const magic_row magics[] = {
    {"\x1f\x8b", 2, WN_CODEC_GZIP, NULL},
    {"\x28\xb5\x2f\xfd", 4, WN_CODEC_ZSTD, NULL},
    {"\xfd"
     "7zXZ\0",
     6, WN_CODEC_XZ, NULL},
    {"\x04\x22\x4d\x18", 4, WN_CODEC_LZ4, NULL},
    {"\x02\x21\x4c\x18", 4, WN_CODEC_PLAIN, "a legacy lz4 file"},
    {"PK\x03\x04", 4, WN_CODEC_PLAIN, "a zip archive"},
    {"7z\xbc\xaf", 4, WN_CODEC_PLAIN, "a 7z archive"},
    {"PAR1", 4, WN_CODEC_PLAIN, "a Parquet file"},
    {"SQLite format 3", 15, WN_CODEC_PLAIN, "an SQLite database"},
    {"\xff\xfe", 2, WN_CODEC_PLAIN, "UTF-16 text"},
    {"\xfe\xff", 2, WN_CODEC_PLAIN, "UTF-16 text"},
};

wn_status wn_codec_detect(const unsigned char *bytes, size_t len, wn_codec_kind *kind,
                          wn_error *err) {
  *kind = WN_CODEC_PLAIN;
  if (len >= 10 && memcmp(bytes, "BZh", 3) == 0 && memcmp(bytes + 4, "1AY&SY", 6) == 0) {
    return wn_fail(err, WN_E_UNSUPPORTED, "", "is a bzip2 file; unpack it first");
  }
  for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
    const magic_row *row = &magics[i];
    if (len < row->len || memcmp(bytes, row->bytes, row->len) != 0) continue;
    *kind = row->kind;
    if (row->refused == NULL) return WN_OK;
    return wn_fail(err, WN_E_UNSUPPORTED, "",
                   "is %s; give UTF-8 text, plain or packed with gzip, zstd, xz or lz4",
                   row->refused);
  }
  return WN_OK;
}

static bool codec_init(wn_codec *codec) {
  switch (codec->kind) {
  case WN_CODEC_PLAIN: codec->complete = true; return true;
  case WN_CODEC_GZIP: return inflateInit2(&codec->gzip, 16 + MAX_WBITS) == Z_OK;
  case WN_CODEC_ZSTD: codec->zstd = ZSTD_createDStream(); return codec->zstd != NULL;
  case WN_CODEC_XZ:
    return lzma_stream_decoder(&codec->xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) == LZMA_OK;
  case WN_CODEC_LZ4:
    return !LZ4F_isError(LZ4F_createDecompressionContext(&codec->lz4, LZ4F_VERSION));
  }
  return false;
}

wn_status wn_codec_create(wn_codec_kind kind, wn_codec **out, wn_error *err) {
  wn_codec *codec = wn_calloc(1, sizeof *codec);
  *out = codec;
  if (codec == NULL) return wn_fail_memory(err);
  codec->kind = kind;
  if (codec_init(codec)) return WN_OK;
  *out = NULL;
  wn_codec_free(codec);
  return wn_fail_memory(err);
}

void wn_codec_free(wn_codec *codec) {
  if (codec == NULL) return;
  if (codec->kind == WN_CODEC_GZIP) inflateEnd(&codec->gzip);
  if (codec->kind == WN_CODEC_XZ) lzma_end(&codec->xz);
  ZSTD_freeDStream(codec->zstd);
  LZ4F_freeDecompressionContext(codec->lz4);
  wn_free(codec);
}

bool wn_codec_complete(const wn_codec *codec) {
  return codec->complete;
}

static wn_status plain_step(wn_codec_io *io) {
  size_t n = io->in_len < io->out_len ? io->in_len : io->out_len;
  memcpy(io->out, io->in, n);
  io->in += n;
  io->in_len -= n;
  io->out += n;
  io->out_len -= n;
  return WN_OK;
}

/* zlib's structures want a mutable pointer, but never write through it. */
static unsigned char *unconst(const unsigned char *p) {
  union {
    const unsigned char *from;
    unsigned char *to;
  } u = {.from = p};
  return u.to;
}

static wn_status gzip_step(wn_codec *codec, wn_codec_io *io, wn_error *err) {
  z_stream *z = &codec->gzip;
  if (codec->complete) {
    /* Tapes and some writers pad with zeros; gzip(1) skips them too. */
    while (io->in_len > 0 && *io->in == 0) io->in++, io->in_len--;
    if (io->in_len == 0) return WN_OK;
    if (inflateReset(z) != Z_OK) return wn_fail(err, WN_E_INTERNAL, "", "zlib refused a reset");
    codec->complete = false;
  }
  z->next_in = unconst(io->in);
  z->avail_in = (uInt)io->in_len;
  z->next_out = io->out;
  z->avail_out = (uInt)io->out_len;
  int rc = inflate(z, Z_NO_FLUSH);
  io->in = z->next_in;
  io->in_len = z->avail_in;
  io->out = z->next_out;
  io->out_len = z->avail_out;
  if (rc == Z_STREAM_END) codec->complete = true;
  if (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR) return WN_OK;
  if (rc == Z_MEM_ERROR) return wn_fail_memory(err);
  return wn_fail(err, WN_E_FORMAT, "", "broken gzip data: %s",
                 z->msg != NULL ? z->msg : "preset dictionary");
}

static wn_status zstd_step(wn_codec *codec, wn_codec_io *io, wn_error *err) {
  if (codec->complete && io->in_len == 0) return WN_OK;
  ZSTD_inBuffer in = {io->in, io->in_len, 0};
  ZSTD_outBuffer out = {io->out, io->out_len, 0};
  size_t rc = ZSTD_decompressStream(codec->zstd, &out, &in);
  if (ZSTD_isError(rc)) {
    return wn_fail(err, WN_E_FORMAT, "", "broken zstd data: %s", ZSTD_getErrorName(rc));
  }
  codec->complete = rc == 0;
  io->in += in.pos;
  io->in_len -= in.pos;
  io->out += out.pos;
  io->out_len -= out.pos;
  return WN_OK;
}

static const char *xz_reason(lzma_ret rc) {
  switch (rc) {
  case LZMA_FORMAT_ERROR: return "what follows is not xz";
  case LZMA_OPTIONS_ERROR: return "unsupported options";
  case LZMA_DATA_ERROR: return "damaged data";
  default: return "unexpected end";
  }
}

static wn_status xz_step(wn_codec *codec, wn_codec_io *io, wn_error *err) {
  if (codec->complete) return WN_OK;
  lzma_stream *xz = &codec->xz;
  xz->next_in = io->in;
  xz->avail_in = io->in_len;
  xz->next_out = io->out;
  xz->avail_out = io->out_len;
  lzma_ret rc = lzma_code(xz, io->in_end ? LZMA_FINISH : LZMA_RUN);
  io->in = xz->next_in;
  io->in_len = xz->avail_in;
  io->out = xz->next_out;
  io->out_len = xz->avail_out;
  if (rc == LZMA_STREAM_END) codec->complete = true;
  if (rc == LZMA_OK || rc == LZMA_STREAM_END || rc == LZMA_BUF_ERROR) return WN_OK;
  if (rc == LZMA_MEM_ERROR) return wn_fail_memory(err);
  if (rc == LZMA_MEMLIMIT_ERROR) {
    return wn_fail(err, WN_E_UNSUPPORTED, "", "the xz file needs more than %llu MiB to unpack",
                   XZ_MEMORY_MAX >> 20);
  }
  return wn_fail(err, WN_E_FORMAT, "", "broken xz data: %s", xz_reason(rc));
}

static wn_status lz4_step(wn_codec *codec, wn_codec_io *io, wn_error *err) {
  if (codec->complete && io->in_len == 0) return WN_OK;
  size_t in = io->in_len, out = io->out_len;
  size_t rc = LZ4F_decompress(codec->lz4, io->out, &out, io->in, &in, NULL);
  if (LZ4F_isError(rc)) {
    return wn_fail(err, WN_E_FORMAT, "", "broken lz4 data: %s", LZ4F_getErrorName(rc));
  }
  codec->complete = rc == 0;
  io->in += in;
  io->in_len -= in;
  io->out += out;
  io->out_len -= out;
  return WN_OK;
}

wn_status wn_codec_step(wn_codec *codec, wn_codec_io *io, wn_error *err) {
  switch (codec->kind) {
  case WN_CODEC_PLAIN: return plain_step(io);
  case WN_CODEC_GZIP: return gzip_step(codec, io, err);
  case WN_CODEC_ZSTD: return zstd_step(codec, io, err);
  case WN_CODEC_XZ: return xz_step(codec, io, err);
  case WN_CODEC_LZ4: return lz4_step(codec, io, err);
  }
  return wn_fail(err, WN_E_INTERNAL, "", "unknown codec");
}
