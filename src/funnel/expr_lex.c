/* Tokens of the filter language (grammar: expr.h). One pass, no look-back; a string's escapes are
 * resolved into a pool as large as the source, because unescaping never makes text longer. */

#include "funnel/expr_tree.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void place_of(wn_str text, size_t at, long *line, long *column) {
  *line = 1;
  *column = 1;
  for (size_t i = 0; i < at && i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c == '\n') {
      (*line)++;
      *column = 1;
    } else if ((c & 0xC0) != 0x80) {
      (*column)++;
    }
  }
}

wn_status wn_lexer_fail(const wn_lexer *lexer, size_t at, wn_error *err, const char *format, ...) {
  char message[256];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  wn_status status = wn_fail(err, WN_E_ARGUMENT, lexer->field, "%s", message);
  if (err != NULL) place_of(lexer->text, at, &err->line, &err->column);
  return status;
}

static bool name_starts(unsigned char c) {
  return isalpha(c) || c == '_' || c >= 0x80;
}
static bool name_goes_on(unsigned char c) {
  return name_starts(c) || isdigit(c) || c == '.' || c == '-';
}

bool wn_name_is_plain(wn_str name) {
  static const char *const keywords[] = {"and", "or", "not", "in", "true", "false"};
  if (name.len == 0 || !name_starts((unsigned char)name.ptr[0])) return false;
  for (size_t i = 1; i < name.len; i++) {
    if (!name_goes_on((unsigned char)name.ptr[i])) return false;
  }
  for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
    if (wn_str_is(name, keywords[i])) return false;
  }
  return true;
}

static wn_status lex_name(wn_lexer *lexer, wn_token *token, wn_error *err) {
  const char *text = lexer->text.ptr;
  size_t begin = lexer->pos, end = begin;
  token->kind = WN_TOKEN_NAME;
  token->quoted = text[begin] == '`';
  if (token->quoted) {
    for (end = begin + 1; end < lexer->text.len && text[end] != '`';) {
      if ((unsigned char)text[end] < 0x20) break;
      end++;
    }
    if (end >= lexer->text.len || text[end] != '`') {
      return wn_lexer_fail(lexer, begin, err, "the name that begins here lacks its closing `");
    }
    token->value = (wn_str){text + begin + 1, end - begin - 1};
    end++;
  } else {
    while (end < lexer->text.len && name_goes_on((unsigned char)text[end])) end++;
    token->value = (wn_str){text + begin, end - begin};
  }
  if (token->value.len == 0 || token->value.len > 64) {
    return wn_lexer_fail(lexer, begin, err, "a name has 1 to 64 bytes, this one has %zu",
                         token->value.len);
  }
  lexer->pos = end;
  return WN_OK;
}

static wn_status unescape(wn_lexer *lexer, size_t at, char *out, wn_error *err) {
  switch (at < lexer->text.len ? lexer->text.ptr[at] : 0) {
  case 'n': *out = '\n'; return WN_OK;
  case 't': *out = '\t'; return WN_OK;
  case '\\': *out = '\\'; return WN_OK;
  case '"': *out = '"'; return WN_OK;
  case '\'': *out = '\''; return WN_OK;
  default:
    return wn_lexer_fail(lexer, at - 1, err,
                         "unknown escape: expected \\\\, \\\", \\', \\n or \\t");
  }
}

static wn_status lex_string(wn_lexer *lexer, wn_token *token, wn_error *err) {
  const char *text = lexer->text.ptr;
  size_t begin = lexer->pos, i = begin + 1;
  char quote = text[begin];
  char *out = lexer->pool + lexer->pool_len;
  size_t len = 0;
  for (; i < lexer->text.len && text[i] != quote; i++) {
    if ((unsigned char)text[i] < 0x20 && text[i] != '\t') break;
    char c = text[i];
    if (c == '\\') {
      wn_status status = unescape(lexer, ++i, &c, err);
      if (status != WN_OK) return status;
    }
    out[len++] = c;
  }
  if (i >= lexer->text.len || text[i] != quote) {
    return wn_lexer_fail(lexer, begin, err, "the string that begins here lacks its closing %c",
                         quote);
  }
  lexer->pool_len += len;
  lexer->pos = i + 1;
  token->kind = WN_TOKEN_STRING;
  token->value = (wn_str){out, len};
  return WN_OK;
}

