#ifndef WN_SERVE_CONFIG_INTERNAL_H
#define WN_SERVE_CONFIG_INTERNAL_H
/* Shared by serve/config*.c. */

#include "serve/config.h"
#include "serve/config_yaml.h"

/* The section `surfaces:`; target: wn_config. */
WN_MUST_USE wn_status wn_config_read_surfaces(wn_yaml *yaml, const yaml_node_t *node, void *target);

/* The keys of a surface into `surface`, which is validated then. */
WN_MUST_USE wn_status wn_config_read_surface_keys(wn_yaml *yaml, const yaml_node_t *node,
                                                  wn_surface *surface);
/* `objectives:` of the document, before everything else. */
WN_MUST_USE wn_status wn_config_read_objectives(wn_yaml *yaml, const yaml_node_t *root,
                                                wn_config *config);
/* `score.objectives`; target: wn_surface. */
WN_MUST_USE wn_status wn_config_read_objective_weights(wn_yaml *yaml, const yaml_node_t *node,
                                                       void *target);
/* Those of a surface whose keys are `node`'s: are they known, and of use? */
WN_MUST_USE wn_status wn_config_check_objectives(wn_yaml *yaml, const yaml_node_t *node,
                                                 const wn_objectives *known,
                                                 const wn_surface *surface);
/* To the surfaces that name none. */
void wn_config_spread_objectives(wn_config *config);
bool wn_config_name_good(wn_str name); /* letters, digits, _ and - */
/* `experiments:` and `holdout:` of the document, after everything else. */
WN_MUST_USE wn_status wn_config_read_experiments(wn_yaml *yaml, const yaml_node_t *root,
                                                 wn_config *config);

#endif
