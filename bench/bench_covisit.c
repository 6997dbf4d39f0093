/* Co-visitation: how fast it is fitted, how fast it learns event by event, and whether both know
 * the same.
 *
 *   bench_covisit FILE [adjacency|sequence|baskets] [THREADS] [KEY=VALUE …]      default: sequence
 * 1
 *
 * `baskets` reads adjacency lines whose order means nothing: all items of a user share a time.
 *
 * The last item of each user is the question (full ranking, the user's other items masked); all
 * else is learnt, in time order over all users: users take turns, so that each event meets another
 * user's row. The same events are learnt by a fit; one by one by an empty model; and half by a fit
 * and a snapshot, the rest one by one. One thread updates. */
#include "base/rng.h"
#include "model/covisit.h"
#include "stream.h"

/* Every second event is one of the user's AGAIN newest items once more, in the middle of the
 * others: the dearest kind. */
static void learn_repeats(const bench *b, wn_model *model) {
  enum { AGAIN = 8 };
  size_t n = 2 * b->train_len;
  wn_rng rng;
  wn_event *events = wn_calloc(n, sizeof *events);
  wn_item_ix(*newest)[AGAIN] = wn_calloc((size_t)b->all.users + 1, sizeof *newest);
  uint32_t *len = wn_calloc((size_t)b->all.users + 1, sizeof *len);
  need(events);
  need(newest);
  need(len);
  wn_rng_seed(&rng, 1);
  for (size_t i = 0; i < b->train_len; i++) {
    wn_event e = b->train[i];
    uint32_t have = len[e.user]++;
    e.time_ms *= 2;
    events[2 * i] = e;
    newest[e.user][have % AGAIN] = e.item;
    e.item = newest[e.user][wn_rng_below(&rng, have < AGAIN ? have + 1 : AGAIN)];
    e.time_ms++;
    events[2 * i + 1] = e;
  }
  double begin = cpu_seconds();
  for (size_t i = 0; i < n; i++) model->cls->update(model, &events[i], 1);
  double seconds = cpu_seconds() - begin;
  printf("  %zu updates in %.2f s of CPU: %.0f events/s on one core, %.2f us each\n", n, seconds,
         (double)n / seconds, seconds * 1e6 / (double)n);
  wn_free(events);
  wn_free(newest);
  wn_free(len);
}

int main(int argc, char **argv) {
  wn_error err = {0};
  bench b = {.cls = &wn_model_covisit, .bytes = wn_covisit_live_bytes};
  setup(&b, argc, argv);
  batch(&b);
  printf("event by event from nothing\n");
  wn_dataset none = {0};
  check(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 0, 0, &none, &err), &err);
  wn_model *model = fit(&b, &none);
  learn(&b, model, 0);
  measure(&b, model);
  model->cls->free(model);
  printf("every second event an item that comes again\n");
  model = fit(&b, &none);
  learn_repeats(&b, model);
  model->cls->free(model);
  printf("half fitted, the rest event by event\n");
  half_and_half(&b);
  wn_dataset_clear(&none);
  teardown(&b);
  return 0;
}
