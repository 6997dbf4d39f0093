/* The loop of a batch job, and the place from which a killed one goes on. */
#include "lab/batch.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- OUT.state --- */

#define STATE_FORMAT                                                                               \
  "winnow batch 1\njob %" PRIx64 "\nsnapshot %" PRIu64 "\nseq %" PRIu64 "\nusers %" PRIu64         \
  "\nnow_ms %" PRId64 "\ndone %" PRIu64 "\nbytes %" PRIu64 "\n"
#define STATE_SCAN                                                                                 \
  "winnow batch 1\njob %" SCNx64 "\nsnapshot %" SCNu64 "\nseq %" SCNu64 "\nusers %" SCNu64         \
  "\nnow_ms %" SCNd64 "\ndone %" SCNu64 "\nbytes %" SCNu64

static const char *beside(const char *path, const char *ending, char out[PATH_MAX]) {
  snprintf(out, PATH_MAX, "%s%s", path, ending);
  return out;
}

wn_status wn_batch_state_load(const char *path, wn_batch_state *state, bool *found, wn_error *err) {
  char name[PATH_MAX];
  wn_buf text = {0};
  *state = (wn_batch_state){0};
  wn_status status = wn_read_file(beside(path, ".state", name), 4096, &text, err);
  *found = status == WN_OK;
  if (status == WN_E_NOT_FOUND) {
    status = WN_OK;
  } else if (status == WN_OK &&
             (wn_buf_c(&text) == NULL ||
              sscanf(wn_buf_c(&text), STATE_SCAN, &state->job, &state->snapshot, &state->seq,
                     &state->users, &state->now_ms, &state->done, &state->bytes) != 7 ||
              state->done > state->users)) {
    status = wn_fail(err, WN_E_CORRUPT, "", "not the state of a batch job");
    wn_error_at(err, name, 0, 0);
  }
  wn_buf_clear(&text);
  return status;
}

static wn_status save_state(const char *path, const wn_batch_state *state, wn_error *err) {
  char name[PATH_MAX], text[512];
  int len = snprintf(text, sizeof text, STATE_FORMAT, state->job, state->snapshot, state->seq,
                     state->users, state->now_ms, state->done, state->bytes);
  return wn_write_file_atomic(beside(path, ".state", name), (wn_str){text, (size_t)len}, err);
}

void wn_batch_discard(const char *path) {
  char name[PATH_MAX];
  (void)unlink(beside(path, ".partial", name));
  (void)unlink(beside(path, ".state", name));
}

/* --- the loop --- */

typedef struct chunk {
  const wn_batch_job *job;
  wn_batch_tile all;
  wn_error *errors; /* one a worker */
} chunk;

static void rank_tiles(void *ctx, size_t begin, size_t end, int worker) {
  const chunk *c = ctx;
  wn_error *err = &c->errors[worker];
  for (size_t t = begin; t < end && err->status == WN_OK; t++) {
    size_t first = t * WN_BATCH_TILE, left = c->all.len - first;
    const wn_batch_tile tile = {.at = c->all.at + first,
                                .len = left < WN_BATCH_TILE ? left : WN_BATCH_TILE,
                                .worker = worker,
                                .out = c->all.out + first * c->job->n,
                                .count = c->all.count + first};
    wn_status status = c->job->rank(c->job->ctx, &tile, err);
    if (status != WN_OK && err->status == WN_OK) err->status = status;
  }
}

static double cpu_seconds(void) {
  struct timespec t;
  return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0
             ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9
             : 0;
}

static wn_status rank_chunk(chunk *c, wn_pool *pool, wn_batch_report *report, wn_error *err) {
  int threads = wn_pool_threads(pool);
  uint64_t start = wn_mono_ns();
  double cpu = cpu_seconds();
  for (int t = 0; t < threads; t++) c->errors[t] = (wn_error){0};
  wn_pool_run(pool, (c->all.len + WN_BATCH_TILE - 1) / WN_BATCH_TILE, 1, rank_tiles, c);
  for (int t = 0; t < threads; t++) {
    if (c->errors[t].status == WN_OK) continue;
    *err = c->errors[t];
    return err->status;
  }
  report->rank_seconds += (double)(wn_mono_ns() - start) * 1e-9;
  report->rank_cpu_seconds += cpu_seconds() - cpu;
  for (size_t i = 0; i < c->all.len; i++) {
    report->rows += c->all.count[i];
    report->users_empty += c->all.count[i] == 0;
  }
  return WN_OK;
}

static wn_status run_chunks(chunk *c, const wn_batch_output *output, wn_batch_writer *writer,
                            wn_batch_state *state, wn_batch_report *report, wn_error *err) {
  wn_status status = WN_OK;
  while (state->done < state->users) {
    uint64_t left = state->users - state->done;
    c->all.at = state->done;
    c->all.len = (size_t)(left < output->chunk ? left : output->chunk);
    if (!wn_progress_at(output->progress, "ranking", (double)(state->done - report->users_before),
                        (double)(state->users - report->users_before), "users"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    WN_TRY(rank_chunk(c, output->pool, report, err));
    uint64_t start = wn_mono_ns();
    WN_TRY(wn_batch_writer_chunk(writer, c->job, &c->all, state, err));
    WN_TRY(save_state(output->path, state, err));
    report->write_seconds += (double)(wn_mono_ns() - start) * 1e-9;
  }
cleanup:
  return status;
}

wn_status wn_batch_run(const wn_batch_job *job, const wn_batch_output *output,
                       wn_batch_state *state, wn_batch_report *report, wn_error *err) {
  wn_batch_writer *writer = NULL;
  wn_status status;
  char name[PATH_MAX];
  chunk c = {.job = job};
  *report = (wn_batch_report){0};
  if (strlen(output->path) > PATH_MAX - 32)
    return wn_fail(err, WN_E_ARGUMENT, "out", "the path is too long");
  c.all.out = wn_reallocarray(NULL, (size_t)output->chunk * job->n + 1, sizeof *c.all.out);
  c.all.count = wn_reallocarray(NULL, (size_t)output->chunk + 1, sizeof *c.all.count);
  c.errors = wn_calloc((size_t)wn_pool_threads(output->pool), sizeof *c.errors);
  if (c.all.out == NULL || c.all.count == NULL || c.errors == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_batch_writer_open(output, state, &writer, err));
  report->users_before = state->done;
  WN_TRY(save_state(output->path, state, err));
  WN_TRY(run_chunks(&c, output, writer, state, report, err));
  report->users = state->done;
  report->format_seconds = wn_batch_writer_format_seconds(writer);
  report->write_seconds -= report->format_seconds;
  /* The state first: a job that is killed between the two begins again, and none goes on from
   * rows that are not there. */
  if (unlink(beside(output->path, ".state", name)) != 0 && errno != ENOENT)
    WN_TRY(wn_fail_errno(err, "", "cannot remove %s", name));
  WN_TRY(wn_batch_writer_finish(writer, err));
cleanup:
  wn_batch_writer_close(writer);
  wn_free(c.all.out);
  wn_free(c.all.count);
  wn_free(c.errors);
  return status;
}