static wn_status lex_number(wn_lexer *lexer, wn_token *token, wn_error *err) {
  const char *text = lexer->text.ptr;
  size_t begin = lexer->pos, end = begin + 1;
  while (end < lexer->text.len) {
    unsigned char c = (unsigned char)text[end];
    bool sign = (c == '+' || c == '-') && (text[end - 1] == 'e' || text[end - 1] == 'E');
    if (!isalnum(c) && c != '.' && !sign) break;
    end++;
  }
  token->kind = WN_TOKEN_NUMBER;
  wn_str digits = {text + begin, end - begin};
  if (!wn_parse_double(digits, &token->number)) {
    return wn_lexer_fail(lexer, begin, err, "\"%.*s\" is not a number",
                         (int)(digits.len < 40 ? digits.len : 40), digits.ptr);
  }
  if (token->number == 0) token->number = 0; /* −0 and 0 are one value, and print as one */
  lexer->pos = end;
  return WN_OK;
}

/* The habits of other languages, each with a word of help. */
static const char *habit_of(char c, char next) {
  if (c == '=') return "\"=\" is not an operator: expected == to compare";
  if (c == '!') return "\"!\" is not an operator: expected not, or != to compare";
  if (c == '&') return next == '&' ? "\"&&\" is not an operator: expected and" : NULL;
  if (c == '|') return next == '|' ? "\"||\" is not an operator: expected or" : NULL;
  return NULL;
}

static wn_status lex_symbol(wn_lexer *lexer, wn_token *token, wn_error *err) {
  static const struct {
    const char *text;
    wn_expr_op op;
  } ops[] = {{"==", WN_OP_EQ}, {"!=", WN_OP_NE}, {"<=", WN_OP_LE},
             {">=", WN_OP_GE}, {"<", WN_OP_LT},  {">", WN_OP_GT}};
  const char *at = lexer->text.ptr + lexer->pos;
  size_t left = lexer->text.len - lexer->pos;
  if (memchr("()[],", at[0], 5) != NULL) {
    token->kind = WN_TOKEN_MARK;
    token->mark = at[0];
    lexer->pos++;
    return WN_OK;
  }
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    size_t len = strlen(ops[i].text);
    if (len > left || memcmp(at, ops[i].text, len) != 0) continue;
    token->kind = WN_TOKEN_OP;
    token->op = ops[i].op;
    lexer->pos += len;
    return WN_OK;
  }
  const char *habit = habit_of(at[0], left > 1 ? at[1] : '\0');
  if (habit != NULL) return wn_lexer_fail(lexer, lexer->pos, err, "%s", habit);
  if (isprint((unsigned char)at[0])) {
    return wn_lexer_fail(lexer, lexer->pos, err, "unexpected \"%c\"", at[0]);
  }
  return wn_lexer_fail(lexer, lexer->pos, err, "unexpected byte 0x%02X", (unsigned char)at[0]);
}

wn_status wn_lexer_next(wn_lexer *lexer, wn_token *token, wn_error *err) {
  wn_str text = lexer->text;
  while (lexer->pos < text.len && memchr(" \t\r\n", text.ptr[lexer->pos], 4) != NULL) lexer->pos++;
  memset(token, 0, sizeof *token);
  size_t begin = lexer->pos;
  wn_status status = WN_OK;
  if (begin < text.len) {
    unsigned char c = (unsigned char)text.ptr[begin];
    if (c == '"' || c == '\'') {
      status = lex_string(lexer, token, err);
    } else if (name_starts(c) || c == '`') {
      status = lex_name(lexer, token, err);
    } else if (isdigit(c) || c == '-' || c == '+' || c == '.') {
      status = lex_number(lexer, token, err);
    } else {
      status = lex_symbol(lexer, token, err);
    }
  }
  token->text = (wn_str){text.ptr + begin, lexer->pos - begin};
  return status;
}
