#pragma once
#include "exporters/exporter.h"

namespace lrc {

/// A Q4_0 or Q4_1 base and a LoRA adapter for llama.cpp and its descendants.
Exporter gguf_exporter();

}  // namespace lrc
