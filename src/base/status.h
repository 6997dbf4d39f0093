#ifndef WN_BASE_STATUS_H
#define WN_BASE_STATUS_H
/* One table of everything that can go wrong: code, message, HTTP status, exit code. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, text, http, exit) */
#define WN_STATUS_TABLE(X)                                                                         \
  X(OK, "ok", 200, 0)                                                                              \
  X(E_ARGUMENT, "invalid argument", 400, 2)                                                        \
  X(E_FORMAT, "malformed input", 400, 3)                                                           \
  X(E_NOT_FOUND, "not found", 404, 4)                                                              \
  X(E_CONFIG, "invalid configuration", 500, 5)                                                     \
  X(E_IO, "input/output error", 500, 6)                                                            \
  X(E_FULL, "no space left", 507, 7)                                                               \
  X(E_BUSY, "busy", 429, 8)                                                                        \
  X(E_CORRUPT, "corrupt data", 500, 9)                                                             \
  X(E_MEMORY, "out of memory", 503, 10)                                                            \
  X(E_CONFLICT, "conflict", 409, 11)                                                               \
  X(E_TOO_LARGE, "too large", 413, 12)                                                             \
  X(E_UNSUPPORTED, "not supported", 501, 13)                                                       \
  X(E_CANCELLED, "cancelled", 503, 14)                                                             \
  X(E_NOT_READY, "not ready", 503, 15)                                                             \
  X(E_INTERNAL, "internal error", 500, 70)

typedef enum wn_status {
#define X(name, text, http, exit) WN_##name,
  WN_STATUS_TABLE(X)
#undef X
      WN_STATUS_COUNT
} wn_status;

/* What went wrong and where. `field` names the parameter, config key, column or
 * flag (empty when none); `message` is one sentence that says what was expected.
 * `line` and `column` are 1-based, 0 when they mean nothing. */
typedef struct wn_error {
  wn_status status;
  long line;
  long column;
  char field[96];
  char file[256];
  char message[512];
} wn_error;

#define WN_MUST_USE     __attribute__((warn_unused_result))
#define WN_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define WN_UNUSED       __attribute__((unused))

const char *wn_status_text(wn_status status);
const char *wn_status_name(wn_status status); /* "E_FORMAT" */
int wn_status_http(wn_status status);
int wn_status_exit(wn_status status);

/* Fills `err` (may be NULL) and returns `status`, so that a failure is one line:
 *   return wn_fail(err, WN_E_ARGUMENT, "n", "must be 1 to 1000, got %ld", n);   */
wn_status wn_fail(wn_error *err, wn_status status, const char *field, const char *format, ...)
    WN_PRINTF(4, 5);
/* The same for a system call: appends strerror(errno); ENOSPC and EDQUOT become WN_E_FULL. */
wn_status wn_fail_errno(wn_error *err, const char *field, const char *format, ...) WN_PRINTF(3, 4);
/* Out of memory, in one form everywhere. */
wn_status wn_fail_memory(wn_error *err);
/* Adds the place to an error made lower down; returns its status. */
wn_status wn_error_at(wn_error *err, const char *file, long line, long column);
/* "file:line:column: field: message" with the absent parts left out; returns buf. */
const char *wn_error_format(const wn_error *err, char *buf, size_t size);

/* Leaves the function by its one `cleanup:` label when `call` fails; needs a
 * local `wn_status status`. */
#define WN_TRY(call)                                                                               \
  do {                                                                                             \
    status = (call);                                                                               \
    if (status != WN_OK) goto cleanup;                                                             \
  } while (0)

#endif
