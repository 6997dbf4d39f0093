/* Bodies that take long to parse: one thread of their own, one after another, so that a bulk load
 * holds up no worker's slates and at most one large body's tree and records are being made at a
 * time. The connection stays suspended from its last byte until the change is stored. */
#include "serve/server_internal.h"

static wn_http *next_body(wn_large *large) {
  pthread_mutex_lock(&large->lock);
  while (large->first == NULL && !large->end) pthread_cond_wait(&large->wake, &large->lock);
  wn_http *http = large->first;
  if (http != NULL) large->first = http->next;
  if (large->first == NULL) large->last = NULL;
  pthread_mutex_unlock(&large->lock);
  return http;
}

static void *parse_run(void *arg) {
  wn_large *large = arg;
  for (wn_http *http = next_body(large); http != NULL; http = next_body(large))
    wn_http_handle_large(http);
  return NULL;
}

bool wn_large_start(wn_large *large) {
  pthread_mutex_init(&large->lock, NULL);
  pthread_cond_init(&large->wake, NULL);
  large->running = pthread_create(&large->thread, NULL, parse_run, large) == 0;
  if (!large->running) {
    pthread_cond_destroy(&large->wake);
    pthread_mutex_destroy(&large->lock);
  }
  return large->running;
}

void wn_large_add(wn_large *large, wn_http *http) {
  http->next = NULL;
  pthread_mutex_lock(&large->lock);
  if (large->last != NULL) {
    large->last->next = http;
  } else {
    large->first = http;
  }
  large->last = http;
  pthread_cond_signal(&large->wake);
  pthread_mutex_unlock(&large->lock);
}

void wn_large_stop(wn_large *large) {
  if (!large->running) return;
  pthread_mutex_lock(&large->lock);
  large->end = true;
  pthread_cond_signal(&large->wake);
  pthread_mutex_unlock(&large->lock);
  pthread_join(large->thread, NULL);
  pthread_cond_destroy(&large->wake);
  pthread_mutex_destroy(&large->lock);
  large->running = false;
}
