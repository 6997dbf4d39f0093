#ifndef WN_FUNNEL_EXPR_TREE_H
#define WN_FUNNEL_EXPR_TREE_H
/* Inside of a compiled filter, shared by the lexer, the parser and the evaluation. */

#include "base/vec.h"
#include "funnel/expr.h"

typedef enum wn_token_kind {
  WN_TOKEN_END,
  WN_TOKEN_NAME,
  WN_TOKEN_STRING,
  WN_TOKEN_NUMBER,
  WN_TOKEN_OP,
  WN_TOKEN_MARK /* one of ( ) [ ] , */
} wn_token_kind;

typedef enum wn_expr_op { WN_OP_EQ, WN_OP_NE, WN_OP_LT, WN_OP_LE, WN_OP_GT, WN_OP_GE } wn_expr_op;

typedef struct wn_token {
  wn_token_kind kind;
  wn_str text;  /* as written */
  wn_str value; /* NAME: without backquotes; STRING: unescaped */
  bool quoted;  /* NAME in backquotes: never a keyword */
  double number;
  wn_expr_op op;
  char mark;
} wn_token;

typedef struct wn_lexer {
  wn_str text;
  size_t pos;
  const char *field; /* for errors */
  char *pool;        /* unescaped strings; as large as the text */
  size_t pool_len;
} wn_lexer;

WN_MUST_USE wn_status wn_lexer_next(wn_lexer *lexer, wn_token *token, wn_error *err);
/* WN_E_ARGUMENT at the place of byte `at`: line and column (in characters), 1-based. */
wn_status wn_lexer_fail(const wn_lexer *lexer, size_t at, wn_error *err, const char *format, ...)
    WN_PRINTF(4, 5);
bool wn_name_is_plain(wn_str name); /* needs no backquotes */

typedef enum wn_node_kind {
  WN_NODE_FALSE,
  WN_NODE_TRUE,
  WN_NODE_AND,
  WN_NODE_OR,
  WN_NODE_NOT,    /* left */
  WN_NODE_CMP,    /* name op literals[0] */
  WN_NODE_IN,     /* name in literals */
  WN_NODE_PREFIX, /* starts_with(name, literals[0]) */
  WN_NODE_HAS
} wn_node_kind;

typedef enum wn_subject { WN_BY_ATTRIBUTE, WN_BY_ID, WN_BY_TITLE, WN_BY_CREATED } wn_subject;

typedef struct wn_literal {
  wn_attr_kind kind; /* STRING, NUMBER or BOOL */
  bool boolean;
  double number;
  wn_str string;
} wn_literal;

typedef struct wn_node {
  wn_node_kind kind;
  wn_expr_op op;
  wn_subject subject;
  uint32_t left, right; /* indexes of nodes */
  uint32_t first, len;  /* literals */
  wn_str name;
} wn_node;

struct wn_expr {
  char *text; /* the source, then the pool of unescaped strings */
  size_t text_len;
  uint32_t root;
  WN_VEC(wn_node) nodes;
  WN_VEC(wn_literal) literals;
};

/* The literals of a condition; only where there are any. */
static inline const wn_literal *wn_node_literals(const wn_expr *expr, const wn_node *node) {
  return node->len > 0 ? expr->literals.data + node->first : NULL;
}

/* `order`: of a value against a literal, < 0, 0 or > 0. */
static inline bool wn_order_holds(wn_expr_op op, int order) {
  switch (op) {
  case WN_OP_EQ: return order == 0;
  case WN_OP_NE: return order != 0;
  case WN_OP_LT: return order < 0;
  case WN_OP_LE: return order <= 0;
  case WN_OP_GT: return order > 0;
  case WN_OP_GE: return order >= 0;
  }
  return false;
}

#endif
