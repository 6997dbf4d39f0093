#ifndef WN_BASE_LOG_H
#define WN_BASE_LOG_H
/* Log lines of the library: level, what, and key=value text. Nothing is printed unless a
 * program installs a writer. */

#include "base/status.h"

typedef enum wn_log_level { WN_LOG_DEBUG, WN_LOG_INFO, WN_LOG_WARN, WN_LOG_ERROR } wn_log_level;
typedef void wn_log_writer(void *ctx, wn_log_level level, const char *line);

void wn_log_set(wn_log_writer *writer, void *ctx, wn_log_level least);
void wn_log(wn_log_level level, const char *format, ...) WN_PRINTF(2, 3);
const char *wn_log_level_name(wn_log_level level);
/* A ready writer for programs: "2024-05-01T10:00:00.000Z INFO …" to standard error. */
void wn_log_stderr(void *ctx, wn_log_level level, const char *line);
/* The same as {"time":…,"level":…,"message":…}. */
void wn_log_json(void *ctx, wn_log_level level, const char *line);

#endif
