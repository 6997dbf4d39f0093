#ifndef WN_LAB_RUN_FILE_H
#define WN_LAB_RUN_FILE_H
/* Recommendations made elsewhere: `user item` (best first), `user item score`, or TREC's
 * `user Q0 item rank score tag`; tabs or blanks between (tabs alone when a line has one, for ids
 * with blanks). Compressed or not. */

#include "lab/evaluate.h"

typedef struct wn_run_file {
  wn_given_lists given; /* name: TREC's tag, else the file's name */
  char name[64];
  uint64_t lines;
  uint64_t users_unknown; /* distinct users that the data lack: their lines are passed over */
  uint64_t
      items_unknown; /* lines whose item the data lack: never relevant, but they take a place */
  uint64_t repeated; /* lines that name an item of their user again: dropped */
} wn_run_file;

/* Ids are looked up in `users` and `items`, or are numbers where these are NULL. With scores a list
 * is sorted by them, equal ones by descending id as trec_eval does; the lists' weights are then
 * levels, equal for equal scores, so that no score is too fine for a float. WN_E_FORMAT names the
 * line. */
WN_MUST_USE wn_status wn_run_file_read(const char *path, const wn_dict *users, const wn_dict *items,
                                       const wn_split *split, wn_run_file *out, wn_error *err);
void wn_run_file_clear(wn_run_file *run);

#endif
