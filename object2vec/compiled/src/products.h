/* SPDX-License-Identifier: Apache-2.0 */
/* Products with weights in panels (panels.h); included for each instruction set after vectors.h. */

/* A tile of the product below: up to TILE_ROWS rows and TILE_VECTORS vectors of columns, whose sums
   stay in registers over the whole depth. */
INLINED void SIMD(product_tile)(const int rows, const float *a, int64_t row_step,
                                int64_t depth_step, const float *b, int64_t depth, float *c,
                                int64_t c_step, int adds) {
    SIMD(Floats) sums[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < TILE_VECTORS; v++)
            sums[r][v] = adds ? AT(c + r * c_step + v * LANES) : SIMD(splat)(0.0f);
    for (int64_t k = 0; k < depth; k++) {
        SIMD(Floats) right[TILE_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < TILE_VECTORS; v++) right[v] = AT(b + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const float left = a[r * row_step];
#pragma GCC unroll 4
            for (int v = 0; v < TILE_VECTORS; v++) sums[r][v] += left * right[v];
        }
        a += depth_step;
        b += PANEL;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < TILE_VECTORS; v++) AT(c + r * c_step + v * LANES) = sums[r][v];
}

/* c (rows, columns) = or, where `adds`, += a (rows, depth) times b, a panel (depth, PANEL). A tile
   at the right edge is computed in `edge`, so that nothing is written beyond the columns of c. */
TARGET static void SIMD(multiply)(const float *a, int64_t row_step, int64_t depth_step,
                                  const float *b, int64_t rows, int64_t depth, float *c,
                                  int64_t c_step, int64_t columns, int adds) {
    for (int64_t k = 0; k < depth || k == 0; k += DEPTH_CHUNK) {
        const int64_t deep = depth - k < DEPTH_CHUNK ? depth - k : DEPTH_CHUNK;
        for (int64_t row = 0; row < rows; row += TILE_ROWS) {
            const int count = (int)(rows - row < TILE_ROWS ? rows - row : TILE_ROWS);
            for (int64_t column = 0; column < columns; column += TILE_VECTORS * LANES) {
                const float *left = a + row * row_step + k * depth_step;
                const float *right = b + k * PANEL + column;
                float *out = c + row * c_step + column, edge[TILE_ROWS * PANEL];
                const int64_t remaining = columns - column;
                const int is_edge = remaining < TILE_VECTORS * LANES, more = adds || k > 0;
                float *to = is_edge ? edge : out;
                const int64_t step = is_edge ? PANEL : c_step;
                if (is_edge && more)
                    for (int r = 0; r < count; r++)
                        memcpy(edge + r * PANEL, out + r * c_step, remaining * sizeof(float));
#define ROWS(n) \
    case n: SIMD(product_tile)(n, left, row_step, depth_step, right, deep, to, step, more); break;
                switch (count) { ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) }
#undef ROWS
                if (is_edge)
                    for (int r = 0; r < count; r++)
                        memcpy(out + r * c_step, edge + r * PANEL, remaining * sizeof(float));
            }
        }
    }
}
