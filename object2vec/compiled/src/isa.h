/* SPDX-License-Identifier: Apache-2.0 */
/* Includes the file FOR_EACH_KIND once for each kind of CPU, each having what the former have: KIND is
   its name, TARGET makes the compiler use it, LANES floats are in its vectors. The file gives its
   functions names by OWN, and OF_THIS_CPU chooses among them.

   TARGET_WITHOUT_FMA rounds AVX2's products before they are added; only so do training jobs repeat
   what they did on such a CPU. AVX-512 cannot do without FMA. */

#define KIND any
#define TARGET
#define TARGET_WITHOUT_FMA
#define LANES 4
#include FOR_EACH_KIND
#undef KIND
#undef TARGET
#undef TARGET_WITHOUT_FMA
#undef LANES

#ifdef HAS_KINDS
#define KIND avx2
#define TARGET FOR_AVX2
#define TARGET_WITHOUT_FMA FOR_AVX2_WITHOUT_FMA
#define LANES 8
#include FOR_EACH_KIND
#undef KIND
#undef TARGET
#undef TARGET_WITHOUT_FMA
#undef LANES

#define KIND avx512
#define TARGET FOR_AVX512
#define TARGET_WITHOUT_FMA FOR_AVX512
#define LANES 16
#include FOR_EACH_KIND
#undef KIND
#undef TARGET
#undef TARGET_WITHOUT_FMA
#undef LANES
#endif
