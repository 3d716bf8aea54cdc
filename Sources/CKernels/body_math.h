// Elementary functions over vectors. Included by each vector form after its vector_*.h.

/// e^x within about 1 ulp: x = n ln 2 + r, a polynomial of degree 7 in r (Cephes' expf), then 2^n. Below -104 exactly 0,
/// above 89 infinity, NaN stays NaN.
MT_INLINE vf v_exp(vf x) {
  x = v_clamp(x, -104.0f, 89.0f);
  vf n = v_round(v_mul(x, v_set(1.44269504088896341f)));
  vf r = v_fnma(n, v_set(0x1.62e4p-1f), x);      // ln 2 in two parts; n times the first is exact
  r = v_fnma(n, v_set(0x1.7f7d1cp-20f), r);
  vf p = v_set(1.9875691500e-4f);
  p = v_fma(p, r, v_set(1.3981999507e-3f));
  p = v_fma(p, r, v_set(8.3334519073e-3f));
  p = v_fma(p, r, v_set(4.1665795894e-2f));
  p = v_fma(p, r, v_set(1.6666665459e-1f));
  p = v_fma(p, r, v_set(5.0000001201e-1f));
  p = v_add(v_fma(p, v_mul(r, r), r), v_set(1.0f));
  return v_scale_by_power(p, n);
}

MT_INLINE vf v_sigmoid(vf x) { return v_div(v_set(1.0f), v_add(v_set(1.0f), v_exp(v_sub(v_set(0.0f), x)))); }

/// tanh within about 2 ulp: Cephes' polynomial below 0.625, 1 - 2 / (e^2x + 1) above.
MT_INLINE vf v_tanh(vf x) {
  vf z = v_mul(x, x), a = v_abs(x);
  vf p = v_set(-5.70498872745e-3f);
  p = v_fma(p, z, v_set(2.06390887954e-2f));
  p = v_fma(p, z, v_set(-5.37397155531e-2f));
  p = v_fma(p, z, v_set(1.33314422036e-1f));
  p = v_fma(p, z, v_set(-3.33332819422e-1f));
  vf near = v_fma(v_mul(p, z), x, x);
  vf far = v_sub(v_set(1.0f), v_div(v_set(2.0f), v_add(v_exp(v_add(a, a)), v_set(1.0f))));
  return v_if_less(a, v_set(0.625f), near, v_copysign(far, x));
}

/// erf within about 2 ulp (N. Juffa's two branches).
MT_INLINE vf v_erf(vf x) {
  vf t = v_abs(x), s = v_mul(x, x);
  vf r = v_fma(v_set(-1.72853470e-5f), t, v_set(3.83197126e-4f));
  vf u = v_fma(v_set(-3.88396438e-3f), t, v_set(2.42546219e-2f));
  r = v_fma(r, s, u);
  r = v_fma(r, t, v_set(-1.06777877e-1f));
  r = v_fma(r, t, v_set(-6.34846687e-1f));
  r = v_fma(r, t, v_set(-1.28717512e-1f));
  r = v_fma(r, t, v_sub(v_set(0.0f), t));
  // Beyond 9.3 the polynomial has no meaning, but e^r has long been 0 there.
  r = v_if_less(v_set(9.0f), t, v_set(-104.0f), r);
  vf far = v_copysign(v_sub(v_set(1.0f), v_exp(r)), x);
  r = v_set(-5.96761703e-4f);
  r = v_fma(r, s, v_set(4.99119423e-3f));
  r = v_fma(r, s, v_set(-2.67681349e-2f));
  r = v_fma(r, s, v_set(1.12819925e-1f));
  r = v_fma(r, s, v_set(-3.76125336e-1f));
  r = v_fma(r, s, v_set(1.28379166e-1f));
  return v_if_less(v_set(0.927734375f), t, far, v_fma(r, x, x));
}
