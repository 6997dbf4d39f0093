#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/half.h"
#include "data/npy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A file in memory: version, header text, numbers. */
static wn_str npy(char *buf, int version, const char *header, const void *numbers, size_t bytes) {
  size_t len = strlen(header), at = version == 1 ? 10 : 12;
  memcpy(buf, "\x93NUMPY", 6);
  buf[6] = (char)version;
  buf[7] = 0;
  buf[8] = (char)(len & 255);
  buf[9] = (char)(len >> 8);
  if (version > 1) buf[10] = buf[11] = 0;
  memcpy(buf + at, header, len);
  memcpy(buf + at + len, numbers, bytes);
  return (wn_str){buf, at + len + bytes};
}

static void test_npy(void **state) {
  (void)state;
  static const char *const headers[] = {
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      \n",
      "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
      "{ 'shape' : ( 2 , 3 , ) , 'descr' : '<f4' , 'fortran_order' : False }\n"};
  const float x[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
  char buf[512];
  for (int v = 1; v <= 3; v++) {
    for (size_t h = 0; h < 3; h++) {
      wn_matrix m;
      wn_error err;
      float row[3];
      assert_int_equal(wn_npy_parse(npy(buf, v, headers[h], x, sizeof x), &m, &err), WN_OK);
      assert_int_equal(m.rows, 2);
      assert_int_equal(m.cols, 3);
      for (uint64_t r = 0; r < 2; r++) {
        assert_true(wn_matrix_row(&m, r, row));
        assert_memory_equal(row, x + 3 * r, sizeof row);
      }
    }
  }
}

static void test_half(void **state) {
  (void)state;
  char buf[256];
  for (uint32_t bits = 0; bits < 65536; bits++) {
    int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
    double sign = (bits & 0x8000) != 0 ? -1 : 1;
    double naive = exponent == 0    ? sign * ldexp(mantissa, -24)
                   : exponent == 31 ? (mantissa == 0 ? sign * (double)INFINITY : (double)NAN)
                                    : sign * ldexp(1024 + mantissa, exponent - 25);
    float got = wn_half_to_float((uint16_t)bits);
    if (isnan(naive))
      assert_true(isnan(got));
    else
      assert_true((double)got == naive && (signbit(got) != 0) == ((bits & 0x8000) != 0));
  }
  const uint16_t x[2] = {0x3c00, 0x7c00}; /* 1 and infinity */
  wn_matrix m;
  wn_error err;
  float row;
  wn_str file = npy(buf, 1, "{'descr':'<f2','fortran_order':False,'shape':(2,1)}", x, sizeof x);
  assert_int_equal(wn_npy_parse(file, &m, &err), WN_OK);
  assert_true(wn_matrix_row(&m, 0, &row) && row == 1);
  assert_false(wn_matrix_row(&m, 1, &row));
}

static void test_npy_refused(void **state) {
  (void)state;
  const float x[6] = {0};
  static const struct {
    const char *header, *says;
    wn_status status;
  } cases[] = {
      {"{'descr':'<f8','fortran_order':False,'shape':(2,3)}", "is <f8", WN_E_UNSUPPORTED},
      {"{'descr':'>f4','fortran_order':False,'shape':(2,3)}", "is >f4", WN_E_UNSUPPORTED},
      {"{'descr':'\xff','fortran_order':False,'shape':(2,3)}", "something", WN_E_UNSUPPORTED},
      {"{'descr':'<f4','fortran_order':True,'shape':(2,3)}", "ascontiguous", WN_E_UNSUPPORTED},
      {"{'descr':'<f4','fortran_order':False,'shape':(6,)}", "two dimensions, has 1",
       WN_E_UNSUPPORTED},
      {"{'descr':'<f4','fortran_order':False,'shape':(1,2,3)}", "has 3", WN_E_UNSUPPORTED},
      {"{'descr':'<f4','fortran_order':False,'shape':()}", "has 0", WN_E_UNSUPPORTED},
      {"{'descr':'<f4','fortran_order':False,'shape':(2,4)}", "are not the 24 bytes", WN_E_FORMAT},
      {"{'descr':'<f4','fortran_order':False,'shape':(4611686018427387904,4611686018427387904)}",
       "are not", WN_E_FORMAT},
      {"{'descr':'<f4','fortran_order':False,'shape':(99999999999999999999,1)}", "must hold",
       WN_E_FORMAT},
      {"{'descr':'<f4','fortran_order':False,'shape':(-2,3)}", "must hold", WN_E_FORMAT},
      {"{'descr':'<f4','fortran_order':False}", "must hold", WN_E_FORMAT},
      {"{'descr':'<f4','fortran_order':0,'shape':(2,3)}", "must hold", WN_E_FORMAT},
      {"{'descr':[('a','<f4')],'fortran_order':False,'shape':(2,3)}", "must hold", WN_E_FORMAT},
      {"{'descr':'<f4','fortran_order':False,'shape':(2,3),'more':1}", "must hold", WN_E_FORMAT},
      {"{'descr':'<f4','fortran_order':False,'shape':(2,3)} x", "must hold", WN_E_FORMAT},
      {"{'descr':'<f4,'fortran_order':False,'shape':(2,3)}", "must hold", WN_E_FORMAT},
      {"", "must hold", WN_E_FORMAT},
  };
  char buf[512];
  wn_matrix m;
  wn_error err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    wn_str file = npy(buf, 1, cases[i].header, x, sizeof x);
    if (wn_npy_parse(file, &m, &err) != cases[i].status ||
        strstr(err.message, cases[i].says) == NULL)
      fail_msg("%s: %s", cases[i].header, err.message);
  }
  wn_str whole = npy(buf, 2, "{'descr':'<f4','fortran_order':False,'shape':(2,3)}", x, sizeof x);
  for (size_t len = 0; len < whole.len; len++)
    assert_int_not_equal(wn_npy_parse((wn_str){buf, len}, &m, &err), WN_OK);
  buf[6] = 4;
  assert_int_equal(wn_npy_parse(whole, &m, &err), WN_E_UNSUPPORTED);
  buf[6] = 2, buf[10] = 1; /* a header of more than 64 KiB */
  assert_int_equal(wn_npy_parse(whole, &m, &err), WN_E_FORMAT);
}

