/* What cpu_lstm.c does with vectors, for one kind of CPU: KIND names it, TARGET makes the compiler
   use it, LANES numbers are in a vector, of which a product keeps VECTORS for each of its rows. */

typedef float OWN(Floats) __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t OWN(Integers) __attribute__((vector_size(4 * LANES), aligned(4)));

#define AT(place) (*(OWN(Floats) *)(place))
#define INLINED TARGET static inline __attribute__((always_inline))

INLINED OWN(Floats) OWN(splat)(float x) {
    return x - (OWN(Floats)){0};
}

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

INLINED OWN(Floats) OWN(sigmoid)(OWN(Floats) x) {
    return 1.0f / (1.0f + OWN(exponential)(-x));
}

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

INLINED void OWN(block)(const int rows, const float *a, int64_t row_step, int64_t depth_step,
                        const float *b, int64_t depth, float *c, int64_t c_step, int adds) {
    OWN(Floats) sums[MOST_ROWS][VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = adds ? AT(c + r * c_step + v * LANES) : OWN(splat)(0.0f);
    for (int64_t k = 0; k < depth; k++) {
        OWN(Floats) right[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) right[v] = AT(b + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const float left = a[r * row_step];
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) sums[r][v] += left * right[v];
        }
        a += depth_step;
        b += PANEL;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) AT(c + r * c_step + v * LANES) = sums[r][v];
}

/* c (rows, columns) = or += a (rows, depth) times b, a panel (depth, PANEL). */
TARGET static void OWN(multiply)(const float *a, int64_t row_step, int64_t depth_step, const float *b,
                              int64_t rows, int64_t depth, float *c, int64_t c_step,
                              int64_t columns, int adds) {
    for (int64_t k = 0; k < depth || k == 0; k += DEPTH) {
        const int64_t deep = depth - k < DEPTH ? depth - k : DEPTH;
        for (int64_t row = 0; row < rows; row += MOST_ROWS) {
            const int count = (int)(rows - row < MOST_ROWS ? rows - row : MOST_ROWS);
            for (int64_t column = 0; column < columns; column += VECTORS * LANES) {
                const float *left = a + row * row_step + k * depth_step;
                const float *right = b + k * PANEL + column;
                float *out = c + row * c_step + column, edge[MOST_ROWS * PANEL];
                const int64_t left_over = columns - column;
                const int is_edge = left_over < VECTORS * LANES, more = adds || k > 0;
                float *to = is_edge ? edge : out;
                const int64_t step = is_edge ? PANEL : c_step;
                if (is_edge && more)
                    for (int r = 0; r < count; r++)
                        memcpy(edge + r * PANEL, out + r * c_step, left_over * sizeof(float));
#define ROWS(n)                                                                                \
    case n:                                                                                    \
        OWN(block)(n, left, row_step, depth_step, right, deep, to, step, more);                \
        break;
                switch (count) { ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) }
#undef ROWS
                if (is_edge)
                    for (int r = 0; r < count; r++)
                        memcpy(out + r * c_step, edge + r * PANEL, left_over * sizeof(float));
            }
        }
    }
}

/* One row of one panel: `gates` are the inputs' part and become the gates; `before` may be NULL. */
TARGET static void OWN(cell)(const float *products, float *gates, const float *before, float *cells,
                          float *outputs) {
    for (int k = 0; k < UNITS; k += LANES) {
        OWN(Floats) g[4];
        for (int gate = 0; gate < 4; gate++) {
            g[gate] = AT(gates + gate * UNITS + k);
            if (products != NULL) g[gate] += AT(products + gate * UNITS + k);
        }
        const OWN(Floats) in = OWN(sigmoid)(g[0]), forget = OWN(sigmoid)(g[1]),
                          new = OWN(hyperbolic)(g[2]), out = OWN(sigmoid)(g[3]);
        OWN(Floats) c = in * new;
        if (before != NULL) c += forget * AT(before + k);
        AT(gates + k) = in;
        AT(gates + UNITS + k) = forget;
        AT(gates + 2 * UNITS + k) = new;
        AT(gates + 3 * UNITS + k) = out;
        AT(cells + k) = c;
        AT(outputs + k) = out * OWN(hyperbolic)(c);
    }
}

TARGET static void OWN(cell_gradient)(const float *gates, const float *before, const float *cells,
                                   const float *dh, float *dc, float *d_gates) {
    for (int k = 0; k < UNITS; k += LANES) {
        const OWN(Floats) in = AT(gates + k), forget = AT(gates + UNITS + k),
                          new = AT(gates + 2 * UNITS + k), out = AT(gates + 3 * UNITS + k);
        const OWN(Floats) squashed = OWN(hyperbolic)(AT(cells + k)), d = AT(dh + k);
        const OWN(Floats) c = AT(dc + k) + d * out * (1.0f - squashed * squashed);
        const OWN(Floats) last = before != NULL ? AT(before + k) : OWN(splat)(0.0f);
        AT(d_gates + k) = c * new * in * (1.0f - in);
        AT(d_gates + UNITS + k) = c * last * forget * (1.0f - forget);
        AT(d_gates + 2 * UNITS + k) = c * in * (1.0f - new * new);
        AT(d_gates + 3 * UNITS + k) = d * squashed * out * (1.0f - out);
        AT(dc + k) = c * forget;
    }
}

static const Kernels OWN(kernels) = {OWN(multiply), OWN(cell), OWN(cell_gradient)};

#undef AT
#undef INLINED
#undef KIND
#undef TARGET
#undef LANES
#undef VECTORS
