#ifndef WN_LAB_BATCH_FILES_H
#define WN_LAB_BATCH_FILES_H
/* A file of interactions as the subject of a batch job: models are fitted on it, and one of them is
 * asked for every user of it. Ids are the file's numbers. */

#include "lab/batch.h"
#include "model/train.h"

typedef struct wn_batch_files wn_batch_files;

typedef struct wn_batch_files_ask {
  wn_event_list events;
  const wn_signals *signals;
  const wn_train_options *train; /* what is fitted; `model` among it */
  const char *model;
  bool keep_seen;
  uint32_t n;
} wn_batch_files_ask;

WN_MUST_USE wn_status wn_batch_files_create(const wn_batch_files_ask *ask, int threads,
                                            const wn_progress *progress, wn_batch_files **out,
                                            wn_error *err);
uint32_t wn_batch_files_users(const wn_batch_files *files); /* up to the largest number */
wn_batch_job wn_batch_files_job(wn_batch_files *files);
void wn_batch_files_free(wn_batch_files *files);

#endif
