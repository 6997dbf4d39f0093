#ifndef WN_SERVE_TRAINER_INTERNAL_H
#define WN_SERVE_TRAINER_INTERNAL_H
/* Shared by serve/trainer*.c. */

#include "serve/trainer.h"
#include <pthread.h>
#include <stdatomic.h>

struct wn_trainer {
  wn_engine *engine;
  const char *program;
  const wn_training_config *config;
  int64_t born_ms;
  pthread_t thread;
  atomic_bool end, cancel; /* cancel: of the running child */
  bool starved; /* a child could not be raised: the next ones begin at nice 19; trainer's thread */
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t wake;
  bool asked, drifted;
  wn_training_ask ask;
  uint64_t attempt_seq; /* where the log ended when the last attempt began */
  int64_t attempt_ms, retry_ms;
  wn_trainer_status status;
};

/* What a child said of itself. */
typedef struct wn_child_report {
  wn_training_result result;
  uint64_t snapshot;
  double difference;
  char reason[400];
  char gate[1400];
  char verdict[16];
} wn_child_report;

/* Runs one child to its end; the lock is not held. Fills in status.stage and percent meanwhile. */
void wn_trainer_child(wn_trainer *trainer, wn_training_ask ask, wn_child_report *report);

#endif
