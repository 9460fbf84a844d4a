#pragma once
// The door of the folder: one exporter per consumer; a new one is one new file and one line in exporter.cpp's list.
#include <cstdint>
#include <filesystem>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/progress.h"
#include "correction/solve.h"
#include "model/weights.h"

namespace lrc {

enum class CheckStatus { ok, warning, refused };
std::string_view name(CheckStatus status);  ///< "ok", "warning", "refused"
struct Check {
  std::string name;  ///< "online-rotation"; keeps its meaning for scripts
  CheckStatus status = CheckStatus::ok;
  std::string why;     ///< one sentence of consequence, with a number
  std::string fix;     ///< what to do; empty if nothing is needed
  std::string fix_id;  ///< "solve-without-r4": what the window can queue; empty if none
};

/// What is exported: the solved layers by scheme, and the weights as the run computes with them.
struct ExportSource {
  const Model& model;  ///< the original: tokenizer, metadata
  std::string run_name;
  RotationChoice rotation;
  std::vector<std::pair<LayerInfo, LayerScheme>> layers;
  const ModelWeights* weights = nullptr;  ///< null: preflight alone
  ActivationScheme cache{.bits = 16};     ///< of keys and values
};

struct ExportOptions {
  std::string base_type = "q4_0";  ///< or "q4_1"
  std::size_t pad_rank_to = 64;    ///< llama.cpp is several times slower at other ranks; 1 = as solved
};

/// What an export will be, before anything is written: to the byte.
struct ExportForecast {
  struct Part {
    std::string what;  ///< "codes", "factors U, V", "embedding"
    std::uint64_t bytes = 0;
  };
  std::vector<Part> parts;  ///< of all files together; none is empty
  std::vector<Part> files;  ///< by name
  std::string command;      ///< that will load them from the folder
  std::uint64_t bytes() const;
};

struct ExportedFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::string sha256;
};
struct ExportResult {
  std::vector<ExportedFile> files;
  std::vector<Check> checks;
  bool verified = false;                    ///< everything read back and compared bit for bit, and the logits that come of it
  std::vector<std::string> verified_facts;  ///< "210 of 210 matrices: codes and scales equal"
  std::string command;                      ///< that loads them
};
/// What the target computes beside what we compute: shown so that no arithmetic changes silently.
struct ArithmeticRow {
  std::string what, here, there;
};

struct Exporter {
  std::string_view name;       ///< "gguf": --to
  std::string_view title;      ///< "GGUF + LoRA adapter"
  std::string_view consumers;  ///< "llama.cpp, KoboldCpp, Ollama"
  std::vector<Check> (*preflight)(const ExportSource& source, const ExportOptions& options) = nullptr;
  std::vector<ArithmeticRow> (*arithmetic)(const ExportSource& source) = nullptr;
  ExportForecast (*forecast)(const ExportSource& source, const std::filesystem::path& folder, const ExportOptions& options) = nullptr;
  /// Writes into `folder` under temporary names, reads back, compares, renames. Throws Error when a check refuses.
  ExportResult (*write)(const ExportSource& source, const std::filesystem::path& folder, const ExportOptions& options, Progress& progress,
                        std::stop_token stop) = nullptr;
};
std::span<const Exporter> exporters();
const Exporter& find_exporter(std::string_view name);  ///< throws Error(bad_input) naming those that exist

}  // namespace lrc
