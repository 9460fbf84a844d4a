#pragma once
// Hadamard matrices of order 4 (3n − 1) from Turyn-type sequences of length n (Best, Doković, Kharaghani and Ramp, "Turyn-type
// sequences: classification, enumeration, and construction", J. Combin. Des. 21, 2013, whose representatives are held here): what
// neither Paley nor Williamson matrices reach.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lrc {

/// (order, order) entries ±1, row-major; empty when no sequences for that order are held.
std::vector<std::int8_t> turyn_hadamard(std::size_t order);

}  // namespace lrc
