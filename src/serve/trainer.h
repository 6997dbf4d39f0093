#ifndef WN_SERVE_TRAINER_H
#define WN_SERVE_TRAINER_H
/* Training beside serving: a thread that decides when, and `winnow train --background` as a child
 * that it starts, watches and, when it takes too long, ends. The child passes its snapshot through
 * the gate and makes it current by itself; the server then follows as after any training. */

#include "serve/engine.h"

typedef struct wn_trainer wn_trainer;

typedef enum wn_training_result {
  WN_TRAINING_NONE,
  WN_TRAINING_PROMOTED,
  WN_TRAINING_KEPT, /* the gate kept the incumbent */
  WN_TRAINING_FAILED,
  WN_TRAINING_CANCELLED,
  WN_TRAINING_RESULTS
} wn_training_result;
const char *wn_training_result_name(wn_training_result result);

typedef struct wn_training_ask {
  bool cold, force;
} wn_training_ask;

typedef struct wn_trainer_status {
  bool running;
  const char *trigger; /* of the running one, or the next: "schedule", "events", "drift", "retry",
                          "request" */
  char stage[64];
  double percent;
  int64_t started_ms; /* of the running one */
  int64_t next_ms;    /* when the next begins at the latest, if there are new events; 0: unknown */
  uint64_t events;    /* since the last attempt, or the snapshot */
  uint32_t failures;  /* in a row */
  bool given_up;      /* no more retries until the next schedule */
  uint64_t runs[WN_TRAINING_RESULTS];
  struct {
    wn_training_result result; /* NONE: nothing since the start of the server */
    const char *trigger;
    int64_t ended_ms;
    double seconds;
    uint64_t snapshot;
    char reason[400];
    char gate[1400];  /* the gate's report as JSON; "": none */
    char verdict[16]; /* of it */
    double difference;
  } last;
} wn_trainer_status;

/* `engine` is borrowed. `program`: the winnow binary; NULL: this process's own. */
WN_MUST_USE wn_status wn_trainer_start(wn_engine *engine, const char *program, wn_trainer **out,
                                       wn_error *err);
void wn_trainer_stop(wn_trainer *trainer); /* ends the child */
/* Any thread. WN_E_CONFLICT: one is running or about to. */
WN_MUST_USE wn_status wn_trainer_ask(wn_trainer *trainer, wn_training_ask ask, wn_error *err);
/* The data are not what the snapshot was trained on any more. */
void wn_trainer_drifted(wn_trainer *trainer);
/* WN_E_CONFLICT: none is running. */
WN_MUST_USE wn_status wn_trainer_cancel(wn_trainer *trainer, wn_error *err);
void wn_trainer_status_get(wn_trainer *trainer, wn_trainer_status *out);
void wn_trainer_status_json(const wn_trainer_status *status, wn_buf *out);

#endif
