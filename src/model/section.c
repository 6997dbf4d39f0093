#include "model/section.h"

#include <inttypes.h>
#include <string.h>

wn_status wn_section_array(const wn_snapshot *snapshot, const char *name, size_t element,
                           uint64_t count, const void **data, wn_error *err) {
  uint64_t have = 0;
  wn_status status = wn_snapshot_section(snapshot, name, element, data, &have, err);
  if (status != WN_OK) return status;
  if (have != count) {
    return wn_fail(err, WN_E_CORRUPT, name, "holds %" PRIu64 " entries, expected %" PRIu64, have,
                   count);
  }
  return WN_OK;
}

wn_status wn_section_offsets(const wn_snapshot *snapshot, const char *name, uint64_t rows,
                             const uint64_t **data, uint64_t *end, wn_error *err) {
  const void *raw = NULL;
  wn_status status = wn_section_array(snapshot, name, sizeof(uint64_t), rows + 1, &raw, err);
  if (status != WN_OK) return status;
  const uint64_t *offsets = raw;
  bool ascends = offsets[0] == 0;
  for (uint64_t i = 0; i < rows; i++) ascends &= offsets[i] <= offsets[i + 1];
  if (!ascends) return wn_fail(err, WN_E_CORRUPT, name, "row offsets must ascend from 0");
  *data = offsets;
  *end = offsets[rows];
  return WN_OK;
}

wn_status wn_section_indexes(const wn_snapshot *snapshot, const char *name, uint64_t count,
                             uint32_t limit, const uint32_t **data, wn_error *err) {
  const void *raw = NULL;
  wn_status status = wn_section_array(snapshot, name, sizeof(uint32_t), count, &raw, err);
  if (status != WN_OK) return status;
  const uint32_t *index = raw;
  bool good = true;
  for (uint64_t i = 0; i < count; i++) good &= index[i] < limit;
  if (!good) return wn_fail(err, WN_E_CORRUPT, name, "an index is not below %" PRIu32, limit);
  *data = index;
  return WN_OK;
}

wn_status wn_section_numbers(const wn_snapshot *snapshot, const char *name, uint64_t count,
                             const float **data, wn_error *err) {
  const void *raw = NULL;
  wn_status status = wn_section_array(snapshot, name, sizeof(float), count, &raw, err);
  if (status == WN_OK) *data = raw;
  return status;
}

wn_status wn_check_finite(const char *name, const float *data, uint64_t count, wn_error *err) {
  uint32_t bad = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &data[i], sizeof bits);
    bad |= (uint32_t)((bits & 0x7f800000u) == 0x7f800000u);
  }
  return bad == 0 ? WN_OK : wn_fail(err, WN_E_CORRUPT, name, "a number is not finite");
}

wn_status wn_section_floats(const wn_snapshot *snapshot, const char *name, uint64_t count,
                            const float **data, wn_error *err) {
  wn_status status = wn_section_numbers(snapshot, name, count, data, err);
  return status == WN_OK ? wn_check_finite(name, *data, count, err) : status;
}
