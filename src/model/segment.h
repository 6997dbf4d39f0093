#ifndef WN_MODEL_SEGMENT_H
#define WN_MODEL_SEGMENT_H
/* What is popular among users alike: counters by segment, a segment being all users who have the
 * same values of some attributes. */

#include "model/decay.h"
#include "model/model.h"

#define WN_SEGMENT_ATTRS_MAX 4
#define WN_SEGMENTS_MAX      65534u

/* "popular/segments" in a snapshot. */
typedef struct wn_segments_head {
  uint32_t users, items, len, reserved;
  uint64_t pairs;
  double lift;        /* by how much an event of the own segment outweighs one of all */
  double landmark_ms; /* of the counters */
} wn_segments_head;

typedef struct wn_segments {
  wn_segments_head head;
  const uint16_t *of_user; /* [users] segment + 1; 0: none */
  const uint64_t *ptr;     /* [len + 1] */
  const uint32_t *item;    /* [pairs] ascending within a segment */
  const float *count;      /* [pairs] > 0 */
  void *owned[4];          /* heap of fitted ones */
} wn_segments;

/* `attrs`: "gender,age". Users who lack one of them, or have a list there, are in no segment. prior
 * 0: from the data. Pairs count as in `decay`, which holds their sums over all users. Leaves `out`
 * empty without attributes or a source of users. */
WN_MUST_USE wn_status wn_segments_fit(const wn_dataset *data, const char *attrs, double prior,
                                      const wn_decay *decay, wn_segments *out, wn_error *err);
void wn_segments_clear(wn_segments *segments);
WN_MUST_USE wn_status wn_segments_save(const wn_segments *segments, wn_snapshot_writer *writer,
                                       wn_error *err);
/* What was fitted, or is to be believed of a mapping: the values, not the sizes. */
WN_MUST_USE wn_status wn_segments_validate(const wn_segments *segments, wn_error *err);
WN_MUST_USE wn_status wn_segments_map(const wn_snapshot *snapshot, wn_segments *out, wn_error *err);
/* The user's segment + 1; 0: none, unknown, or nothing happened in it. */
uint32_t wn_segment_of(const wn_segments *segments, wn_user_ix user);

#endif
