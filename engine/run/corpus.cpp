#include "run/corpus.h"

#include <algorithm>

#include "base/hash.h"

namespace lrc {

std::filesystem::path corpus_file(const Recipe& recipe) {
  return recipe.calibration.empty() ? resources_folder() / "texts" / "wikitext_train_1000.json" : std::filesystem::path(recipe.calibration);
}

RunCorpus open_corpus(const Recipe& recipe, const Model& model) {
  RunCorpus corpus;
  const auto file = corpus_file(recipe);
  const std::string text = read_corpus(file);
  std::error_code code;
  corpus.path = recipe.calibration.empty() ? file.string() : std::filesystem::absolute(file, code).string();
  corpus.sha256 = sha256_of_file(file);
  const std::size_t context = std::min(recipe.calibration_context, model.config().context);
  const std::size_t wanted = (recipe.calibration_tokens + context - 1) / context;
  const auto ids = model.tokenizer()->encode(text, false);
  corpus.windows = cut_windows(ids, context, wanted + recipe.held_out_windows, file.string());
  const std::size_t found = corpus.windows.windows.size();
  corpus.calibration_windows = std::min(wanted, found > recipe.held_out_windows ? found - recipe.held_out_windows : found);
  // Too short for a held-out window of its own: everything calibrates.
  corpus.windows.windows.resize(std::min(found, corpus.calibration_windows + recipe.held_out_windows));
  return corpus;
}

}  // namespace lrc
