#include "exporters/exporter.h"

#include <array>

#include "base/error.h"
#include "exporters/gguf_exporter.h"

namespace lrc {

std::uint64_t ExportForecast::bytes() const {
  std::uint64_t sum = 0;
  for (const Part& file : files) sum += file.bytes;
  return sum;
}

std::string_view name(CheckStatus status) {
  switch (status) {
    case CheckStatus::ok:
      return "ok";
    case CheckStatus::warning:
      return "warning";
    case CheckStatus::refused:
      return "refused";
  }
  return "refused";
}

std::span<const Exporter> exporters() {
  static const std::array list = {gguf_exporter()};
  return list;
}

const Exporter& find_exporter(std::string_view name) {
  std::string names;
  for (const auto& exporter : exporters()) {
    if (exporter.name == name) return exporter;
    names += (names.empty() ? "" : ", ") + std::string(exporter.name);
  }
  throw Error(ErrorKind::bad_input, "There is no export to \"" + std::string(name) + "\"; there are: " + names + ".");
}

}  // namespace lrc
