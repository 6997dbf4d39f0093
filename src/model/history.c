/* User histories inside a snapshot: every (user, item) pair of the log, those of weight 0
 * included, so that serving knows what was seen without reading the log again. Rows come from
 * data/pairs.c: oldest last event first. 24 bytes a pair, 8 a user. */

#include "model/train.h"

#include "data/pairs.h"
#include "model/section.h"
#include <string.h>

wn_status wn_history_write(wn_event_list events, const wn_signals *signals, uint32_t users,
                           int64_t now_ms, wn_snapshot_writer *writer, wn_error *err) {
  wn_status status;
  wn_pairs pairs;
  wn_pairs_input input = {.events = events.data,
                          .count = events.len,
                          .signals = signals,
                          .users = users,
                          .now_ms = now_ms,
                          .keep_zero = true,
                          .with_mask = true};
  status = wn_pairs_build(&input, &pairs, err);
  if (status != WN_OK) return status;
  uint64_t n = pairs.nnz;
  WN_TRY(wn_snapshot_write(writer, "history/row_ptr", pairs.row_ptr,
                           ((uint64_t)pairs.users + 1) * sizeof *pairs.row_ptr, err));
  WN_TRY(wn_snapshot_write(writer, "history/item", pairs.item, n * sizeof *pairs.item, err));
  WN_TRY(wn_snapshot_write(writer, "history/weight", pairs.weight, n * sizeof *pairs.weight, err));
  WN_TRY(
      wn_snapshot_write(writer, "history/time_ms", pairs.time_ms, n * sizeof *pairs.time_ms, err));
  WN_TRY(wn_snapshot_write(writer, "history/mask", pairs.mask, n * sizeof *pairs.mask, err));
cleanup:
  wn_pairs_clear(&pairs);
  return status;
}

static wn_status check_order(const wn_history_base *base, wn_error *err) {
  for (uint32_t u = 0; u < base->users; u++)
    for (uint64_t i = base->row_ptr[u] + 1; i < base->row_ptr[u + 1]; i++)
      if (base->time_ms[i] < base->time_ms[i - 1])
        return wn_fail(err, WN_E_CORRUPT, "history/time_ms", "row %u must be in time order", u);
  return WN_OK;
}

wn_status wn_history_map(const wn_snapshot *snapshot, wn_history_base *out, wn_error *err) {
  wn_status status = WN_OK;
  const void *data;
  uint64_t rows, n;
  memset(out, 0, sizeof *out);
  if (!wn_snapshot_has(snapshot, "history/row_ptr")) return WN_OK;
  wn_history_base base = {0};
  WN_TRY(wn_snapshot_section(snapshot, "history/row_ptr", sizeof(uint64_t), &data, &rows, err));
  if (rows == 0 || rows - 1 >= WN_NO_IX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "history/row_ptr", "holds a wrong number of users"));
  base.users = (uint32_t)(rows - 1);
  WN_TRY(wn_section_offsets(snapshot, "history/row_ptr", base.users, &base.row_ptr, &n, err));
  WN_TRY(wn_section_indexes(snapshot, "history/item", n, wn_snapshot_about_of(snapshot)->items,
                            &base.item, err));
  WN_TRY(wn_section_floats(snapshot, "history/weight", n, &base.weight, err));
  WN_TRY(wn_section_array(snapshot, "history/time_ms", sizeof(int64_t), n, &data, err));
  base.time_ms = data;
  WN_TRY(wn_section_array(snapshot, "history/mask", sizeof(uint64_t), n, &data, err));
  base.mask = data;
  WN_TRY(check_order(&base, err));
  *out = base;
cleanup:
  return status;
}
