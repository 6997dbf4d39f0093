/* Special functions. Incomplete beta and gamma: continued fractions by Lentz's method and the power
 * series (Numerical Recipes §6.2, §6.4; DLMF 8.9 and 8.17.22). Normal quantile: Acklam's rational
 * approximation, then Halley steps on erfc. ln Γ: Stirling's series after shifting the argument
 * (DLMF 5.11.1); the C library's lgamma writes a global. */
#include "base/special.h"

#include <float.h>
#include <math.h>

#define SQRT2    1.41421356237309504880
#define PI       3.14159265358979323846
#define LENTZ    1e-300
#define STEPS    100000
#define PRECISE  1e-16
#define SHIFT_TO 15.0

double wn_normal_cdf(double x) {
  return 0.5 * erfc(-x / SQRT2);
}

double wn_normal_pdf(double x) {
  return exp(-0.5 * x * x) / sqrt(2 * PI);
}

static double acklam(double p) {
  static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                             1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                             6.680131188771972e+01, -1.328068155288572e+01};
  static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                             -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                             3.754408661907416e+00};
  if (p > 0.5) return -acklam(1 - p);
  if (p < 0.02425) {
    double q = sqrt(-2 * log(p));
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  }
  double q = p - 0.5, r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

double wn_normal_quantile(double p) {
  if (!(p > 0 && p < 1)) return NAN;
  if (p > 0.5) return -wn_normal_quantile(1 - p); /* erfc is exact in the lower tail */
  double x = acklam(p);
  for (int i = 0; i < 3; i++) {
    double u = (wn_normal_cdf(x) - p) / wn_normal_pdf(x);
    x -= u / (1 + x * u / 2);
  }
  return x;
}

double wn_lgamma(double x) {
  static const double series[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                                  1.0 / 1188, -691.0 / 360360, 1.0 / 156,  -3617.0 / 122400};
  if (!(x > 0)) return NAN;
  double shift = 1, sum = 0;
  while (x < SHIFT_TO) shift *= x++;
  double power = 1 / x, square = power * power;
  for (size_t k = 0; k < sizeof series / sizeof *series; k++, power *= square)
    sum += series[k] * power;
  return (x - 0.5) * log(x) - x + 0.5 * log(2 * PI) + sum - log(shift);
}

double wn_lbeta(double a, double b) {
  return wn_lgamma(a) + wn_lgamma(b) - wn_lgamma(a + b);
}

/* DLMF 8.17.22 */
static double beta_fraction(double x, double a, double b) {
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (fabs(d) < LENTZ ? LENTZ : d);
  double h = d;
  for (int m = 1; m < STEPS; m++) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    for (int half = 0; half < 2; half++) {
      double term = half == 0 ? even : odd;
      d = 1 + term * d;
      c = 1 + term / c;
      if (fabs(d) < LENTZ) d = LENTZ;
      if (fabs(c) < LENTZ) c = LENTZ;
      d = 1 / d;
      h *= d * c;
    }
    if (fabs(d * c - 1) < PRECISE * 2) break;
  }
  return h;
}

double wn_beta_cdf(double x, double a, double b) {
  if (!(a > 0 && b > 0 && x >= 0 && x <= 1)) return NAN;
  if (x == 0 || x == 1) return x;
  double front = exp(a * log(x) + b * log1p(-x) - wn_lbeta(a, b));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a
                                   : 1 - front * beta_fraction(1 - x, b, a) / b;
}

double wn_beta_pdf(double x, double a, double b) {
  if (!(a > 0 && b > 0 && x > 0 && x < 1)) return 0;
  return exp((a - 1) * log(x) + (b - 1) * log1p(-x) - wn_lbeta(a, b));
}

double wn_gamma_q(double a, double x) {
  if (!(a > 0 && x >= 0)) return NAN;
  if (x == 0) return 1;
  double front = exp(a * log(x) - x - wn_lgamma(a));
  if (x < a + 1) { /* series of P */
    double term = 1 / a, sum = term;
    for (double n = a + 1; fabs(term) > fabs(sum) * PRECISE; n++) sum += term *= x / n;
    return 1 - front * sum;
  }
  double b = x + 1 - a, c = 1 / LENTZ, d = 1 / b, h = d;
  for (int i = 1; i < STEPS; i++) {
    double term = -i * (i - a);
    b += 2;
    d = term * d + b;
    c = b + term / c;
    if (fabs(d) < LENTZ) d = LENTZ;
    if (fabs(c) < LENTZ) c = LENTZ;
    d = 1 / d;
    h *= d * c;
    if (fabs(d * c - 1) < PRECISE * 2) break;
  }
  return front * h;
}

double wn_t_two_sided(double t, double dof) {
  if (!(dof > 0) || isnan(t)) return NAN;
  return wn_beta_cdf(dof / (dof + t * t), dof / 2, 0.5);
}

double wn_t_cdf(double t, double dof) {
  double tail = wn_t_two_sided(t, dof) / 2;
  return t > 0 ? 1 - tail : tail;
}

typedef struct t_target {
  double tail, dof;
} t_target;

/* Increasing in −t: how far the upper tail is above the target. */
static double t_excess(double t, const void *ctx) {
  const t_target *target = ctx;
  return target->tail - wn_t_two_sided(t, target->dof) / 2;
}

double wn_t_quantile(double p, double dof) {
  if (!(p > 0 && p < 1 && dof > 0)) return NAN;
  if (p < 0.5) return -wn_t_quantile(1 - p, dof);
  t_target target = {1 - p, dof};
  double high = 1;
  while (t_excess(high, &target) < 0 && high < 1e150) high *= 2;
  return wn_root(t_excess, &target, 0, high);
}

double wn_chi2_sf(double x, double dof) {
  return wn_gamma_q(dof / 2, x / 2);
}

double wn_sign_test(double successes, double n) {
  double k = fmax(successes, n - successes);
  if (!(n > 0)) return 1;
  if (k * 2 == n) return 1;
  return fmin(1, 2 * wn_beta_cdf(0.5, k, n - k + 1)); /* P(X ≥ k) = I_½(k, n − k + 1) */
}

double wn_root(double (*f)(double x, const void *ctx), const void *ctx, double low, double high) {
  for (int i = 0; i < 2000; i++) {
    double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    if (f(middle, ctx) < 0)
      low = middle;
    else
      high = middle;
  }
  return low + (high - low) / 2;
}

double wn_integral(double (*f)(double x, const void *ctx), const void *ctx, double low, double high,
                   size_t panels) {
  static const double at[] = {0.0950125098376374, 0.2816035507792589, 0.4580167776572274,
                              0.6178762444026438, 0.7554044083550030, 0.8656312023878318,
                              0.9445750230732326, 0.9894009349916499};
  static const double weight[] = {0.1894506104550685, 0.1826034150449236, 0.1691565193950025,
                                  0.1495959888165767, 0.1246289712555339, 0.0951585116824928,
                                  0.0622535239386479, 0.0271524594117541};
  double half = (high - low) / (double)panels / 2, sum = 0;
  for (size_t panel = 0; panel < panels; panel++) {
    double middle = low + (2 * (double)panel + 1) * half;
    for (size_t i = 0; i < 8; i++)
      sum += weight[i] * (f(middle - half * at[i], ctx) + f(middle + half * at[i], ctx));
  }
  return sum * half;
}
