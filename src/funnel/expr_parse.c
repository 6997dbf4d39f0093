/* Recursive descent over the grammar of expr.h into a flat array of nodes; and back into text.
 * Depth of "not" and "(" is limited, so that recursion is. */

#include "base/clock.h"
#include "funnel/expr_tree.h"
#include <stdio.h>
#include <string.h>

typedef struct parser {
  wn_lexer lexer;
  wn_token token; /* the next one, not yet consumed */
  wn_expr *expr;
  int depth;
  uint32_t work;
  wn_error *err;
} parser;

static wn_status advance(parser *p) {
  return wn_lexer_next(&p->lexer, &p->token, p->err);
}

static size_t token_at(const parser *p) {
  return (size_t)(p->token.text.ptr - p->lexer.text.ptr);
}

static wn_status fail_expected(const parser *p, const char *expected) {
  size_t at = token_at(p);
  if (p->token.kind == WN_TOKEN_END) {
    return wn_lexer_fail(&p->lexer, at, p->err, "expected %s, found the end", expected);
  }
  size_t len = p->token.text.len < 40 ? p->token.text.len : 40;
  return wn_lexer_fail(&p->lexer, at, p->err, "expected %s, found %.*s", expected, (int)len,
                       p->token.text.ptr);
}

static bool at_word(const parser *p, const char *word) {
  return p->token.kind == WN_TOKEN_NAME && !p->token.quoted && wn_str_is(p->token.value, word);
}
static bool at_mark(const parser *p, char mark) {
  return p->token.kind == WN_TOKEN_MARK && p->token.mark == mark;
}

static wn_status expect_mark(parser *p, char mark, const char *expected) {
  return at_mark(p, mark) ? advance(p) : fail_expected(p, expected);
}

/* What a condition costs beyond one pass over its column: a filter comes from anybody, and is
 * evaluated under the engine's lock. Equality of texts is a look-up in a dictionary, but for
 * titles, which have none. */
static uint32_t work_of(const parser *p, const wn_node *node) {
  bool equality = node->kind == WN_NODE_IN ||
                  (node->kind == WN_NODE_CMP && (node->op == WN_OP_EQ || node->op == WN_OP_NE));
  uint32_t work = 0;
  for (uint32_t i = 0; i < node->len; i++) {
    bool text = p->expr->literals.data[node->first + i].kind == WN_ATTR_STRING;
    if (!text)
      work++;
    else if (!equality || node->subject == WN_BY_TITLE)
      work += WN_EXPR_TEXT_WORK;
  }
  return work;
}

static wn_status push_node(parser *p, const wn_node *node, uint32_t *out) {
  if (p->expr->nodes.len >= WN_EXPR_NODES_MAX) {
    return wn_lexer_fail(&p->lexer, token_at(p), p->err, "more than %d conditions and operators",
                         WN_EXPR_NODES_MAX);
  }
  p->work += work_of(p, node);
  if (p->work > WN_EXPR_WORK_MAX) {
    return wn_lexer_fail(
        &p->lexer, token_at(p), p->err,
        "more than %d comparisons with numbers, or %d with titles or by the order of texts",
        WN_EXPR_WORK_MAX, WN_EXPR_WORK_MAX / WN_EXPR_TEXT_WORK);
  }
  if (!wn_vec_push(&p->expr->nodes, *node)) return wn_fail_memory(p->err);
  *out = (uint32_t)p->expr->nodes.len - 1;
  return WN_OK;
}

static wn_status enter(parser *p) {
  if (++p->depth <= WN_EXPR_DEPTH_MAX) return WN_OK;
  return wn_lexer_fail(&p->lexer, token_at(p), p->err, "nested deeper than %d", WN_EXPR_DEPTH_MAX);
}

static wn_subject subject_of(wn_str name) {
  if (wn_str_is(name, "id")) return WN_BY_ID;
  if (wn_str_is(name, "title")) return WN_BY_TITLE;
  return wn_str_is(name, "created") ? WN_BY_CREATED : WN_BY_ATTRIBUTE;
}

/* A name where an attribute must stand; consumes it. */
static wn_status parse_name(parser *p, wn_node *node) {
  if (p->token.kind != WN_TOKEN_NAME || (!p->token.quoted && !wn_name_is_plain(p->token.value))) {
    return fail_expected(p, "an attribute's name");
  }
  node->name = p->token.value;
  node->subject = subject_of(node->name);
  return advance(p);
}

