/* Sources: Devlin et al., "BERT" (2018), its BasicTokenizer and WordpieceTokenizer; where these and
 * Hugging Face's tokenizers (BertNormalizer, BertPreTokenizer, WordPiece) differ, the latter.
 *
 * Departures: letters whose decomposition leaves several characters (43 Indic ones) and
 * compatibility forms of Han characters are not decomposed; a special token's name in a text
 * ("[SEP]") is read as text. Costs: one pass; a word of n characters at most n look-ups a piece. No
 * memory. */
#include "model/wordpiece.h"

#include <string.h>

typedef struct bert_range {
  uint32_t first, last;
} bert_range;
typedef struct bert_pair {
  uint32_t from, to;
} bert_pair;
typedef struct bert_run {
  uint32_t first, last;
  int32_t step, delta;
} bert_run;

#include "model/bert_tables.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static bool within(const bert_range *table, size_t len, uint32_t c) {
  size_t low = 0, high = len;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (c > table[middle].last)
      low = middle + 1;
    else
      high = middle;
  }
  return low < len && c >= table[low].first;
}

static uint32_t bare_of(uint32_t c) {
  size_t low = 0, high = COUNT(bare_letters);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (bare_letters[middle].from < c)
      low = middle + 1;
    else
      high = middle;
  }
  return low < COUNT(bare_letters) && bare_letters[low].from == c ? bare_letters[low].to : c;
}

static uint32_t lower_of(uint32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
  if (c == 0x130) return 'i'; /* the one that becomes two: an i and a dot, which is a mark */
  size_t low = 0, high = COUNT(lower_runs);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (c > lower_runs[middle].last)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == COUNT(lower_runs) || c < lower_runs[low].first) return c;
  const bert_run *run = &lower_runs[low];
  return (c - run->first) % (uint32_t)run->step == 0 ? (uint32_t)((int32_t)c + run->delta) : c;
}

static bool is_blank(uint32_t c) {
  return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

static bool is_control(uint32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return c < 0x20 || c == 0x7F || c == 0xFFFD ||
         (c >= 0x80 && within(controls, COUNT(controls), c));
}

static bool is_punctuation(uint32_t c) {
  if (c < 0x80)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  return within(punctuation, COUNT(punctuation), c);
}

static bool is_han(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

/* A word being gathered, behind room for the prefix of continuing pieces. */
typedef struct gathered {
  const wn_wordpiece *w;
  wn_wordpiece_fn *each;
  void *ctx;
  uint32_t chars;
  uint32_t end[WN_WORDPIECE_CHARS_MAX + 1]; /* where each character ends */
  char bytes[WN_WORDPIECE_PREFIX_MAX + 4 * WN_WORDPIECE_CHARS_MAX];
} gathered;

static size_t encode(uint32_t c, char out[4]) {
  static const unsigned char mark[5] = {0, 0, 0xC0, 0xE0, 0xF0};
  size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = len; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)(mark[len] | c);
  return len;
}

static void push(gathered *word, uint32_t c) {
  if (word->chars++ >= word->w->chars_max) return; /* too long: counted, not kept */
  uint32_t at = word->end[word->chars - 1];
  word->end[word->chars] = at + (uint32_t)encode(c, word->bytes + at);
}

/* The longest token at character `from`, and the character behind it; WN_NO_IX: none. */
static uint32_t longest(gathered *word, uint32_t from, uint32_t *behind) {
  const wn_wordpiece *w = word->w;
  char kept[WN_WORDPIECE_PREFIX_MAX];
  size_t prefix = from > 0 ? strlen(w->prefix) : 0, begin = word->end[from] - prefix;
  uint32_t found = WN_NO_IX, to = word->chars;
  memcpy(kept, word->bytes + begin, prefix); /* the prefix stands there while we look */
  memcpy(word->bytes + begin, w->prefix, prefix);
  for (; to > from && found == WN_NO_IX; to--) {
    size_t len = word->end[to] - begin;
    if (len <= w->token_bytes) found = wn_dict_find(w->tokens, (wn_str){word->bytes + begin, len});
  }
  memcpy(word->bytes + begin, kept, prefix);
  *behind = to + 1;
  return found;
}

/* Greedy, longest piece first; a word with one unknown piece is unknown as a whole. */
static bool flush(gathered *word) {
  uint32_t piece[WN_WORDPIECE_CHARS_MAX], n = 0, chars = word->chars;
  if (chars == 0) return true;
  bool known = chars <= word->w->chars_max;
  for (uint32_t at = 0; known && at < chars;) {
    piece[n] = longest(word, at, &at);
    known = piece[n] != WN_NO_IX && piece[n] != word->w->unknown;
    n++;
  }
  word->chars = 0;
  if (!known) return word->each(word->ctx, WN_NO_IX);
  for (uint32_t i = 0; i < n; i++)
    if (!word->each(word->ctx, piece[i])) return false;
  return true;
}

/* A character behind the normaliser. */
static bool take(gathered *word, uint32_t c) {
  if (word->w->lower) c = lower_of(c);
  bool alone = is_punctuation(c);
  if ((alone || is_blank(c)) && !flush(word)) return false;
  if (!is_blank(c)) push(word, c);
  return !alone || flush(word);
}

/* A Hangul syllable is its two or three letters. */
static bool take_hangul(gathered *word, uint32_t c) {
  uint32_t s = c - 0xAC00;
  return take(word, 0x1100 + s / 588) && take(word, 0x1161 + s % 588 / 28) &&
         (s % 28 == 0 || take(word, 0x11A7 + s % 28));
}

bool wn_wordpiece_split(const wn_wordpiece *w, wn_str text, wn_wordpiece_fn *each, void *ctx) {
  gathered word = {.w = w, .each = each, .ctx = ctx};
  word.end[0] = WN_WORDPIECE_PREFIX_MAX;
  for (size_t pos = 0; pos < text.len;) {
    uint32_t c = wn_utf8_next(text, &pos);
    if (w->clean && (c == 0 || is_control(c))) continue;
    bool han = w->split_han && is_han(c);
    if (han && !flush(&word)) return false;
    bool going;
    if (w->bare && c >= 0xAC00 && c <= 0xD7A3) {
      going = take_hangul(&word, c);
    } else {
      if (w->bare && c >= 0x80) {
        if (within(marks, COUNT(marks), c)) continue;
        c = bare_of(c);
      }
      going = take(&word, c);
    }
    if (!going || (han && !flush(&word))) return false;
  }
  return flush(&word);
}
