#ifndef WN_LAB_PER_USER_H
#define WN_LAB_PER_USER_H
/* A file of each user's value (`winnow evaluate --per-user`): a line that names metric and
 * population, a head, then `model user value` with tabs. What two evaluations are compared by. */

#include "lab/evaluate.h"

typedef struct wn_per_user {
  char metric[80];     /* "ndcg@10" */
  char population[32]; /* hash of the users and their relevant items */
  uint64_t users_hash; /* of the user ids in their order */
  double *value;
  size_t len;
} wn_per_user;

/* `ids` NULL: users by number. */
WN_MUST_USE wn_status wn_per_user_write(const char *path, const wn_evaluation *evaluation,
                                        const wn_dict *ids, wn_error *err);
/* One model's values. WN_E_NOT_FOUND: no row of that name. */
WN_MUST_USE wn_status wn_per_user_read(const char *path, const char *model, wn_per_user *out,
                                       wn_error *err);
/* a − b. Refused (WN_E_ARGUMENT) unless both are of the same users, relevant items and metric. */
WN_MUST_USE wn_status wn_per_user_compare(const wn_per_user *a, const wn_per_user *b,
                                          wn_comparison *out, wn_error *err);
void wn_per_user_clear(wn_per_user *values);

#endif