/* A text compared with `created` is a date; kept as the number that it stands for. */
static wn_status read_date(const parser *p, wn_literal *literal) {
  int64_t ms = 0;
  if (wn_time_parse(literal->string, &ms, NULL) != WN_OK) {
    return fail_expected(p, "a date like \"2024-05-01\" or Unix seconds to compare with created");
  }
  literal->kind = WN_ATTR_NUMBER;
  literal->number = (double)ms / 1000.0;
  literal->string = (wn_str){0};
  return WN_OK;
}

static wn_status parse_literal(parser *p, wn_node *node, const char *expected) {
  wn_literal literal = {.kind = WN_ATTR_STRING};
  wn_status status = WN_OK;
  if (p->token.kind == WN_TOKEN_STRING) {
    literal.string = p->token.value;
    if (node->subject == WN_BY_CREATED) status = read_date(p, &literal);
  } else if (p->token.kind == WN_TOKEN_NUMBER) {
    literal.kind = WN_ATTR_NUMBER;
    literal.number = p->token.number;
  } else if (at_word(p, "true") || at_word(p, "false")) {
    literal.kind = WN_ATTR_BOOL;
    literal.boolean = at_word(p, "true");
  } else {
    status = fail_expected(p, expected);
  }
  if (status != WN_OK) return status;
  if (!wn_vec_push(&p->expr->literals, literal)) return wn_fail_memory(p->err);
  node->len++;
  return advance(p);
}

static wn_status parse_list(parser *p, wn_node *node) {
  wn_status status = expect_mark(p, '[', "[ and a list of values");
  while (status == WN_OK) {
    status = parse_literal(p, node, "a string, a number, true or false");
    if (status != WN_OK || at_mark(p, ']')) break;
    status = expect_mark(p, ',', ", or ]");
  }
  return status == WN_OK ? advance(p) : status;
}

/* Pushes a condition, under a "not" when `negated`, which counts as depth like any other. */
static wn_status push_condition(parser *p, const wn_node *node, bool negated, uint32_t *out) {
  wn_status status = push_node(p, node, out);
  if (status != WN_OK || !negated) return status;
  if ((status = enter(p)) != WN_OK) return status;
  p->depth--;
  return push_node(p, &(wn_node){.kind = WN_NODE_NOT, .left = *out}, out);
}

/* Consumes ["not"] "in" after a subject; *negated tells which. */
static wn_status parse_in(parser *p, bool *negated, const char *expected) {
  *negated = at_word(p, "not");
  wn_status status = *negated ? advance(p) : WN_OK;
  if (status != WN_OK) return status;
  return at_word(p, "in") ? advance(p) : fail_expected(p, *negated ? "in" : expected);
}

/* NAME OP literal, NAME ["not"] "in" [ … ] */
static wn_status parse_comparison(parser *p, wn_node *node, uint32_t *out) {
  bool negated = false;
  wn_status status = WN_OK;
  if (p->token.kind == WN_TOKEN_OP) {
    node->kind = WN_NODE_CMP;
    node->op = p->token.op;
    WN_TRY(advance(p));
    WN_TRY(parse_literal(p, node, "a string, a number, true or false to compare with"));
  } else {
    node->kind = WN_NODE_IN;
    WN_TRY(parse_in(p, &negated, "an operator (== != < <= > >= in)"));
    WN_TRY(parse_list(p, node));
  }
  return push_condition(p, node, negated, out);
cleanup:
  return status;
}

/* STRING ["not"] "in" NAME: the same condition as NAME == STRING. */
static wn_status parse_contains(parser *p, wn_node *node, uint32_t *out) {
  bool negated = false;
  wn_status status = WN_OK;
  wn_literal literal = {.kind = WN_ATTR_STRING, .string = p->token.value};
  WN_TRY(advance(p));
  WN_TRY(parse_in(p, &negated, "in and an attribute's name"));
  WN_TRY(parse_name(p, node));
  node->kind = WN_NODE_CMP;
  node->op = WN_OP_EQ;
  node->len = 1;
  if (!wn_vec_push(&p->expr->literals, literal)) return wn_fail_memory(p->err);
  return push_condition(p, node, negated, out);
cleanup:
  return status;
}

