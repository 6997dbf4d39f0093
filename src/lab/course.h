#ifndef WN_LAB_COURSE_H
#define WN_LAB_COURSE_H
/* How an experiment's verdict came about: the same verdict (verdict.h) as of up to 60 moments since
 * its first slate. Because the intervals hold at all times together, the line that they draw is one
 * that may be watched. While the sizes contradict the shares there are the sizes alone. */

#include "base/json_write.h"
#include "lab/verdict.h"

/* One JSON object. WN_E_NOT_READY: it never ran. Costs what one look at it costs (outcome.h), and
 * units × metrics for each moment. */
WN_MUST_USE wn_status wn_experiment_course(wn_store *store, const char *dir,
                                           const wn_experiment *experiment, wn_json *json,
                                           wn_error *err);

#endif