static wn_str safetensors(char *buf, const char *header, size_t bytes) {
  uint64_t len = strlen(header);
  memcpy(buf, &len, 8);
  memcpy(buf + 8, header, len);
  for (size_t i = 0; i < bytes; i++) buf[8 + len + i] = (char)i;
  return (wn_str){buf, 8 + (size_t)len + bytes};
}

static void test_safetensors(void **state) {
  (void)state;
  char buf[1024];
  wn_matrix m;
  wn_error err;
  float row[4];
  wn_str file = safetensors(buf,
                            "{\"__metadata__\":{\"a\":\"b\"},\"x\":{\"dtype\":\"I8\",\"shape\":[2,"
                            "4],\"data_offsets\":[0,8]},"
                            "\"y\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
                            16);
  assert_int_equal(wn_safetensors_find(file, "x", &m, &err), WN_OK);
  assert_true(m.rows == 2 && m.cols == 4 && wn_matrix_row(&m, 1, row) && row[3] == 7);
  assert_int_equal(wn_safetensors_find(file, "y", &m, &err), WN_OK);
  assert_true(m.rows == 2 && m.cols == 1 && wn_matrix_row(&m, 0, row) &&
              row[0] == (float)0x0b0a0908);
  assert_int_equal(wn_safetensors_find(file, "z", &m, &err), WN_E_NOT_FOUND);
  for (size_t len = 0; len < file.len; len++) {
    assert_int_not_equal(wn_safetensors_find((wn_str){buf, len}, "y", &m, &err), WN_OK);
  }
  static const char *const bad[] = {
      "[]",
      "{",
      "{\"x\":{}}",
      "{\"x\":{\"dtype\":\"I8\",\"shape\":[2,4],\"data_offsets\":[0,9]}}",
      "{\"x\":{\"dtype\":\"I8\",\"shape\":[2,4],\"data_offsets\":[9,17]}}",
      "{\"x\":{\"dtype\":\"I8\",\"shape\":[2,4],\"data_offsets\":[8,0]}}",
      "{\"x\":{\"dtype\":\"I8\",\"shape\":[-2,-4],\"data_offsets\":[0,8]}}",
      "{\"x\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}",
      "{\"x\":{\"dtype\":\"I8\",\"shape\":[2,2,2],\"data_offsets\":[0,8]}}",
      "{\"x\":{\"dtype\":\"I8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    wn_status status = wn_safetensors_find(safetensors(buf, bad[i], 16), "x", &m, &err);
    assert_true(status == WN_E_FORMAT || status == WN_E_UNSUPPORTED);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_npy),
      cmocka_unit_test(test_half),
      cmocka_unit_test(test_npy_refused),
      cmocka_unit_test(test_safetensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
