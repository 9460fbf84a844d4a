#include "exporters/gguf_exporter.h"

#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "exporters/gguf_parts.h"
#include "exporters/gguf_preflight.h"

namespace lrc {
namespace {

using namespace gguf_export;

/// The run's name as a part of a file name.
std::string file_stem(const ExportSource& source) {
  std::string stem;
  for (const char c : source.run_name.empty() ? source.model.display_name() : source.run_name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    if (plain)
      stem += c;
    else if (!stem.empty() && stem.back() != '-')
      stem += '-';
  }
  while (!stem.empty() && (stem.back() == '-' || stem.back() == '.')) stem.pop_back();
  while (!stem.empty() && stem.front() == '.') stem.erase(0, 1);
  return stem.empty() ? "model" : stem;
}

/// A path as a shell takes it.
std::string shell_word(const std::filesystem::path& path) {
  const auto text = path.string();
  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+=:,@") == std::string::npos) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

/// A file under a temporary name until it is proven; removed unless it was given a name.
class PendingFile {
 public:
  explicit PendingFile(std::filesystem::path path) : path_(std::move(path)) {
    temporary_ = path_;
    temporary_ += ".partial." + std::to_string(::getpid());
  }
  ~PendingFile() {
    std::error_code code;
    std::filesystem::remove(temporary_, code);
  }
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  const std::filesystem::path& temporary() const { return temporary_; }
  const std::filesystem::path& path() const { return path_; }
  void name_it() { rename_to(path_); }
  std::filesystem::path mark_unverified() {
    auto path = path_;
    path += ".unverified";
    rename_to(path);
    return path;
  }

 private:
  void rename_to(const std::filesystem::path& path) {
    std::error_code code;
    std::filesystem::rename(temporary_, path, code);
    if (code) throw Error(ErrorKind::io, path.string() + " cannot be given its name: " + code.message() + ".");
  }
  std::filesystem::path path_, temporary_;
};

void prepare_folder(const std::filesystem::path& folder, std::uint64_t bytes) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) throw Error(ErrorKind::io, "The folder " + folder.string() + " cannot be made: " + code.message() + ".");
  const auto space = std::filesystem::space(folder, code);
  if (!code && space.available < bytes)
    throw Error(ErrorKind::io, "The disk of " + folder.string() + " has " + std::to_string(space.available / 1000000) +
                                   " MB left, and the export needs " + std::to_string(bytes / 1000000 + 1) +
                                   " MB; free some space or take another folder.");
}

struct FilePaths {
  std::filesystem::path base, adapter;
};

FilePaths paths_in(const std::filesystem::path& folder, const ExportSource& source, const ExportOptions& options) {
  const std::string stem = file_stem(source);
  return {folder / (stem + "-" + std::string(name(base_type(options))) + ".gguf"), folder / (stem + "-lora.gguf")};
}

std::string load_command(const FilePaths& paths, bool has_adapter) {
  return "llama-cli -m " + shell_word(paths.base) + (has_adapter ? " --lora " + shell_word(paths.adapter) : "");
}

ExportForecast forecast(const ExportSource& source, const std::filesystem::path& folder, const ExportOptions& options) {
  constexpr std::uint64_t half = 2;
  const auto adapter = adapter_file(source, options, {});
  const std::uint64_t base_bytes = base_file(source, options, {}).file_bytes();
  const FilePaths paths = paths_in(folder, source, options);
  ExportForecast found;
  found.files.push_back({paths.base.filename().string(), base_bytes});
  if (!adapter.empty()) found.files.push_back({paths.adapter.filename().string(), adapter.file_bytes()});
  std::uint64_t codes = 0, scales = 0, floats = 0;
  for (const LayerPlan& plan : plan_layers(source, options)) {
    const std::uint64_t weights = std::uint64_t(plan.info->out_features) * plan.info->in_features;
    if (!plan.exact()) {
      floats += weights * half;
      continue;
    }
    const std::uint64_t code_bytes = plan.type == DType::q8_0 ? weights : weights / 2;
    codes += code_bytes;
    // A scale in float16 each block of 32; Q4_1 has a smallest value beside it.
    scales += weights / 32 * (plan.type == DType::q4_1 ? 2 * half : half);
  }
  const auto& config = source.model.config();
  const std::uint64_t embedding = std::uint64_t(config.vocabulary) * config.hidden_size * half;
  const std::uint64_t head = has_head(source) ? embedding : 0;
  const std::uint64_t known = codes + scales + floats + embedding + head;
  for (const auto& [what, bytes] :
       std::initializer_list<std::pair<const char*, std::uint64_t>>{{"codes", codes},
                                                                    {"scales", scales},
                                                                    {"layers in float16", floats},
                                                                    {"factors U, V", adapter.empty() ? 0 : adapter.file_bytes()},
                                                                    {"embedding", embedding},
                                                                    {"head", head},
                                                                    {"norms, tokenizer", base_bytes > known ? base_bytes - known : 0}})
    if (bytes > 0) found.parts.push_back({what, bytes});
  found.command = load_command(paths, !adapter.empty());
  return found;
}

/// Runs a proof; where it fails, the files are kept for who wants to look, under names that nobody takes for the result.
template <typename Verify>
void prove(std::initializer_list<PendingFile*> files, const Verify& verify, ExportResult& result) {
  try {
    for (auto& fact : verify()) result.verified_facts.push_back(std::move(fact));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::stopped) throw;
    std::string kept;
    for (auto* file : files) kept += (kept.empty() ? "" : " and ") + file->mark_unverified().string();
    throw Error(error.kind(), std::string(error.what()) + (files.size() == 1 ? " The file is kept as " : " The files are kept as ") + kept +
                                  "; do not use " + (files.size() == 1 ? "it." : "them."));
  }
}

