/* SPDX-License-Identifier: Apache-2.0 */
/* All sizes that were chosen by measuring, or by what registers and caches hold, in one table. They
   change the speed; of the results they change the rounding at most.

   They were measured on two cores of an AMD EPYC with AVX-512, each with 32 KB of L1 and 1 MB of
   L2. To measure one again, change it, run `python setup.py build_ext --inplace`, and then the
   command above its group, in turns with the tree as it was, on a machine that is idle. */

#ifndef OBJECT2VEC_CPU_SIZES_H
#define OBJECT2VEC_CPU_SIZES_H

/* kernels.c, means.h: python -m benchmarks train --workload W1 G-dense --variant ours */
#define BLOCK 16384 /* elements that a thread updates at a time: pages, so no shared cache line */
#define PART 512    /* elements of a row whose gradient is summed up at a time */
#define AHEAD 16    /* a row is prefetched so many rows before it is read */
#define MOST_SUMS 8 /* vectors of a mean that are summed up in registers */

/* products.h: python -m benchmarks train --workload W4-512-256 --variant ours */
#define MOST_ROWS 6                   /* rows of a product that are summed up in registers */
#define VECTORS (LANES == 16 ? 4 : 2) /* and how many vectors of each of them */
#define DEPTH 512 /* depth of a product at a time, so that its part of a panel stays in the cache */

/* lstm.c: the same command */
#define LSTM_ROWS 48 /* rows that a thread multiplies at a time */

/* convolutions.c: python -m benchmarks inference --workload hcnn --variant ours */
#define COLUMNS 192 /* tokens at a time, whose layers stay in L2; more if a list is longer */
#define FILTERS (LANES == 16 ? 8 : 4) /* filters whose sums stay in registers, */
#define MOST_VECTORS 3                /* each in so many vectors of columns */

/* scorer.c: python -m benchmarks inference --workload pooled --variant ours */
#define PAIRS 96       /* pairs at a time, so that their elements stay in L2 */
#define MOST_PAIRS 4   /* pairs that share one reading of the weights */
#define OUTPUTS 4      /* outputs of a layer at a time */
#define PACKED_FROM 32 /* with so many pairs, packing the weights into panels pays off */

#endif
