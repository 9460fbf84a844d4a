#pragma once
#include <vector>

#include "exporters/exporter.h"

namespace lrc::gguf_export {

std::vector<Check> preflight(const ExportSource& source, const ExportOptions& options);
std::vector<ArithmeticRow> arithmetic(const ExportSource& source);

}  // namespace lrc::gguf_export
