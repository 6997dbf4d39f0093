#include "lab/outcome.h"

const char *const wn_metric_kind_names[] = {"conversion", "count",    "rate",   "value",
                                            "finish",     "distinct", "return", NULL};
