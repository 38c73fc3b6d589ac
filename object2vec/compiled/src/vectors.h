/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of one instruction set, and functions of all their elements; included for each of
   them. */

typedef float SIMD(Floats) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t SIMD(Integers) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* The vector that starts at any address, to load or to store it. */
#define AT(address) (*(SIMD(Floats) *)(address))
#define INLINED TARGET static inline __attribute__((always_inline))

INLINED SIMD(Floats) SIMD(splat)(float x) { return x - (SIMD(Floats)){0}; }

/* Of each element `yes` where the mask is all ones, `no` where it is 0. */
INLINED SIMD(Floats) SIMD(select)(SIMD(Integers) mask, SIMD(Floats) yes, SIMD(Floats) no) {
    return (SIMD(Floats))(((SIMD(Integers))yes & mask) | ((SIMD(Integers))no & ~mask));
}

/* exp and tanh are those of Cephes, expf and tanhf: Moshier, netlib.org/cephes. */
INLINED SIMD(Floats) SIMD(exp)(SIMD(Floats) x) {
    x = SIMD(select)(x < -87.0f, SIMD(splat)(-87.0f), x);
    x = SIMD(select)(x > 88.0f, SIMD(splat)(88.0f), x);
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: a sum with it has no fraction left */
    const SIMD(Floats) n = (x * 1.44269504088896341f + to_integer) - to_integer;
    const SIMD(Floats) r = x - n * 0.693359375f + n * 2.12194440e-4f;
    SIMD(Floats) y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    const SIMD(Integers) power = (__builtin_convertvector(n, SIMD(Integers)) + 127) << 23;
    return y * (SIMD(Floats))power;
}

INLINED SIMD(Floats) SIMD(sigmoid)(SIMD(Floats) x) { return 1.0f / (1.0f + SIMD(exp)(-x)); }

INLINED SIMD(Floats) SIMD(tanh)(SIMD(Floats) x) {
    const SIMD(Floats) z = x * x;
    SIMD(Floats) y = z * -5.70498872745e-3f + 2.06390887954e-2f;
    y = y * z - 5.37397155531e-2f;
    y = y * z + 1.33314422036e-1f;
    y = y * z - 3.33332819422e-1f;
    y = y * z * x + x;
    const SIMD(Floats) large = 1.0f - 2.0f / (SIMD(exp)(2.0f * x) + 1.0f);
    return SIMD(select)(z < 0.390625f, y, large);
}
