#include "correction/low_rank_pair.h"

#include "correction/linalg.h"

namespace lrc {

MatrixD product(const LowRankPair& pair) { return linalg::multiply(convert<double>(pair.u), convert<double>(pair.v), false, true); }

}  // namespace lrc
