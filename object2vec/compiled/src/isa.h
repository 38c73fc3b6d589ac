/* SPDX-License-Identifier: Apache-2.0 */
/* Includes the file FOR_EACH_ISA once for each instruction set, each having what the former have: ISA is
   its name, TARGET makes the compiler use it, LANES floats are in its vectors. The file gives its
   functions names by SIMD, and OF_THIS_CPU selects among them.

   TARGET_WITHOUT_FMA rounds AVX2's products before they are added; only so do training jobs repeat
   what they did on such a CPU. AVX-512 cannot do without FMA. */

#define ISA any
#define TARGET
#define TARGET_WITHOUT_FMA
#define LANES 4
#include FOR_EACH_ISA
#undef ISA
#undef TARGET
#undef TARGET_WITHOUT_FMA
#undef LANES

#ifdef HAS_ISAS
#define ISA avx2
#define TARGET FOR_AVX2
#define TARGET_WITHOUT_FMA FOR_AVX2_WITHOUT_FMA
#define LANES 8
#include FOR_EACH_ISA
#undef ISA
#undef TARGET
#undef TARGET_WITHOUT_FMA
#undef LANES

#define ISA avx512
#define TARGET FOR_AVX512
#define TARGET_WITHOUT_FMA FOR_AVX512
#define LANES 16
#include FOR_EACH_ISA
#undef ISA
#undef TARGET
#undef TARGET_WITHOUT_FMA
#undef LANES
#endif
