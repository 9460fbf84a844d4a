#pragma once
// An expert sees only the tokens that are routed to it. With fewer of them than its input is wide the moments leave directions
// unseen, and a solve would fit its codes and its pair to nothing there (methods.md pitfall 14).
#include <cstddef>
#include <string>

#include "quantization/second_moments.h"

namespace lrc {

struct ExpertSupport {
  std::size_t tokens = 0;  ///< that were routed to it
  std::string warning;     ///< one sentence; empty when there were enough
};

/// Looks at the moments of an expert's site, `width` wide. Below one token for each input feature they are filled up to that
/// number: by the block's tokens in general where `all` says what these bring to the same site (one expert's input is
/// every expert's), else by white inputs of the same energy, which the quantizer leaves alone. Below four it warns only.
ExpertSupport support_expert(SecondMoments& moments, std::size_t width, const SecondMoments* all);

}  // namespace lrc
