#pragma once
// Second moments of sites, kept so that a layer can be solved again within a second. One file a site in a folder that belongs to one
// model, calibration text and rotation: sites/BLOCK-SITE-SCHEME.safetensors with
//   s_y, s_e   F64 (1, n(n + 1)/2), lower triangles by rows      s_ey   F64 (n, n)
//   sum_of_magnitudes, largest, largest_batch_mean   F64 (1, n)   sample   F16 (tokens, n): some of the tokens themselves
// Metadata: format_version, tokens. Everything that the solve reads is there exactly; the sample serves estimates alone.
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

#include "calibration/block_walk.h"
#include "model/model.h"
#include "quantization/second_moments.h"
#include "run/recipe.h"

namespace lrc {

struct KeptSite {
  SecondMoments moments;  ///< of the calibration tokens; nothing held out
  MatrixF sample;         ///< (tokens, in), rounded to float16
};

/// Where the sites of this model, text and rotation are kept: CACHE/moments/KEY. Reads the calibration text for its hash.
std::filesystem::path kept_sites_folder(const Recipe& recipe, const Model& model);
/// Bytes that all sites of the model take for one activation scheme.
std::uint64_t kept_bytes(const Model& model, std::size_t calibration_tokens);
/// The most bytes that may be kept below `folder`: 8 GiB and a quarter of what is free on the disk.
std::uint64_t most_kept_bytes(const std::filesystem::path& folder);

/// Writes one file, then removes those used longest ago until the whole cache is within most_kept_bytes(). Keeps nothing where the
/// file alone would be above that.
void keep_site(const std::filesystem::path& folder, const Site& site, const ActivationScheme& scheme, const SecondMoments& moments,
               const MatrixF& sample);
bool is_kept(const std::filesystem::path& folder, const Site& site, const ActivationScheme& scheme);
/// Nothing where it is not kept. Throws Error(bad_file) naming a file that is damaged.
std::optional<KeptSite> kept_site(const std::filesystem::path& folder, const Site& site, const ActivationScheme& scheme);

/// Collects the samples of one block while it is walked: of each site about twice its width in tokens (1,024 to 4,096), spread evenly
/// over the text without a period of the windows.
class SampleTaker {
 public:
  explicit SampleTaker(std::size_t calibration_tokens) : calibration_tokens_(calibration_tokens) {}
  /// For FloatStream::listen, before the next block: forgets what was taken.
  SiteObserver listener();
  /// (tokens, in), rounded to float16; empty where no token went by.
  MatrixF take(std::size_t site_index);

 private:
  struct Taken {
    std::vector<float> rows;
    std::size_t width = 0, seen = 0;
  };
  std::size_t calibration_tokens_;
  std::map<std::size_t, Taken> taken_;
};

/// Keeps all sites of a block that saw tokens.
void keep_sites(const std::filesystem::path& folder, std::size_t block, const SiteSchemes& schemes, const BlockMoments& moments,
                SampleTaker& samples);

}  // namespace lrc
