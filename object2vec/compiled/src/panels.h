/* SPDX-License-Identifier: Apache-2.0 */
/* Panels: the layout in which products.h reads weights.

   Weights (outputs, depth) as MXNet keeps them:

              depth ->
     output 0   a0 a1 a2 ...
     output 1   b0 b1 b2 ...
     output 2   c0 c1 c2 ...

   A product multiplies one input with the weights of many outputs, a column of this matrix, whose
   elements lie far apart. So the weights are transposed and cut into panels of PANEL outputs, one
   panel after the other, with zeros after the last output. What one input is multiplied with is
   then contiguous:

     panel 0    a0 b0 c0 ... (PANEL elements)     panel 1    the same for outputs
                a1 b1 c1 ...                                 PANEL to 2 * PANEL - 1
                a2 b2 c2 ...

   A panel of an LSTM holds the four gates of UNITS units, all units of one gate side by side:

     input 0 ... input 15 | forget 0 ... forget 15 | candidate 0 ... 15 | output 0 ... output 15 */

#ifndef OBJECT2VEC_CPU_PANELS_H
#define OBJECT2VEC_CPU_PANELS_H

static inline int64_t panels_of(int64_t columns) { return (columns + PANEL - 1) / PANEL; }

/* Transpose PANEL rows of weights (…, depth) into a panel (depth, PANEL); row -1 gives zeros. */
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
