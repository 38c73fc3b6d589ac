/* SPDX-License-Identifier: Apache-2.0 */
/* All sizes that were chosen by measuring, or by what registers and caches hold, in one table. They
   change the speed; of the results they change the rounding at most. A tile is what stays in
   registers, a block or a chunk what stays in a cache.

   They were measured on two cores of an AMD EPYC with AVX-512, each with 32 KB of L1 and 1 MB of
   L2. To measure one again, change it, run `python setup.py build_ext --inplace`, and then the
   command above its group, in turns with the unchanged tree, on an idle machine. */

#ifndef OBJECT2VEC_CPU_SIZES_H
#define OBJECT2VEC_CPU_SIZES_H

/* kernels.c, means.h: python -m benchmarks train --workload W1 G-dense --variant ours */
#define ADAM_BLOCK 16384     /* elements that a thread updates at a time, whole memory pages */
#define GRADIENT_CHUNK 512   /* elements of a row whose gradient is summed up at a time */
#define PREFETCH_DISTANCE 16 /* a row is prefetched this many rows before it is read */
#define MEAN_TILE_VECTORS 8  /* vectors of a mean that are summed up in registers */

/* products.h: python -m benchmarks train --workload W4-512-256 --variant ours */
#define TILE_ROWS 6                        /* rows of a product that are summed up in registers */
#define TILE_VECTORS (LANES == 16 ? 4 : 2) /* vectors of each of these rows */
#define DEPTH_CHUNK 512 /* depth at a time, so that this part of a panel stays in the cache */

/* lstm.c: the same command */
#define LSTM_CHUNK_ROWS 48 /* rows that a thread multiplies at a time */

/* convolutions.c: python -m benchmarks inference --workload hcnn --variant ours */
#define CHUNK_COLUMNS 192 /* tokens at a time, whose layers stay in L2; one list may have more */
#define TILE_FILTERS (LANES == 16 ? 8 : 4) /* filters whose sums stay in registers */
#define TILE_COLUMN_VECTORS 3              /* vectors of columns of each of them */

/* scorer.c: python -m benchmarks inference --workload pooled --variant ours */
#define CHUNK_PAIRS 96    /* pairs at a time, so that their elements stay in L2 */
#define TILE_PAIRS 4      /* pairs for which the weights are read once */
#define TILE_OUTPUTS 4    /* outputs of a layer that are summed up in registers */
#define PACK_MIN_PAIRS 32 /* from this many pairs on, packing the weights into panels pays */

#endif
