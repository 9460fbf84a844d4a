#pragma once
#include <cstddef>
#include <functional>

namespace lrc {

/// How many threads parallel_for uses at most (default: the processors that the process may run on).
int thread_count();
/// Sets it for the whole process; values below 1 mean the default.
void set_thread_count(int threads);

/// Calls body(begin, end) over [0, count) in chunks of at most `grain`; returns when all are done. Chunk borders depend
/// on `count` and `grain` alone, never on the number of threads: results that follow from chunks are the same on any
/// machine size. Safe from several threads at once. A call from inside a body is a region of its own: whoever is idle helps with
/// it, and it returns when its own chunks are done. The first exception is rethrown.
void parallel_for(std::size_t count, std::size_t grain, const std::function<void(std::size_t, std::size_t)>& body);

}  // namespace lrc
