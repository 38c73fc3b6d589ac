/* SPDX-License-Identifier: Apache-2.0 */
/* Panels: the layout of weights that products.h multiplies with.

   Weights (outputs, depth), of which a product would read a column at a time:

              depth ->
     output 0   a0 a1 a2 ...
     output 1   b0 b1 b2 ...
     output 2   c0 c1 c2 ...

   stand turned, PANEL outputs side by side, and panel behind panel. What one input is multiplied
   with is a row of neighbours, zeros behind the last output:

     panel 0    a0 b0 c0 ... (PANEL elements)      panel 1    outputs PANEL to 2 * PANEL - 1
                a1 b1 c1 ...                                 ...
                a2 b2 c2 ...

   In an LSTM's panel stand UNITS units with four gates each; those of a unit stand UNITS apart:

     in 0 ... in 15 | forget 0 ... forget 15 | new 0 ... new 15 | out 0 ... out 15 */

#ifndef OBJECT2VEC_CPU_PANELS_H
#define OBJECT2VEC_CPU_PANELS_H

static inline int64_t panels_of(int64_t columns) { return (columns + PANEL - 1) / PANEL; }

/* Put some rows of weights (…, depth) side by side, (depth, PANEL); zeros for a row -1. */
static inline void pack_panel(const float *weights, int64_t depth, const int64_t rows[PANEL],
                              float *panel) {
    for (int64_t first = 0; first < depth; first += PANEL) {
        const int64_t end = depth - first < PANEL ? depth : first + PANEL;
        for (int64_t q = 0; q < PANEL; q++)
            for (int64_t k = first; k < end; k++)
                panel[k * PANEL + q] = rows[q] < 0 ? 0.0f : weights[rows[q] * depth + k];
    }
}
#endif
