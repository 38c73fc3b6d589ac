/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of one kind of CPU; included for each of them. */

typedef float OWN(Floats) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t OWN(Integers) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define AT(place) (*(OWN(Floats) *)(place))
#define INLINED TARGET static inline __attribute__((always_inline))

INLINED OWN(Floats) OWN(splat)(float x) { return x - (OWN(Floats)){0}; }

INLINED OWN(Floats) OWN(choose)(OWN(Integers) mask, OWN(Floats) yes, OWN(Floats) no) {
    return (OWN(Floats))(((OWN(Integers))yes & mask) | ((OWN(Integers))no & ~mask));
}

/* Cephes' expf and tanhf: Moshier, netlib.org/cephes. */
INLINED OWN(Floats) OWN(exponential)(OWN(Floats) x) {
    x = OWN(choose)(x < -87.0f, OWN(splat)(-87.0f), x);
    x = OWN(choose)(x > 88.0f, OWN(splat)(88.0f), x);
    const float to_integer = 12582912.0f; /* 1.5 * 2^23 */
    const OWN(Floats) n = (x * 1.44269504088896341f + to_integer) - to_integer;
    const OWN(Floats) r = x - n * 0.693359375f + n * 2.12194440e-4f;
    OWN(Floats) y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    const OWN(Integers) power = (__builtin_convertvector(n, OWN(Integers)) + 127) << 23;
    return y * (OWN(Floats))power;
}

INLINED OWN(Floats) OWN(sigmoid)(OWN(Floats) x) { return 1.0f / (1.0f + OWN(exponential)(-x)); }

INLINED OWN(Floats) OWN(hyperbolic)(OWN(Floats) x) {
    const OWN(Floats) z = x * x;
    OWN(Floats) y = z * -5.70498872745e-3f + 2.06390887954e-2f;
    y = y * z - 5.37397155531e-2f;
    y = y * z + 1.33314422036e-1f;
    y = y * z - 3.33332819422e-1f;
    y = y * z * x + x;
    const OWN(Floats) far = 1.0f - 2.0f / (OWN(exponential)(2.0f * x) + 1.0f);
    return OWN(choose)(z < 0.390625f, y, far);
}
