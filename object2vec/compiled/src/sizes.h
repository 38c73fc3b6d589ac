/* SPDX-License-Identifier: Apache-2.0 */
/* Every size that was chosen by measuring, or by what registers and caches hold; no result hangs on
   any of them but by rounding.

   They were measured on two cores of an AMD EPYC with AVX-512, each with 32 KB of L1 and 1 MB of L2.
   To measure again: change one, `python setup.py build_ext --inplace`, then `python -m benchmarks`
   with `train --workload W1 G-dense` (rows), `train --workload W4-512-256` (LSTM) or `inference`
   (hcnn, scorer); before and after in turns, on a machine that does nothing else. */

#ifndef OBJECT2VEC_CPU_SIZES_H
#define OBJECT2VEC_CPU_SIZES_H

/* kernels.c: rows and parameters */
#define BLOCK 16384 /* elements that a thread takes at a time: pages, so no cache line is shared */
#define PART 512    /* elements of a row whose gradient is held at a time */
#define AHEAD 16    /* rows of a table that are asked for before they are read */
#define MOST_SUMS (LANES == 16 ? 20 : 12) /* vectors whose sums fit into the registers */

/* panels.h: products; PANEL is in interface.h */
#define MOST_ROWS 6                   /* of a product that are kept in registers */
#define VECTORS (LANES == 16 ? 4 : 2) /* for each of them */
#define DEPTH 512 /* of a product at a time, so that a panel stays in the cache */

/* lstm.c */
#define LSTM_ROWS 48 /* that a thread takes at a time */

/* convolutions.c */
#define COLUMNS 192 /* at a time, unless one list has more: a layer's stay in the L2 cache */
#define FILTERS (LANES == 16 ? 8 : 4) /* whose outputs in MOST_VECTORS vectors fit into registers */
#define MOST_VECTORS 3

/* scorer.c */
#define PAIRS 96       /* at a time, whose elements stay in the L2 cache */
#define MOST_PAIRS 4   /* that share one reading of the weights */
#define OUTPUTS 4      /* of a layer at a time */
#define PACKED_FROM 32 /* pairs that are worth the time of putting weights into panels */

#endif
