/* Evaluation of a filter: by columns into a bitmap, and for one item.
 *
 * By columns: a condition on strings is first decided once for each distinct value of the column
 * (a bitmap over the column's dictionary), then one pass over the cells tests codes. Cost: distinct
 * values + items a condition; memory: one bitmap over the items for each pending right operand (at
 * most the depth of the tree).
 *
 * wn_expr_test is the exact twin: it compares the item's strings themselves and shares only the
 * comparison of two values with the column pass. */

#include "funnel/expr_tree.h"
#include <string.h>

static bool has_prefix(wn_str s, wn_str prefix) {
  return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* A comparison without its negation: != asks for equality first. */
static wn_expr_op positive(const wn_node *node) {
  return node->kind == WN_NODE_CMP && node->op != WN_OP_NE ? node->op : WN_OP_EQ;
}
static bool negates(const wn_node *node) {
  return node->kind == WN_NODE_CMP && node->op == WN_OP_NE;
}

static bool string_matches(const wn_expr *expr, const wn_node *node, wn_str value) {
  const wn_literal *literals = wn_node_literals(expr, node);
  if (node->kind == WN_NODE_PREFIX) return has_prefix(value, literals[0].string);
  for (uint32_t i = 0; i < node->len; i++) {
    if (literals[i].kind != WN_ATTR_STRING) continue;
    if (wn_order_holds(positive(node), wn_str_compare(value, literals[i].string))) return true;
  }
  return false;
}

static bool number_matches(const wn_expr *expr, const wn_node *node, double value) {
  const wn_literal *literals = wn_node_literals(expr, node);
  if (node->kind == WN_NODE_PREFIX) return false;
  for (uint32_t i = 0; i < node->len; i++) {
    double literal = literals[i].number;
    int order = value < literal ? -1 : value > literal;
    if (literals[i].kind == WN_ATTR_NUMBER && wn_order_holds(positive(node), order)) return true;
  }
  return false;
}

static bool bool_matches(const wn_expr *expr, const wn_node *node, bool value) {
  const wn_literal *literals = wn_node_literals(expr, node);
  if (node->kind == WN_NODE_PREFIX || positive(node) != WN_OP_EQ) return false;
  for (uint32_t i = 0; i < node->len; i++) {
    if (literals[i].kind == WN_ATTR_BOOL && literals[i].boolean == value) return true;
  }
  return false;
}

/* Lists have members, not an order. */
static bool list_can_match(const wn_node *node) {
  return positive(node) == WN_OP_EQ;
}

/* id, title and created, for both ways of evaluation. */
static bool special_test(const wn_expr *expr, const wn_node *node, const wn_catalog *catalog,
                         wn_item_ix item) {
  if (node->subject == WN_BY_CREATED) {
    int64_t ms = wn_catalog_created(catalog)[item];
    if (ms == 0 || node->kind == WN_NODE_HAS) return ms != 0;
    return number_matches(expr, node, (double)ms / 1000.0) != negates(node);
  }
  wn_str value =
      node->subject == WN_BY_ID ? wn_catalog_id(catalog, item) : wn_catalog_title(catalog, item);
  if (value.ptr == NULL || node->kind == WN_NODE_HAS) return value.ptr != NULL;
  return string_matches(expr, node, value) != negates(node);
}

static bool cell_test(const wn_expr *expr, const wn_node *node, const wn_column *column,
                      const wn_cell *cell) {
  bool match = false;
  if (cell->kind == 0 || node->kind == WN_NODE_HAS) return cell->kind != 0;
  switch ((wn_attr_kind)(cell->kind - 1)) {
  case WN_ATTR_NUMBER: match = number_matches(expr, node, cell->u.number); break;
  case WN_ATTR_BOOL: match = bool_matches(expr, node, cell->boolean); break;
  case WN_ATTR_STRING:
    match = string_matches(expr, node, wn_dict_key(column->values, cell->code));
    break;
  case WN_ATTR_LIST:
    for (uint32_t i = 0; list_can_match(node) && !match && i < cell->u.list_len; i++) {
      uint32_t code = column->codes[cell->code + i];
      match = string_matches(expr, node, wn_dict_key(column->values, code));
    }
    break;
  }
  return match != negates(node);
}

static bool node_test(const wn_expr *expr, uint32_t at, const wn_catalog *catalog,
                      wn_item_ix item) {
  const wn_node *node = &expr->nodes.data[at];
  switch (node->kind) {
  case WN_NODE_FALSE: return false;
  case WN_NODE_TRUE: return true;
  case WN_NODE_AND:
    return node_test(expr, node->left, catalog, item) &&
           node_test(expr, node->right, catalog, item);
  case WN_NODE_OR:
    return node_test(expr, node->left, catalog, item) ||
           node_test(expr, node->right, catalog, item);
  case WN_NODE_NOT: return !node_test(expr, node->left, catalog, item);
  default: break;
  }
  if (node->subject != WN_BY_ATTRIBUTE) return special_test(expr, node, catalog, item);
  const wn_column *column = wn_catalog_column(catalog, node->name);
  return column != NULL && cell_test(expr, node, column, &column->cells[item]);
}

bool wn_expr_test(const wn_expr *expr, const wn_catalog *catalog, wn_item_ix item) {
  return item < wn_catalog_count(catalog) && node_test(expr, expr->root, catalog, item);
}

/* Bit c: the column's c-th distinct string matches. */
static wn_status decide_values(const wn_expr *expr, const wn_node *node, const wn_column *column,
                               wn_bitset *match) {
  uint32_t values = column->values != NULL ? wn_dict_count(column->values) : 0;
  const wn_literal *literals = wn_node_literals(expr, node);
  if (!wn_bitset_init(match, values)) return WN_E_MEMORY;
  if (node->kind != WN_NODE_PREFIX && positive(node) == WN_OP_EQ) {
    for (uint32_t i = 0; i < node->len; i++) {
      if (literals[i].kind != WN_ATTR_STRING || values == 0) continue;
      wn_bitset_set(match, wn_dict_find(column->values, literals[i].string));
    }
    return WN_OK;
  }
  for (uint32_t code = 0; code < values; code++) {
    if (string_matches(expr, node, wn_dict_key(column->values, code))) wn_bitset_set(match, code);
  }
  return WN_OK;
}

static bool cell_matches(const wn_expr *expr, const wn_node *node, const wn_column *column,
                         const wn_cell *cell, const wn_bitset *match) {
  switch ((wn_attr_kind)(cell->kind - 1)) {
  case WN_ATTR_STRING: return wn_bitset_test(match, cell->code);
  case WN_ATTR_NUMBER: return number_matches(expr, node, cell->u.number);
  case WN_ATTR_BOOL: return bool_matches(expr, node, cell->boolean);
  case WN_ATTR_LIST: break;
  }
  if (!list_can_match(node)) return false;
  for (uint32_t i = 0; i < cell->u.list_len; i++) {
    if (wn_bitset_test(match, column->codes[cell->code + i])) return true;
  }
  return false;
}

static wn_status eval_column(const wn_expr *expr, const wn_node *node, const wn_column *column,
                             wn_bitset *out) {
  wn_bitset match = {0};
  bool negate = negates(node), has = node->kind == WN_NODE_HAS;
  if (!has && decide_values(expr, node, column, &match) != WN_OK) return WN_E_MEMORY;
  for (size_t i = 0; i < out->bits; i++) {
    const wn_cell *cell = &column->cells[i];
    if (cell->kind == 0) continue;
    if (has || cell_matches(expr, node, column, cell, &match) != negate) wn_bitset_set(out, i);
  }
  wn_bitset_clear(&match);
  return WN_OK;
}

/* Equality with ids: the dictionary knows the items. Every item has an id. */
static void eval_ids(const wn_expr *expr, const wn_node *node, const wn_catalog *catalog,
                     wn_bitset *out) {
  const wn_literal *literals = wn_node_literals(expr, node);
  for (uint32_t i = 0; i < node->len; i++) {
    if (literals[i].kind != WN_ATTR_STRING) continue;
    wn_item_ix item = wn_catalog_find(catalog, literals[i].string);
    if (item != WN_NO_IX) wn_bitset_set(out, item);
  }
  if (negates(node)) wn_bitset_not(out);
}

static wn_status eval_leaf(const wn_expr *expr, const wn_node *node, const wn_catalog *catalog,
                           wn_bitset *out) {
  wn_bitset_fill(out, false);
  if (node->subject == WN_BY_ATTRIBUTE) {
    const wn_column *column = wn_catalog_column(catalog, node->name);
    return column != NULL ? eval_column(expr, node, column, out) : WN_OK;
  }
  if (node->subject == WN_BY_ID && node->kind != WN_NODE_HAS && node->kind != WN_NODE_PREFIX &&
      positive(node) == WN_OP_EQ) {
    eval_ids(expr, node, catalog, out);
    return WN_OK;
  }
  for (size_t i = 0; i < out->bits; i++) {
    if (special_test(expr, node, catalog, (wn_item_ix)i)) wn_bitset_set(out, i);
  }
  return WN_OK;
}

static wn_status eval_node(const wn_expr *expr, uint32_t at, const wn_catalog *catalog,
                           wn_bitset *out) {
  const wn_node *node = &expr->nodes.data[at];
  if (node->kind == WN_NODE_TRUE || node->kind == WN_NODE_FALSE) {
    wn_bitset_fill(out, node->kind == WN_NODE_TRUE);
    return WN_OK;
  }
  if (node->kind == WN_NODE_NOT) {
    wn_status status = eval_node(expr, node->left, catalog, out);
    if (status == WN_OK) wn_bitset_not(out);
    return status;
  }
  if (node->kind != WN_NODE_AND && node->kind != WN_NODE_OR) {
    return eval_leaf(expr, node, catalog, out);
  }
  wn_bitset right = {0};
  wn_status status = eval_node(expr, node->left, catalog, out);
  if (status == WN_OK && !wn_bitset_init(&right, out->bits)) status = WN_E_MEMORY;
  if (status == WN_OK) status = eval_node(expr, node->right, catalog, &right);
  if (status == WN_OK && node->kind == WN_NODE_AND) wn_bitset_and(out, &right);
  if (status == WN_OK && node->kind == WN_NODE_OR) wn_bitset_or(out, &right);
  wn_bitset_clear(&right);
  return status;
}

wn_status wn_expr_eval(const wn_expr *expr, const wn_catalog *catalog, wn_bitset *out,
                       wn_error *err) {
  if (out->bits != wn_catalog_count(catalog)) {
    return wn_fail(err, WN_E_INTERNAL, "", "bitmap of %zu bits for a catalogue of %u items",
                   out->bits, wn_catalog_count(catalog));
  }
  wn_status status = eval_node(expr, expr->root, catalog, out);
  return status == WN_OK ? WN_OK : wn_fail_memory(err);
}