/* has(NAME), starts_with(NAME, STRING); the name of the function is consumed, "(" is next. */
static wn_status parse_call(parser *p, wn_str function, size_t at, wn_node *node) {
  wn_status status = WN_OK;
  bool prefix = wn_str_is(function, "starts_with");
  if (!prefix && !wn_str_is(function, "has")) {
    return wn_lexer_fail(&p->lexer, at, p->err,
                         "unknown function \"%.*s\": expected has or starts_with",
                         WN_STR_ARG(function));
  }
  node->kind = prefix ? WN_NODE_PREFIX : WN_NODE_HAS;
  WN_TRY(advance(p));
  WN_TRY(parse_name(p, node));
  if (prefix) {
    WN_TRY(expect_mark(p, ',', ", and a string"));
    if (p->token.kind != WN_TOKEN_STRING) return fail_expected(p, "a string");
    wn_literal literal = {.kind = WN_ATTR_STRING, .string = p->token.value};
    if (!wn_vec_push(&p->expr->literals, literal)) return wn_fail_memory(p->err);
    node->len = 1;
    WN_TRY(advance(p));
  }
  WN_TRY(expect_mark(p, ')', ")"));
cleanup:
  return status;
}

static wn_status parse_named(parser *p, wn_node *node, uint32_t *out) {
  wn_status status = WN_OK;
  if (at_word(p, "true") || at_word(p, "false")) {
    node->kind = at_word(p, "true") ? WN_NODE_TRUE : WN_NODE_FALSE;
    WN_TRY(advance(p));
    return push_node(p, node, out);
  }
  size_t at = token_at(p);
  bool quoted = p->token.quoted;
  if (!quoted && !wn_name_is_plain(p->token.value)) return fail_expected(p, "a condition");
  WN_TRY(parse_name(p, node));
  if (!at_mark(p, '(') || quoted) return parse_comparison(p, node, out);
  WN_TRY(parse_call(p, node->name, at, node));
  return push_node(p, node, out);
cleanup:
  return status;
}

static wn_status parse_or(parser *p, uint32_t *out);

static wn_status parse_unary(parser *p, uint32_t *out) {
  wn_status status = WN_OK;
  wn_node node = {.first = (uint32_t)p->expr->literals.len};
  bool negation = at_word(p, "not");
  if (negation || at_mark(p, '(')) {
    WN_TRY(enter(p));
    WN_TRY(advance(p));
    WN_TRY(negation ? parse_unary(p, out) : parse_or(p, out));
    p->depth--;
    if (!negation) return expect_mark(p, ')', "and, or, or )");
    node.kind = WN_NODE_NOT;
    node.left = *out;
    return push_node(p, &node, out);
  }
  if (p->token.kind == WN_TOKEN_STRING) return parse_contains(p, &node, out);
  if (p->token.kind == WN_TOKEN_NAME) return parse_named(p, &node, out);
  status = fail_expected(p, "a condition");
cleanup:
  return status;
}

/* operand {WORD operand}, leaning left. */
static wn_status parse_chain(parser *p, wn_node_kind kind, uint32_t *out) {
  const char *word = kind == WN_NODE_AND ? "and" : "or";
  wn_status status = WN_OK;
  wn_node node = {.kind = kind};
  WN_TRY(kind == WN_NODE_AND ? parse_unary(p, out) : parse_chain(p, WN_NODE_AND, out));
  while (at_word(p, word)) {
    node.left = *out;
    WN_TRY(advance(p));
    WN_TRY(kind == WN_NODE_AND ? parse_unary(p, &node.right)
                               : parse_chain(p, WN_NODE_AND, &node.right));
    WN_TRY(push_node(p, &node, out));
  }
cleanup:
  return status;
}

static wn_status parse_or(parser *p, uint32_t *out) {
  return parse_chain(p, WN_NODE_OR, out);
}

static wn_status parse_all(parser *p) {
  wn_status status = WN_OK;
  WN_TRY(advance(p));
  WN_TRY(parse_or(p, &p->expr->root));
  if (p->token.kind != WN_TOKEN_END) status = fail_expected(p, "and, or, or the end");
cleanup:
  return status;
}

wn_status wn_expr_parse(wn_str text, const char *field, wn_expr **out, wn_error *err) {
  *out = NULL;
  if (text.len > WN_EXPR_BYTES_MAX) {
    return wn_fail(err, WN_E_ARGUMENT, field, "a filter has at most %d bytes, this one has %zu",
                   WN_EXPR_BYTES_MAX, text.len);
  }
  if (!wn_utf8_valid(text)) return wn_fail(err, WN_E_ARGUMENT, field, "is not valid UTF-8");
  wn_expr *expr = wn_calloc(1, sizeof *expr);
  char *copy = wn_malloc(2 * text.len + 1);
  if (expr == NULL || copy == NULL) {
    wn_free(expr);
    wn_free(copy);
    return wn_fail_memory(err);
  }
  if (text.len > 0) memcpy(copy, text.ptr, text.len);
  expr->text = copy;
  expr->text_len = text.len;
  parser p = {.lexer = {{copy, text.len}, 0, field, copy + text.len, 0}, .expr = expr, .err = err};
  wn_status status = parse_all(&p);
  if (status == WN_OK)
    *out = expr;
  else
    wn_expr_free(expr);
  return status;
}

