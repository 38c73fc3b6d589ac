/* SPDX-License-Identifier: Apache-2.0 */
/* Includes the file that FOR_EACH_ISA names once for each instruction set. The file writes
   SIMD(name) for each function and type of its own, which becomes name_avx2 and name_avx512;
   FOR_THIS_CPU then selects one of them at run time. In the file

   - ISA is the instruction set's name,
   - LANES is how many floats one of its vectors holds,
   - TARGET makes the compiler use it,
   - TARGET_WITHOUT_FMA does so too, but rounds each of AVX2's products before it is added, so that
     training jobs on such CPUs keep giving the results that they always gave. AVX-512 implies FMA,
     so there it is the same as TARGET.

   CPUs other than x86-64 get none of it, and object2vec_isa_of_cpu() returns NO_ISA. */

#ifdef HAS_ISAS
#define ISA avx2
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#define TARGET_WITHOUT_FMA __attribute__((target("avx2")))
#include FOR_EACH_ISA
#undef ISA
#undef LANES
#undef TARGET
#undef TARGET_WITHOUT_FMA

#define ISA avx512
#define LANES 16
#define TARGET __attribute__((target("avx512f")))
#define TARGET_WITHOUT_FMA TARGET
#include FOR_EACH_ISA
#undef ISA
#undef LANES
#undef TARGET
#undef TARGET_WITHOUT_FMA
#endif
