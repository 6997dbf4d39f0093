/* SHA-256 against the vectors of FIPS 180-4's examples and of every length around a block. */
#include "harness.h"

#include "base/sha256.h"

static void check(const char *text, const char *want) {
  uint8_t hash[WN_SHA256_BYTES];
  char hex[2 * WN_SHA256_BYTES + 1];
  wn_sha256(wn_str_of(text), hash);
  wn_hex(hash, sizeof hash, hex);
  assert_string_equal(hex, want);
}

static void test_known(void **state) {
  (void)state;
  check("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  check("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* The hash of all hashes of "", "a", "aa" … 200 times: computed with Python's hashlib. */
static void test_lengths(void **state) {
  (void)state;
  char text[201], all[200 * WN_SHA256_BYTES];
  uint8_t hash[WN_SHA256_BYTES];
  char hex[2 * WN_SHA256_BYTES + 1];
  memset(text, 'a', sizeof text);
  for (size_t len = 0; len < 200; len++)
    wn_sha256((wn_str){text, len}, (uint8_t *)all + len * WN_SHA256_BYTES);
  wn_sha256((wn_str){all, sizeof all}, hash);
  wn_hex(hash, sizeof hash, hex);
  assert_string_equal(hex, "752c007f38611cfbf5fa42cb1cea3d8e086491c844d0cc4defd632cb81423506");
}

static void test_compare(void **state) {
  (void)state;
  char a[32] = "the same", b[32] = "the same";
  assert_true(wn_equal_constant_time(a, b, sizeof a));
  for (size_t i = 0; i < sizeof a; i++) {
    b[i] ^= 1;
    assert_false(wn_equal_constant_time(a, b, sizeof a));
    b[i] ^= 1;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_lengths),
                                     cmocka_unit_test(test_compare)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