void wn_expr_free(wn_expr *expr) {
  if (expr == NULL) return;
  wn_free(expr->text);
  wn_vec_clear(&expr->nodes);
  wn_vec_clear(&expr->literals);
  wn_free(expr);
}

wn_str wn_expr_text(const wn_expr *expr) {
  return (wn_str){expr->text, expr->text_len};
}

static void print_string(wn_str s, wn_buf *out) {
  wn_buf_char(out, '"');
  for (size_t i = 0; i < s.len; i++) {
    char c = s.ptr[i];
    if (c == '\n')
      wn_buf_str(out, "\\n");
    else if (c == '\t')
      wn_buf_str(out, "\\t");
    else {
      if (c == '"' || c == '\\') wn_buf_char(out, '\\');
      wn_buf_char(out, c);
    }
  }
  wn_buf_char(out, '"');
}

static void print_literal(const wn_literal *literal, wn_buf *out) {
  if (literal->kind == WN_ATTR_STRING)
    print_string(literal->string, out);
  else if (literal->kind == WN_ATTR_BOOL)
    wn_buf_str(out, literal->boolean ? "true" : "false");
  else
    wn_buf_printf(out, "%.17g", literal->number);
}

static void print_name(wn_str name, wn_buf *out) {
  bool plain = wn_name_is_plain(name);
  if (!plain) wn_buf_char(out, '`');
  wn_buf_append(out, name.ptr, name.len);
  if (!plain) wn_buf_char(out, '`');
}

static void print_leaf(const wn_expr *expr, const wn_node *node, wn_buf *out) {
  static const char *const ops[] = {" == ", " != ", " < ", " <= ", " > ", " >= "};
  const wn_literal *literals = wn_node_literals(expr, node);
  if (node->kind == WN_NODE_HAS) wn_buf_str(out, "has(");
  if (node->kind == WN_NODE_PREFIX) wn_buf_str(out, "starts_with(");
  print_name(node->name, out);
  if (node->kind == WN_NODE_CMP)
    wn_buf_str(out, ops[node->op]);
  else if (node->kind == WN_NODE_IN)
    wn_buf_str(out, " in [");
  else if (node->kind == WN_NODE_PREFIX)
    wn_buf_str(out, ", ");
  for (uint32_t i = 0; i < node->len; i++) {
    if (i > 0) wn_buf_str(out, ", ");
    print_literal(&literals[i], out);
  }
  if (node->kind == WN_NODE_IN)
    wn_buf_char(out, ']');
  else if (node->kind != WN_NODE_CMP)
    wn_buf_char(out, ')');
}

static void print_node(const wn_expr *expr, uint32_t at, wn_buf *out);

/* How tightly a node binds: or 0, and 1, the rest 2. */
static int tightness(wn_node_kind kind) {
  return kind == WN_NODE_OR ? 0 : kind == WN_NODE_AND ? 1 : 2;
}

static void print_operand(const wn_expr *expr, uint32_t at, int least, wn_buf *out) {
  bool parens = tightness(expr->nodes.data[at].kind) < least;
  if (parens) wn_buf_char(out, '(');
  print_node(expr, at, out);
  if (parens) wn_buf_char(out, ')');
}

static void print_node(const wn_expr *expr, uint32_t at, wn_buf *out) {
  const wn_node *node = &expr->nodes.data[at];
  int tight = tightness(node->kind);
  switch (node->kind) {
  case WN_NODE_TRUE: wn_buf_str(out, "true"); break;
  case WN_NODE_FALSE: wn_buf_str(out, "false"); break;
  case WN_NODE_NOT:
    wn_buf_str(out, "not ");
    print_operand(expr, node->left, 2, out);
    break;
  case WN_NODE_AND:
  case WN_NODE_OR:
    print_operand(expr, node->left, tight, out);
    wn_buf_str(out, node->kind == WN_NODE_AND ? " and " : " or ");
    print_operand(expr, node->right, tight + 1, out);
    break;
  default: print_leaf(expr, node, out);
  }
}

void wn_expr_print(const wn_expr *expr, wn_buf *out) {
  print_node(expr, expr->root, out);
}
