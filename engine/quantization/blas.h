#pragma once
// For .cpp files that call BLAS or LAPACK.

namespace lrc {

/// Makes OpenBLAS compute on the calling thread. Called before every use of it (cheap after the first time): parallelism is
/// parallel_for's, so that results do not depend on how many threads run.
void use_one_blas_thread();

}  // namespace lrc
