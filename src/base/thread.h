#ifndef WN_BASE_THREAD_H
#define WN_BASE_THREAD_H
/* A fork-join pool for training and evaluation. */

#include "base/status.h"

typedef struct wn_pool wn_pool;

int wn_cpu_count(void); /* usable by this process, at least 1 */

/* threads 0: as many as CPUs. NULL when out of memory; fewer threads when the system refuses. */
wn_pool *wn_pool_create(int threads);
void wn_pool_free(wn_pool *pool);
int wn_pool_threads(const wn_pool *pool);

/* Work on rows begin … end−1; `worker` is 0 … threads−1 and fixed for the call. */
typedef void wn_pool_fn(void *ctx, size_t begin, size_t end, int worker);
/* Splits 0 … n−1 into chunks of `grain` rows that workers take as they come free: use it
 * where each row's result does not depend on the others, and results are bit-identical for
 * any thread count. Blocks; the caller is worker 0. */
void wn_pool_run(wn_pool *pool, size_t n, size_t grain, wn_pool_fn *fn, void *ctx);

#endif
