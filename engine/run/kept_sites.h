#pragma once
// Second moments of sites, kept so that a layer can be solved again within a second. One file a site in a folder that belongs to one
// model, calibration text and rotation: sites/BLOCK-SITE-SCHEME.safetensors with
//   s_y, s_e   F64 (1, n(n + 1)/2), lower triangles by rows      s_ey   F64 (n, n)
//   sum_of_magnitudes, largest, largest_batch_mean   F64 (1, n)   sample   F16 (tokens, n): some of the tokens themselves
//   first   F16 (windows, n): those at position 0 of some windows; absent where the first positions are left out, and of experts
// Metadata: format_version, tokens, first_tokens. Everything that the solve reads is there exactly; the sample serves estimates alone.
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stop_token>

#include "base/progress.h"
#include "model/model.h"
#include "quantization/second_moments.h"
#include "run/float_stream.h"
#include "run/recipe.h"

namespace lrc {

/// Some of a site's inputs, rounded to float16. Position 0, where many models keep a few huge values, has rows of its own: a sample
/// would meet it by chance.
struct InputSample {
  MatrixF inputs;                ///< (tokens, in)
  MatrixF first;                 ///< (windows, in): at position 0; empty where nothing is measured there, and of experts
  std::size_t first_tokens = 0;  ///< calibration tokens that `first` stands for; `inputs` stand for the others
  bool empty() const { return inputs.empty(); }
};

struct KeptSite {
  SecondMoments moments;  ///< of the calibration tokens; nothing held out
  InputSample sample;
};

/// The moments of all calibration tokens as far as a sample tells them. Without its first positions: of the other tokens alone.
SecondMoments moments_of(const InputSample& sample, std::size_t tokens, const ActivationScheme& scheme, bool with_first = true);

/// Whether moments are kept for such a recipe: not behind smoothing, imported rotations or of two texts, where no layer is solved alone.
bool can_keep(const Recipe& recipe);
/// Where the sites of this model, text and rotation are kept: CACHE/moments/KEY. Reads the calibration text for its hash.
std::filesystem::path kept_sites_folder(const Recipe& recipe, const Model& model);
/// Bytes that all sites of the model take for one activation scheme.
std::uint64_t kept_bytes(const Model& model, std::size_t calibration_tokens);
/// The most bytes that may be kept below `folder`: 8 GiB and a quarter of what is free on the disk.
std::uint64_t most_kept_bytes(const std::filesystem::path& folder);

/// Writes one file, then removes those used longest ago until the whole cache is within most_kept_bytes(). Keeps nothing where the
/// file alone would be above that.
void keep_site(const std::filesystem::path& folder, const Site& site, const ActivationScheme& scheme, const SecondMoments& moments,
               const InputSample& sample);
bool is_kept(const std::filesystem::path& folder, const Site& site, const ActivationScheme& scheme);
/// Nothing where it is not kept. Throws Error(bad_file) naming a file that is damaged.
std::optional<KeptSite> kept_site(const std::filesystem::path& folder, const Site& site, const ActivationScheme& scheme);

using SiteSamples = std::map<std::size_t, InputSample>;  ///< by Site::index()
/// Of the block that the stream has loaded and not left: of each site about twice its width in tokens (1,024 to 4,096), spread over some of
/// the calibration windows without a period of theirs, and position 0 of each of these. Runs the block over these windows once more.
SiteSamples take_samples(FloatStream& stream, const TokenWindows& windows, std::size_t calibration_windows, std::stop_token stop);

/// Keeps all sites of a block that saw tokens.
void keep_sites(const std::filesystem::path& folder, std::size_t block, const SiteSchemes& schemes, const BlockMoments& moments,
                const SiteSamples& samples);

}  // namespace lrc
