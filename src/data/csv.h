#ifndef WN_DATA_CSV_H
#define WN_DATA_CSV_H
/* Records of a CSV or TSV file (RFC 4180): quoted cells may hold separators, line ends and
 * doubled quotes. Internal to the data layer. */

#include "data/read.h"

#define WN_CSV_CELLS_MAX 1024

typedef struct wn_csv {
  wn_reader *reader;
  char separator;
  wn_str *cells; /* of the current record; valid until the next call */
  size_t cells_len;
  wn_str raw; /* the record as it stands in the file */
  long line;  /* where it begins */
  /* below: private */
  wn_buf joined;   /* a record of several lines */
  wn_buf unquoted; /* cells with doubled quotes, made single */
  wn_buf again;    /* lines to be read once more after a quote that never closed */
  size_t again_pos;
  size_t again_bytes; /* read again in all */
  long at;            /* number of the last line taken */
} wn_csv;

/* Which of comma, tab and semicolon the header has most often outside quotes; 0: none of them. */
char wn_csv_separator(wn_str header);
/* Reads the reader's current file. `separator` 0: by its header, the comma when it has one column.
 */
WN_MUST_USE wn_status wn_csv_init(wn_csv *csv, wn_reader *reader, char separator, wn_error *err);
void wn_csv_clear(wn_csv *csv);
/* Next well-formed record; blank lines are passed over, malformed ones go to wn_reader_bad().
 * *end true: there is none. */
WN_MUST_USE wn_status wn_csv_next(wn_csv *csv, bool *end, wn_error *err);
/* Reports the current record, which has the wrong shape, as a bad line; when a quote joined it
 * from several lines, all but its first are read again. */
WN_MUST_USE wn_status wn_csv_reject(wn_csv *csv, const wn_error *why, wn_error *err);

#endif