ExportedFile facts_of(const PendingFile& file) {
  return {file.path(), std::filesystem::file_size(file.temporary()), sha256_of_file(file.temporary())};
}

ExportResult write(const ExportSource& source, const std::filesystem::path& folder, const ExportOptions& options, Progress& progress,
                   std::stop_token stop) {
  ExportResult result;
  result.checks = preflight(source, options);
  for (const auto& check : result.checks)
    if (check.status == CheckStatus::refused)
      throw Error(ErrorKind::bad_input, "The export to GGUF is refused: " + check.why + (check.fix.empty() ? "" : " " + check.fix));
  if (!source.weights) throw Error(ErrorKind::bad_input, "There are no weights to export; finish the run first.");
  prepare_folder(folder, forecast(source, folder, options).bytes());

  std::size_t done = 0, total = 0;
  const OnTensor on_tensor = [&](const std::string& tensor) {
    throw_if_stopped(stop);
    progress.report("write", done++, total, tensor);
  };
  const auto base = base_file(source, options, on_tensor);
  const auto adapter = adapter_file(source, options, on_tensor);
  total = 2 * (base.tensor_count() + adapter.tensor_count()) + source.weights->blocks.size();

  const FilePaths paths = paths_in(folder, source, options);
  PendingFile base_path(paths.base), adapter_path(paths.adapter);
  base.write(base_path.temporary());
  if (!adapter.empty()) adapter.write(adapter_path.temporary());
  prove(
      {&base_path}, [&] { return verify_base(base_path.temporary(), source, options, on_tensor); }, result);
  result.files.push_back(facts_of(base_path));
  if (adapter.empty()) {
    prove(
        {&base_path}, [&] { return verify_logits(base_path.temporary(), {}, source, options, on_tensor); }, result);
  } else {
    prove(
        {&adapter_path}, [&] { return verify_adapter(adapter_path.temporary(), source, options, on_tensor); }, result);
    result.files.push_back(facts_of(adapter_path));
    prove(
        {&base_path, &adapter_path},
        [&] { return verify_logits(base_path.temporary(), adapter_path.temporary(), source, options, on_tensor); }, result);
  }
  throw_if_stopped(stop);
  base_path.name_it();
  if (!adapter.empty()) adapter_path.name_it();
  progress.report("write", total, total);
  result.verified = true;
  result.command = load_command(paths, !adapter.empty());
  return result;
}

}  // namespace

Exporter gguf_exporter() {
  Exporter exporter;
  exporter.name = "gguf";
  exporter.title = "GGUF + LoRA adapter";
  exporter.consumers = "llama.cpp, KoboldCpp, Ollama";
  exporter.preflight = preflight;
  exporter.arithmetic = arithmetic;
  exporter.forecast = forecast;
  exporter.write = write;
  return exporter;
}

}  // namespace lrc
