#pragma once
#include "model/weights.h"

namespace lrc {

/// The rotations that weights, layer inputs and therefore solutions depend on: R3 cancels before any layer sees it.
inline RotationChoice layer_rotation(RotationChoice choice) {
  choice.r3 = false;
  return choice;
}

}  // namespace lrc
