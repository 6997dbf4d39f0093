#include "cli/scenario.h"

const wn_scenario wn_scenarios[] = {
    {"aa", "A/A experiments looked at every day say something in at most 5% of the cases",
     wn_scenario_aa},
    {"uplift", "A real uplift is found with the power that was planned for", wn_scenario_uplift},
    {"loop",
     "Without exploration popularity concentrates and quality falls; with a 5% random slice and "
     "propensity-weighted training it does not",
     wn_scenario_loop},
    {"bait", "Optimising clicks loses satisfaction to clickbait; weighted objectives recover it",
     wn_scenario_bait},
    {"protocol",
     "Offline ranking of policies agrees with the truth under the unbiased protocol and disagrees "
     "under the naive one",
     wn_scenario_protocol},
    {"cold", "A cold item of high quality is found within its exploration budget",
     wn_scenario_cold},
};
const size_t wn_scenarios_len = sizeof wn_scenarios / sizeof *wn_scenarios;
