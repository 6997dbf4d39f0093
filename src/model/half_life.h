#ifndef WN_MODEL_HALF_LIFE_H
#define WN_MODEL_HALF_LIFE_H
/* How fast popularity fades in these data: days for news, a year for films. */

#include "base/thread.h"
#include "data/dataset.h"

#define WN_HALF_LIFE_DAYS 30.0 /* where the data cannot tell */

/* Of 1, 3, 7, 14, 30, 90, 180, 365 days and 0 (never fades) the one under which the newest tenth of
 * the pairs is likeliest. */
WN_MUST_USE wn_status wn_half_life_choose(const wn_dataset *data, wn_pool *pool, double *days,
                                          wn_error *err);

#endif
