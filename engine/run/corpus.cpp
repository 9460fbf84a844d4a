#include "run/corpus.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "run/recipe_fields.h"

namespace lrc {

std::filesystem::path corpus_file(const Recipe& recipe) {
  return recipe.calibration.empty() ? resources_folder() / "texts" / "wikitext_train_1000.json" : std::filesystem::path(recipe.calibration);
}

namespace {

struct Text {
  std::string path, sha256;
  TokenWindows calibration, held_out;
};

Text read_text(const std::filesystem::path& file, bool shipped, const Model& model, std::size_t context, std::size_t wanted,
               std::size_t held_out) {
  Text text;
  std::error_code code;
  text.path = shipped ? file.string() : std::filesystem::absolute(file, code).string();
  const auto ids = model.tokenizer()->encode(read_corpus(file), false);
  text.sha256 = sha256_of_file(file);
  auto windows = cut_windows(ids, context, wanted + held_out, file.string());
  const std::size_t found = windows.windows.size();
  const std::size_t calibrating = std::min(wanted, found > held_out ? found - held_out : found);
  // Too short for held-out windows of its own: everything calibrates.
  windows.windows.resize(std::min(found, calibrating + held_out));
  const auto border = windows.windows.begin() + std::ptrdiff_t(calibrating);
  text.calibration = {context, {windows.windows.begin(), border}};
  text.held_out = {context, {border, windows.windows.end()}};
  return text;
}

}  // namespace

RunCorpus open_corpus(const Recipe& recipe, const Model& model) {
  const std::size_t context = std::min(recipe.calibration_context, model.config().context);
  const std::size_t wanted = (recipe.calibration_tokens + context - 1) / context;
  const auto& mix = recipe.calibration_mix;
  const auto part = [&](std::size_t windows) { return mix ? std::size_t(std::lround(mix->share * double(windows))) : 0; };
  if (mix && (part(wanted) == 0 || part(wanted) == wanted))
    throw Error(ErrorKind::bad_input, "A share of " + fields::shortest_text(mix->share) + " of " + std::to_string(wanted) +
                                          " calibration windows leaves one of the two texts without any; use more calibration tokens "
                                          "or a smaller context.");
  std::vector<Text> texts;
  texts.push_back(read_text(corpus_file(recipe), recipe.calibration.empty(), model, context, wanted - part(wanted),
                            recipe.held_out_windows - part(recipe.held_out_windows)));
  if (mix) texts.push_back(read_text(mix->text, false, model, context, part(wanted), part(recipe.held_out_windows)));
  RunCorpus corpus;
  corpus.path = texts.front().path;
  corpus.sha256 = texts.front().sha256;
  if (mix) {
    corpus.mix_path = texts.back().path;
    corpus.mix_sha256 = texts.back().sha256;
  }
  corpus.windows.context = context;
  corpus.windows.skipped_positions = recipe.skip_first_positions;
  auto& windows = corpus.windows.windows;
  for (const Text& text : texts) windows.insert(windows.end(), text.calibration.windows.begin(), text.calibration.windows.end());
  corpus.calibration_windows = windows.size();
  for (const Text& text : texts) windows.insert(windows.end(), text.held_out.windows.begin(), text.held_out.windows.end());
  return corpus;
}

}  // namespace lrc
