#ifndef WN_LAB_DATASET_FILES_H
#define WN_LAB_DATASET_FILES_H
/* A data set and its split as plain files, with numbers for ids: train.tsv and test.tsv (`user item
 * weight time`), negatives.txt (`(user,item)` and then items), users.tsv and items.tsv (number,
 * id). What `winnow evaluate --format ratings` and other tools read. */

#include "lab/evaluate.h"

typedef enum wn_negatives {
  WN_NEGATIVES_NONE,
  WN_NEGATIVES_UNIFORM, /* each item alike */
  WN_NEGATIVES_POPULAR, /* as often as train events have them */
  WN_NEGATIVES_SHOWN    /* shown to this user, and neither in train nor relevant */
} wn_negatives;

typedef struct wn_dataset_files {
  const wn_split *split;
  wn_event_list test;           /* its test events, for their times */
  const wn_dataset *dataset;    /* of its train events, options applied */
  const wn_dict *users, *items; /* NULL: numbers are ids, and no files of names are written */
  wn_negatives negatives;
  uint32_t negatives_len;     /* a test pair */
  const wn_user_items *shown; /* SHOWN: by user, ascending */
  uint64_t seed;
} wn_dataset_files;

typedef struct wn_dataset_written {
  uint64_t train_pairs, test_pairs, negative_lines;
  uint64_t users_without_negatives; /* SHOWN: nothing else was shown */
} wn_dataset_written;

/* Makes `folder` where it is missing. */
WN_MUST_USE wn_status wn_dataset_files_write(const char *folder, const wn_dataset_files *files,
                                             wn_dataset_written *out, wn_error *err);

#endif
