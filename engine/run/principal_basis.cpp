#include "run/principal_basis.h"

#include "run/float_stream.h"

namespace lrc {

ImportedRotations find_principal_rotations(const Model& model, const RotationChoice& choice, const RunCorpus& corpus,
                                           const std::filesystem::path& spill_folder, std::stop_token stop,
                                           const std::function<void()>& walked) {
  const ModelConfig& config = model.config();
  FloatStream stream(model, fold_choice(choice), corpus.windows, corpus.calibration_windows,
                     std::make_shared<const ImportedRotations>(fold_rotations(choice, config)), spill_folder);
  PrincipalMoments moments(config, choice);
  const std::size_t skipped = stream.skipped_positions();
  for (std::size_t block = 0; block < config.blocks; ++block) {
    throw_if_stopped(stop);
    stream.load();
    stream.advance({}, stop, [&](std::size_t window, const Site& site, const float* x, std::size_t tokens, std::size_t width) {
      if (window < corpus.calibration_windows)
        moments.add({block, site.kind, site.expert}, x + skipped * width, tokens - skipped, width);
    });
    if (walked) walked();
  }
  return moments.rotations();
}

}  // namespace lrc
